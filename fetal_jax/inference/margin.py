"""A margin around the scanner's picture, as of a screenshot: the network measures too large there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = "the picture has a margin: crop the frame to the scanner's picture"
DEEP = 0.02
"""Share of a side from which lines of one colour are a margin. The deepest on 1,689 real frames is a bar of 0.4 %
(`benchmarks/margin.py`)."""
BLACK = 24
"""Grey level up to which a margin is a scanner's own black: abdomens are 1 % too large there, at 32 up to 14 %."""
ALIKE, LIKE = 0.9, 4
"""Share of a line, and grey levels, within which it is of one colour: a title bar crosses a window, JPEG has noise."""


def has_margin(frame: NDArray[Any]) -> bool:
    """Whether a grey frame (H, W) uint8 has a margin that is not black, of one colour, on at least one side.

    A black margin is what scanners draw themselves, and cannot be told from one. A frame of one colour has no picture.
    """
    return depth(frame) >= DEEP


def depth(frame: NDArray[Any]) -> float:
    """Depth of the deepest such margin of a grey frame (H, W) uint8, as a share of height or width; 0: none."""
    return max(_depth(lines) for lines in (frame, frame[::-1], frame.T, frame.T[::-1]))


def _depth(lines: NDArray[Any]) -> float:
    """Share of the lines that are a margin: the first ones, of one colour that is not black, unless all are."""
    colour = float(np.median(lines[0]))
    if colour <= BLACK:
        return 0.0
    alike = np.mean(abs(lines - np.float32(colour)) <= LIKE, axis=1) >= ALIKE
    return 0.0 if alike.all() else float(np.argmin(alike) / len(lines))
