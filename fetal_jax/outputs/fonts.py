"""Type on pictures: Pillow's own font, and how wide a text is in it."""

from __future__ import annotations

import functools
from typing import Any

from PIL import ImageFont


@functools.cache
def font(size: float) -> Any:
    """The font at a size in pixels."""
    return ImageFont.load_default(size)


def width(text: str, size: float) -> float:
    """Pixels that a text is wide: the sum of its letters, each measured once (a whole text takes Pillow 0.2 ms)."""
    return sum(_advance(letter, size) for letter in text)


@functools.cache
def _advance(letter: str, size: float) -> float:
    return float(font(size).getlength(letter))
