"""What is looked for in folders, patterns and archives: what cannot be read is a row that says why, never left out."""

from __future__ import annotations

import errno
import os
import tarfile
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.reading import sources
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import ANNOTATION, EARLIER, Source, expand, find, may_be_dicom
from tests.support.dicom_files import region, save, ultrasound

GREY = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path)
    return path


def dicom(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(ultrasound(GREY, [region()]), path)


def reason(source: Source) -> str:
    (item,) = read(source)
    return item.reason


# ------------------------------------------------------------------------------------ folders that are not listed


@pytest.fixture
def listings(monkeypatch) -> Counter[str]:
    """Folders that are listed, by name; one that is called `locked` is not: tests may run as root."""
    counts, scandir = Counter(), os.scandir

    def counted(path="."):
        name = Path(path).name
        counts[name] += 1
        if name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    return counts


@pytest.mark.parametrize("pattern", ["", "**/*.png", "**", "*", "*/*.png", "[b-l]*/*.png"])
@pytest.mark.usefixtures("listings")
def test_a_folder_that_cannot_be_listed_is_a_row(tmp_path, pattern):
    picture(tmp_path / "b" / "a.png")
    picture(tmp_path / "locked" / "c.png")
    found = find([tmp_path / pattern])
    assert sorted(str(s.path.relative_to(tmp_path)) for s in found.sources) == ["b/a.png", "locked"]
    (locked,) = (s for s in found.sources if s.path.name == "locked")
    expected = (
        f"{tmp_path / 'locked'} cannot be listed (Permission denied): allow reading it, or give the other folders"
    )
    assert reason(locked) == expected


@pytest.mark.parametrize("pattern", ["locked", "locked/*.png", "locked/**/*.png"])
@pytest.mark.usefixtures("listings")
def test_nothing_but_a_folder_that_cannot_be_listed_is_said_before_the_work(tmp_path, pattern):
    picture(tmp_path / "locked" / "a.png")
    with pytest.raises(UserError, match=r"locked cannot be listed \(Permission denied\): allow"):
        find([tmp_path / pattern])


def test_a_folder_in_place_of_a_file_says_what_to_give(tmp_path):
    """As a program gives it, and as `archive` has one that could not be listed for a moment."""
    (source,) = expand(tmp_path, Counter())
    expected = f"{tmp_path} is a folder: give its files (sources.find lists them), or call again"
    assert reason(source).startswith(expected)


# ------------------------------------------------------------------------- files whose first bytes cannot be read


def test_a_file_without_a_suffix_that_cannot_be_read_is_a_row(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    dicom(tmp_path / "IM_0001")

    def head_of(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))

    monkeypatch.setattr(sources, "head_of", head_of)
    monkeypatch.setattr("fetal_jax.reading.isolated.head_of", head_of)
    found = find([tmp_path])
    assert [s.filename for s in found.sources] == ["IM_0001", "a.png"]
    assert "IM_0001 cannot be read (Input/output error): copy it again" in reason(found.sources[0])
    assert [may_be_dicom(s) for s in (*found.sources, Source(tmp_path))] == [True, False, False]


def test_a_link_to_nothing_without_a_suffix_is_left_out_and_counted(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "current").symlink_to(tmp_path / "nowhere")
    found = find([tmp_path])
    assert [s.filename for s in found.sources] == ["a.png"]
    assert found.left_out == {"current": 1}


def with_bad_crc(data: bytearray, local: int, _: int) -> None:
    data[local + 30 + len("IM_0002")] ^= 0xFF  # the member's first byte: it is stored as it is


def with_password(data: bytearray, local: int, central: int) -> None:
    data[local + 6] |= 1
    data[central + 8] |= 1


def with_deflate64(data: bytearray, local: int, central: int) -> None:
    data[local + 8] = data[central + 10] = 9


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (with_bad_crc, ("is damaged (Bad CRC-32", "copy the archive again")),
        (with_password, ("cannot be opened", "encrypted, password required", "unpack the archive")),
        (with_deflate64, ("cannot be opened", "compression method is not supported", "unpack the archive")),
    ],
)
def test_a_member_that_cannot_be_read_is_a_row_and_the_others_are_read(tmp_path, spoil, words):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(dicom(tmp_path / "whole"), "IM_0001")
        archive.writestr("IM_0002", b"\0" * 20)
        archive.write(picture(tmp_path / "a.png"), "a.png")
        archive.writestr("README", "x")
    data = bytearray(path.read_bytes())
    spoil(data, data.index(b"IM_0002") - 30, data.rindex(b"IM_0002") - 46)
    path.write_bytes(data)
    found = find([path])
    assert [s.member for s in found.sources] == ["IM_0001", "IM_0002", "a.png"]
    assert found.left_out == {"README": 1}
    first, spoilt, last = (next(read(source)) for source in found.sources)
    np.testing.assert_array_equal(first.pixels, GREY)
    np.testing.assert_array_equal(last.pixels, GREY)
    assert "x.zip/IM_0002" in spoilt.reason
    for word in words:
        assert word in spoilt.reason


