"""What reading gives: frames, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fetal_jax.reading.sources import Source


@dataclass(frozen=True)
class PixelSize:
    """Millimetres per pixel that a frame carries itself, or why it carries none."""

    mm: tuple[float, float] | None = None
    """(row, column)."""
    source: str | None = None
    """"dicom" or "ruler"."""
    reason: str = ""
    """Why there is none; empty where a file of that kind never has one."""
    region: tuple[float, float, float, float] | None = None
    """(x0, y0, x1, y1) of the pixels that it holds for; None: all."""
    confidence: float | None = None
    """Of a ruler, in [0, 1]."""


@dataclass(frozen=True)
class Frame:
    """One frame of a file."""

    source: Source
    index: int
    """From 0 within its file."""
    pixels: NDArray[Any]
    """(H, W) uint8, grey."""
    size: PixelSize
    cine: bool = False
    """Whether its file holds several frames."""


@dataclass(frozen=True)
class Failure:
    """A file, or what is left of one, that gave no frame."""

    source: Source
    index: int
    reason: str
    damaged: bool = True
    """False where nothing is wrong with the file: it holds no image."""
