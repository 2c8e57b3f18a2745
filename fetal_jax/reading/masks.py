"""Masks in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image

Array = NDArray[Any]
LEAST_AREA = 0.01  # of all flat blocks: a skull drawn 2 pixels wide around a head is 2 %


def read_mask(path: Path, shape: tuple[int, ...]) -> Array:
    """Read the mask (H, W) bool of a frame of `shape` from an image file: pixels over half as bright as the brightest.

    Raises:
      UserError: the mask is not of the frame's size, cannot be read, has areas of several grey levels above 0, or
        shows its structure by transparent pixels.
    """
    mask = to_grey(read_image(path))
    if _hides(path):
        raise UserError(
            f"{path} shows its structure by transparent pixels, which are not read: save it without them, the "
            "structure white on black"
        )
    if mask.shape != shape:
        sizes = [f"{s[1]}x{s[0]}" for s in (mask.shape, shape)]
        raise UserError(f"{path} is {sizes[0]}, its frame {sizes[1]}: give masks of the frame's own size")
    levels = grey_levels(mask)
    if len(levels) > 1:
        raise UserError(
            f"{path} has areas of the grey levels {', '.join(map(str, levels))}: give a mask of one level above 0, "
            "filled to the structure's outer border"
        )
    return mask > mask.max() // 2


def _hides(path: Path) -> bool:
    """Whether fully transparent pixels of an image file are not black, or all of its colour is.

    The mask is then in the transparency. Where they are black around a brighter structure, colour says the same.
    """
    with Image.open(path) as image:
        if not image.has_transparency_data:
            return False
        pixels = np.asarray(image.convert("RGBA"))
    grey, unseen = to_grey(pixels), pixels[..., 3] == 0
    return bool(unseen.any() and (grey[unseen].any() or not grey.any()))


def is_inverted(mask: Array) -> bool:
    """Whether a mask (H, W) bool is true around its structure: in three corners, which no structure fills."""
    return int(mask[:: mask.shape[0] - 1, :: mask.shape[1] - 1].sum()) >= 3


def beside_largest(mask: Array) -> int:
    """Count the pixels of a mask (H, W) bool beside its largest connected area, which is the one that is measured."""
    labels, _ = scipy.ndimage.label(mask)
    areas = np.bincount(labels.ravel())[1:]
    return int(areas.sum() - areas.max(initial=0))


def grey_levels(mask: Array) -> list[int]:
    """Find the grey levels above 0 that fill areas of a mask (H, W) uint8, from dark to bright.

    The grey edge of an antialiased or blurred mask is not an area: it has no flat blocks of 2 x 2 pixels, or its levels
    are continuous. Levels within 1/16 of the brightest are one level, so that JPEG masks pass.
    """
    grey = mask.astype(np.int16)
    blocks = np.stack([grey[:-1, :-1], grey[:-1, 1:], grey[1:, :-1], grey[1:, 1:]])
    one = int(mask.max()) // 16
    flat = blocks.min(0)[(np.ptp(blocks, axis=0) <= one // 2) & (blocks.min(0) > one)]
    levels, counts = np.unique(flat, return_counts=True)
    cuts = np.flatnonzero(np.diff(levels) > one) + 1
    areas = zip(np.split(levels, cuts), np.split(counts, cuts), strict=True)
    return [int(values[n.argmax()]) for values, n in areas if n.sum() > LEAST_AREA * len(flat)]
