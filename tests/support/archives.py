"""Tars of drawn frames with broken ones among them, and the rows of Parquet files."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from pyarrow import parquet

from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.phantom import draw

SMALL = Machine(240, 320, clear=True)
PLANES = ("head", "abdomen", "femur")
DRAWN = 30
MM = 0.4


@cache
def _drawn(number: int) -> Any:
    return draw(PLANES[number % 3], 1000 + number, SMALL).image


def frame(number: int) -> bytes:
    """A PNG that no other number has; there are `DRAWN` drawings, and the number is in four pixels of the corner."""
    pixels = _drawn(number % DRAWN).copy()
    pixels[0, :4] = list(number.to_bytes(4))
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=1)
    return data.getvalue()


def broken(number: int) -> bool:
    """Whether a frame is cut in half: one in a hundred."""
    return number % 100 == 37


def write_tars(folder: Path, frames: int, each: int, poisoned: bool = True) -> Counter[str]:
    """Tars of frames, and one that ends in the middle of its second file; returns how many frames are what."""
    folder.mkdir(parents=True)
    for start in range(0, frames, each):
        path = folder / f"{start // each:05d}.tar"
        with tarfile.open(path, "w") as tar:
            for number in range(start, min(start + each, frames)):
                data = frame(number)
                _add(
                    tar, f"study{number // 10:05d}/{number:07d}.png", data[: len(data) // 2] if broken(number) else data
                )
    bad = sum(map(broken, range(frames)))
    if poisoned:
        with tarfile.open(folder / "poisoned.tar", "w") as tar:
            for number in (frames, frames + 1):
                _add(tar, f"poisoned/{number:07d}.png", frame(number))
        data = (folder / "poisoned.tar").read_bytes()
        (folder / "poisoned.tar").write_bytes(data[: len(data) // 2 + 512])
    return Counter(good=frames - bad + poisoned, bad=bad + 2 * poisoned)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def rows(out: Path, kind: str) -> list[dict[str, Any]]:
    """All rows of a kind of Parquet files, in the order of their names."""
    return [row for path in sorted((out / kind).glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def check(out: Path, expected: Counter[str]) -> None:
    """Assert that every good frame is there once, every bad one among the dead letters once, and no draft is left."""
    frames, dead = rows(out, "frames"), rows(out, "dead_letters")
    names = Counter((row["file"], row["frame"]) for row in (*frames, *dead))
    assert set(names.values()) == {1}
    assert len(frames) == expected["good"]
    assert len(dead) == expected["bad"]
    assert all(row["reason"] and row["what"] == "frame" for row in dead)
    assert {row["file"].endswith("poisoned.tar") or "poisoned" in row["file"] or broken(int(Path(row["file"]).stem))
            for row in dead} == {True}  # fmt: skip
    assert not list(out.rglob(".fetal-jax-*.draft"))
