"""The time for a source grows with the bytes that come from a disk; what hangs in a decoder is given up as before."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_jax.reading import archives, isolated
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import Source
from tests.support.bad_sources import Endless, Slow


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def sized(path: Path, count: int) -> Source:
    """A file of zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(count)
    return Source(path, "a.png" if archives.is_archive(path.name) else None)


@pytest.mark.parametrize(
    ("name", "count", "opening", "decoding"),
    [
        ("cine.dcm", 300 * 10**6, 37, 37),  # a share of 10 MB a second
        ("frames.tar.gz", 150 * 10**6, 307, 7),  # 1.5 GB unpacked
        ("frames.tar", 150 * 10**6, 307, 7),
        ("frames.zip", 150 * 10**6, 22, 7),
        ("large.zip", 100 * 10**9, 7 + archives.MAX_MEMBER_BYTES / 10**7, 7),  # no more than one member is read
    ],
)
def test_time_grows_with_the_bytes_that_are_read(tmp_path, monkeypatch, name, count, opening, decoding):
    monkeypatch.setattr(isolated, "SECONDS", 7.0)
    source = sized(tmp_path / name, count)
    assert isolated._seconds(source, opened=False) == pytest.approx(opening)
    assert isolated._seconds(source, opened=True) == pytest.approx(decoding)


def test_a_file_that_is_gone_has_the_time_of_a_small_one(tmp_path):
    assert isolated._seconds(Source(tmp_path / "a.png"), opened=False) == isolated.SECONDS


def test_a_file_that_comes_slowly_is_read(picture, monkeypatch):
    monkeypatch.setattr(isolated, "SECONDS", 0.5)
    monkeypatch.setattr(isolated, "BYTES_PER_SECOND", 1.0)
    frame, end = read_ahead([Slow(picture)])
    assert isinstance(frame, Frame)
    assert end is None


def test_a_relative_path_is_of_the_folder_where_the_caller_is_now(picture, monkeypatch):
    isolated.start_early()
    monkeypatch.chdir(picture.parent)
    frame, end = read_ahead([Source(Path("a.png"))])
    assert isinstance(frame, Frame)
    assert end is None


def test_a_member_that_hangs_in_its_decoder_is_given_up_however_large_the_archive_is(picture, monkeypatch):
    path = picture.with_name("x.tar")
    with tarfile.open(path, "w") as tar:
        tar.add(picture, "a.png")
    monkeypatch.setattr(isolated, "SECONDS", 4.0)
    monkeypatch.setattr(isolated, "BYTES_PER_SECOND", 1.0)
    first, _, second, _ = read_ahead([Endless(path, "b.png"), Source(path, "a.png")])
    assert isinstance(first, Failure)
    assert "b.png takes over 4 s to read: copy it to a faster disk, or export it again" in first.reason
    assert isinstance(second, Frame)
