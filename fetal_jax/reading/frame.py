"""Results of reading: frames, and failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import PixelSize
from fetal_jax.reading.study import Study


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
    warnings: tuple[str, ...] = ()
    """Damage that the decoder ignored, such as bad JPEG data: such a frame needs review."""
    study: Study | None = None
    """None where the file is not DICOM."""
    sha256: str | None = None
    """Of the content of its file, from before it was decoded; None for DICOM, which states its object's identifier."""


@dataclass(frozen=True)
class Failure:
    """A file, or the rest of one, that could not be read as frames."""

    source: Source
    index: int
    reason: str
    damaged: bool = True
    """False if the file is sound but holds no ultrasound image."""