def test_an_empty_file_says_that_it_is(tmp_path):
    """As a copy that was cut off leaves it: to give a PNG was no help."""
    for name in ("a.png", "b.dcm"):
        (tmp_path / name).touch()
        assert reason(Source(tmp_path / name)) == f"{tmp_path / name} is empty: copy it again"
    path = archive_of(tmp_path / "x.zip", {"a.png": b""})
    assert reason(Source(path, "a.png")) == f"{path}/a.png is empty: make the archive again"


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_an_archive_that_is_made_again_is_listed_again(tmp_path, name):
    """The process that had read it kept the list, and took the bytes of other frames for those of this one."""
    one, two = picture(tmp_path / "a.png").read_bytes(), BytesIO()
    Image.fromarray(255 - GREY).save(two, "PNG")
    path = archive_of(tmp_path / name, {"a.png": one, "b.png": one})
    assert [len(list(read(source))) for source in find([path]).sources] == [1, 1]
    (tmp_path / "new").mkdir()
    os.replace(archive_of(tmp_path / "new" / name, {"a.png": two.getvalue(), "c.png": one}), path)
    assert [source.member for source in find([path]).sources] == ["a.png", "c.png"]
    (frame,) = read(Source(path, "a.png"))
    np.testing.assert_array_equal(frame.pixels, 255 - GREY)
    assert reason(Source(path, "b.png")) == (
        f"{path} no longer holds b.png: restore the archive that did, or measure again"
    )


# ------------------------------------------------------------------------------------------------- many matches


def test_folders_are_listed_as_often_for_many_matches_as_for_one(tmp_path, listings):
    """A listing for each match made a folder of 100,000 frames take hours."""
    counts = []
    for count in (1, 30):
        for i in range(count):
            for name in ("HC", "HC_Annotation", "Annotation"):
                picture(tmp_path / f"{i:03d}_{name}.png")
        listings.clear()
        found = find([tmp_path / "*.png"])
        assert len(found.sources) == 2 * count
        assert found.left_out == {ANNOTATION: count}
        counts.append(listings.total())
    assert counts[0] == counts[1] <= 2


def test_results_are_looked_for_once_a_folder(tmp_path, listings):
    (tmp_path / "results" / "frames").mkdir(parents=True)
    for name in ("call.json", "frames/0.parquet"):
        (tmp_path / "results" / name).touch()
    counts = []
    for count in (1, 30):
        for i in range(count):
            picture(tmp_path / "results" / f"{i}.png")
        listings.clear()
        found = find([tmp_path / "results" / "*.png", picture(tmp_path / "a.png")])
        assert found.left_out == {EARLIER: count}
        counts.append(listings["frames"])
    assert counts[0] == counts[1]
