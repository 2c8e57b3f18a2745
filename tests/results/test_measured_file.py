"""The file of a row is the one that was measured, wherever the page is opened from."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fetal_jax.inference.identity import KEY_FILE, Key
from fetal_jax.reading.sources import Source, sha256
from fetal_jax.results.measured_file import source_of
from tests.support.dicom_files import save, ultrasound

NOT_KNOWN = None


def row(file: str, instance: str | None = None) -> dict:
    return {"file": file, "instance": instance}


def written(path: Path, text: str = "measured") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("monday", "IM_1.png"),  # measure .
        ("monday/IM_1.png", "IM_1.png"),
        ("monday/*.png", "IM_1.png"),
        ("monday", "monday/IM_1.png"),
        ("monday", "../monday/IM_1.png"),
    ],
)
def test_frame_of_another_folder_does_not_take_the_place_of_a_row(tmp_path, monkeypatch, asked, file):
    frame = written(tmp_path / "monday" / "IM_1.png")
    written(tmp_path / "IM_1.png")
    written(tmp_path / "tuesday" / "IM_1.png")
    written(tmp_path / "tuesday" / "monday" / "IM_1.png")
    monkeypatch.chdir(tmp_path / "tuesday")
    paths = [str(tmp_path / asked)]
    found = source_of(row(file), paths, NOT_KNOWN, tmp_path)
    assert found is not None
    assert os.path.samefile(found.path, frame)


def test_member_of_an_archive_is_found_from_another_folder(tmp_path, monkeypatch):
    archive = written(tmp_path / "a" / "study.zip")
    monkeypatch.chdir(tmp_path)
    found = source_of(row("study.zip/exam/1.png"), [str(archive)], NOT_KNOWN, tmp_path)
    assert found == Source(archive, "exam/1.png")


def test_a_file_that_was_rewritten_is_another_one_and_a_copy_is_not(tmp_path):
    path = written(tmp_path / "a.png")
    measured = Source(path).fingerprint()
    os.utime(path, (1, 1))
    assert source_of(row(str(path)), [], measured, tmp_path) == Source(path)
    written(path, "of another woman")
    assert source_of(row(str(path)), [], measured, tmp_path) is None
    assert source_of(row(str(path)), [], [], tmp_path) == Source(path)


@pytest.mark.parametrize("member", [None, "IM_1.bmp"])
def test_picture_of_the_same_size_is_another_one_whatever_its_time(tmp_path, member):
    """BMP of one camera and tar files, which are padded, often have the same size; a tar keeps whole seconds."""
    path = tmp_path / ("IM_1.bmp" if member is None else "a.tar")
    source = Source(path, member)

    def put(data: bytes, time: int) -> list:
        (tmp_path / "IM_1.bmp").write_bytes(b"BM" + data)
        if member:
            with tarfile.open(path, "w") as tar:
                tar.add(tmp_path / member, member)
        os.utime(path, (time, time))
        return [*source.fingerprint(), sha256(source.open())]

    measured = put(b"of one woman", 1)
    for data, time, same in ((b"of one woman", 2, True), (b"of two women", 3, False), (b"of two women", 1, False)):
        assert put(data, time)[:2] == [measured[0], time * 10**9]
        found = source_of(row(str(source)), [], measured, tmp_path)
        assert found == (source if same else None)
    path.unlink()
    assert source_of(row(str(source)), [], measured, tmp_path) is None


def test_unchanged_file_is_read_once(tmp_path, monkeypatch):
    """The page asks for each frame of a cine."""
    path = written(tmp_path / "a.bmp")
    measured, read = [*Source(path).fingerprint(), sha256(path)], []
    monkeypatch.setattr("fetal_jax.results.measured_file.sha256", lambda file: [read.append(file), sha256(file)][1])
    for _ in range(3):
        assert source_of(row(str(path)), [], measured, tmp_path) == Source(path)
    assert read == [path]


def test_dicom_of_the_same_size_is_another_object(tmp_path):
    path, image = tmp_path / "IM_1", ultrasound(np.zeros((30, 40), np.uint8))

    def saved(uid: str) -> list[int]:
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = uid
        save(image, path)
        return Source(path).fingerprint()

    measured = saved("1.2.3.4")
    stated = Key(tmp_path.joinpath).digest("instance", "1.2.3.4").hex()[:16]
    assert (tmp_path / KEY_FILE).is_file()
    for instance in (stated, "1.2.3.4"):  # hashed, and by --identifiers
        os.utime(path, (1, 1))
        assert source_of(row(str(path), instance), [], measured, tmp_path) == Source(path)
    assert saved("1.2.3.5")[0] == measured[0]
    assert source_of(row(str(path), stated), [], measured, tmp_path) is None


def test_without_the_key_nothing_is_known_of_an_object_and_no_key_is_made(tmp_path):
    path = save(ultrasound(np.zeros((30, 40), np.uint8)), tmp_path / "IM_1")
    measured = [path.stat().st_size, 0]
    assert source_of(row(str(path), "0123456789abcdef"), [], measured, tmp_path) == Source(path)
    assert not (tmp_path / KEY_FILE).exists()
