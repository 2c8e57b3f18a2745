"""Text on pictures: Pillow's own font, and the width of a text in it."""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from PIL import ImageDraw, ImageFont

_PLAIN = dict(zip("ßæœøłđıþð–—", ("ss", "ae", "oe", "o", "l", "d", "i", "th", "d", "-", "-"), strict=True))
"""Letters and dashes that do not decompose into a plain one and an accent."""
_UNSEEN = ("Mn", "Me", "Cf")
"""Accents of their own, and marks that are never drawn."""
_GAP = 1
"""Pixels after a hyphen: in small sizes the font draws "--" as one dash, and a flag could not be copied."""


@functools.cache
def font(size: float) -> Any:
    """The font at a size in pixels."""
    return ImageFont.load_default(size)


def write(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, colour: Any) -> None:
    """Draw a text of a size in pixels with its baseline from `at`, (x, y), to the right."""
    for part in re.findall("[^-]*-|[^-]+", drawable(text)):
        pen.text(at, part, colour, font(size), anchor="ls")
        at = at[0] + width(part, size), at[1]


def drawable(text: str) -> str:
    """A text as it is drawn: a letter that the font lacks in plain ones, "a" for "ä", "ss" for "ß", or else as "?"."""
    return "".join(map(_drawable, text))


@functools.cache
def _drawable(letter: str) -> str:
    if not _lacks(letter):
        return letter
    parts = (part for part in unicodedata.normalize("NFKD", letter) if unicodedata.category(part) not in _UNSEEN)
    plain = "".join(_PLAIN.get(part.lower(), part) for part in parts)
    if any(map(_lacks, plain)):
        return "?"
    return plain.upper() if letter.isupper() else plain


def _lacks(letter: str) -> bool:
    """Whether the font draws its box for a letter that it does not have, as for U+FFFF, which is none."""
    return bytes(font(20).getmask(letter)) == bytes(font(20).getmask("\uffff"))


def width(text: str, size: float) -> float:
    """Width of a text in pixels: the sum of its letters, each measured once (Pillow needs 0.2 ms for a whole text)."""
    return sum(_advance(letter, size) for letter in text)


def fitting(text: str, size: float, room: float) -> int:
    """Number of a text's letters that fit into `room` pixels."""
    return bisect_right(list(accumulate(_advance(letter, size) for letter in text)), room)


def broken(text: str, size: float, room: float) -> list[str]:
    """Break a text between words into lines of `room` pixels; a longer word has a line of its own."""
    lines, current, end = [], "", 0.0  # widths are summed word by word: each letter is looked up once
    for word in text.split(" "):
        more = f" {word}" if current else word
        if current and end + width(more, size) > room:
            lines.append(current)
            current, end, more = "", 0.0, word
        current, end = current + more, end + width(more, size)
    return [*lines, current]


@functools.cache
def _advance(letter: str, size: float) -> float:
    drawn = _drawable(letter)
    return float(font(size).getlength(drawn)) + _GAP * drawn.count("-")
