"""Tar archives are read in place; what is not a plain file, explodes or is damaged becomes a row that says so."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_jax.reading.archives import tars
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import HIDDEN, find

GREY = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)


def png(shade: int = 0) -> bytes:
    data = io.BytesIO()
    Image.fromarray(GREY + np.uint8(shade)).save(data, "PNG")
    return data.getvalue()


def write(path: Path, files: dict[str, bytes], mode: str = "w", extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def items(path: Path) -> dict[str | None, list]:
    return {source.member: list(read(source)) for source in find([path]).sources}


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("X.TGZ", "w:gz")])
def test_the_frames_of_a_tar_are_read_in_its_order(name, mode, tmp_path):
    files = {"b/2.png": png(2), "a/1.png": png(1), "notes.txt": b"x", ".hidden.png": png()}
    write(tmp_path / name, files, mode)
    found = find([tmp_path])
    assert [s.member for s in found.sources] == ["b/2.png", "a/1.png"]
    assert found.left_out == {".txt": 1, HIDDEN: 1}
    for source, shade in zip(found.sources, (2, 1), strict=True):
        (frame,) = read(source)
        np.testing.assert_array_equal(frame.pixels, GREY + np.uint8(shade))
        assert str(source) == f"{tmp_path / name}/{source.member}"


def test_links_devices_and_names_that_lead_out_are_refused_and_the_others_read(tmp_path):
    files = {
        "../up.png": png(),
        "/tmp/absolute.png": png(),
        "C:\\windows.png": png(),
        "a/../b.png": png(),
        "z.png": png(),
    }
    extra = (
        special("soft.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.png", tarfile.LNKTYPE, "z.png"),
        special("pipe.png", tarfile.FIFOTYPE),
    )
    found = items(write(tmp_path / "x.tar", files, extra=extra))
    reasons = {name: item.reason for name, (item,) in found.items() if name != "z.png"}
    assert len(reasons) == 7
    for name, reason in reasons.items():
        word = "special file" if name.split(".")[0] in ("soft", "hard", "pipe") else "leads out of the archive"
        assert word in reason, name
    np.testing.assert_array_equal(found["z.png"][0].pixels, GREY)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for shade in (0, 1):
            data, info = png(shade), tarfile.TarInfo("a.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ((item,),) = items(tmp_path / "x.tar").values()
    assert "twice" in item.reason


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("cut", ["in the data", "between two files", "before the end"])
def test_of_a_tar_that_is_cut_short_the_whole_frames_are_read_and_one_row_tells(cut, suffix, tmp_path):
    whole = write(tmp_path / "w", {f"{i}.png": png(i) for i in range(3)}).read_bytes()
    size = 512 + -(-len(png()) // 512) * 512
    at = {"in the data": 2 * size + 600, "between two files": 2 * size, "before the end": 3 * size}[cut]
    data = whole[:at]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(data) if suffix == ".tar.gz" else data)
    found = items(path)
    assert "damaged" in found[None][0].reason
    good = {"in the data": 2, "between two files": 2, "before the end": 3}[cut]
    assert [len(found[f"{i}.png"]) for i in range(good)] == [1] * good
    np.testing.assert_array_equal(found["1.png"][0].pixels, GREY + np.uint8(1))


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = write(tmp_path / "x.tar", {f"{i}.png": png(i) for i in range(3)})
    data = bytearray(path.read_bytes())
    data[512 + -(-len(png()) // 512) * 512 + 150] ^= 0xFF  # the checksum of the second file
    path.write_bytes(data)
    found = items(path)
    assert list(found) == ["0.png", None]
    assert "after 1 files" in found[None][0].reason


def test_what_is_no_tar_at_all_is_one_bad_file(tmp_path):
    for name, data in {"a.tar": b"nothing", "b.tar.gz": b"nothing", "c.tgz": gzip.compress(b"x" * 600)}.items():
        (tmp_path / name).write_bytes(data)
        ((item,),) = items(tmp_path / name).values()
        assert f"{name} is damaged" in item.reason


def zeros(first: bytes, count: int) -> bytes:
    """A gzip file of some bytes and megabytes of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(first)] + [packer.compress(bytes(2**20)) for _ in range(count)]
    return b"".join([*parts, packer.flush()])


def test_a_bomb_is_not_unpacked_and_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "LEAST", 20 * 2**20)
    header = special("a.png", tarfile.REGTYPE)
    header.size = 60 * 2**20
    good = write(tmp_path / "g", {"good.png": png()}).read_bytes()[: 512 + -(-len(png()) // 512) * 512]
    (tmp_path / "bomb.tar.gz").write_bytes(zeros(good + header.tobuf(), 60))
    tracemalloc.start()
    found = items(tmp_path / "bomb.tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20
    assert len(found["good.png"]) == 1
    assert "unpacks to over 20 MB" in found[None][0].reason


def test_a_header_that_says_it_has_gigabytes_is_not_read(tmp_path):
    header = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 50 * 2**20
    (tmp_path / "x.tar.gz").write_bytes(zeros(header.tobuf(tarfile.GNU_FORMAT), 50))
    tracemalloc.start()
    ((item,),) = items(tmp_path / "x.tar.gz").values()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "damaged" in item.reason
    assert peak < 10 * 2**20
