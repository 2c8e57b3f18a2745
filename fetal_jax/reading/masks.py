"""Masks in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fetal_jax.errors import UserError
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image

Array = NDArray[Any]


def read_mask(path: Path, shape: tuple[int, ...]) -> Array:
    """The mask (H, W) bool of a frame of `shape` in an image file: what is brighter than half of its brightest pixel.

    Raises:
      UserError: it is not the frame's size, or cannot be read.
    """
    mask = to_grey(read_image(path))
    if mask.shape != shape:
        sizes = [f"{s[1]}x{s[0]}" for s in (mask.shape, shape)]
        raise UserError(f"{path} is {sizes[0]}, its frame {sizes[1]}: give masks of the frame's own size")
    return mask > mask.max() // 2
