"""What was measured, drawn over its frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax.biometry import Measurement
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.preprocess import to_grey

Array = NDArray[Any]

FOUND, TRUE, WRITING = (255, 210, 60), (90, 235, 120), (255, 255, 255)  # RGB
SUBPIXEL_BITS = 4
LINE_HEIGHT = 20


def draw(frame: Array, found: Measurement | None, lines: list[str], true: Ellipse | Shaft | None = None) -> Array:
    """An RGB picture (H', W, 3) of a frame with its measurement and, below it, lines of text.

    Args:
      frame: (H, W) or (H, W, 3) uint8.
      found: geometry in the frame's pixels; None draws the frame alone.
      lines: what is written below.
      true: the annotated shape, drawn in green.
    """
    picture = cv2.cvtColor(to_grey(frame), cv2.COLOR_GRAY2RGB)
    if true is not None:
        _shape(picture, true, TRUE)
    if found is not None:
        for shape in (found.ellipse, found.shaft):
            if shape is not None:
                _shape(picture, shape, FOUND)
    band = np.zeros((LINE_HEIGHT * len(lines) + 8, picture.shape[1], 3), np.uint8)
    for i, line in enumerate(lines):
        size = min(0.5, 0.5 * (band.shape[1] - 12) / max(cv2.getTextSize(line, _FONT, 0.5, 1)[0][0], 1))
        cv2.putText(band, line, (6, LINE_HEIGHT * (i + 1) - 2), _FONT, size, WRITING, 1, cv2.LINE_AA)
    return np.vstack([picture, band])


_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _shape(picture: Array, shape: Ellipse | Shaft, colour: tuple[int, int, int]) -> None:
    if isinstance(shape, Ellipse):
        _polyline(picture, shape.points(360), colour, closed=True)
        axes = shape.axes_matrix.T
        centre = np.array([shape.cx, shape.cy])
        ends = [centre + sign * axis for axis in axes for sign in (-1, 1)]
    else:
        _polyline(picture, shape.ends, colour, closed=False)
        ends = list(shape.ends)
    for end in ends:  # calipers
        for step in ((5.0, 0.0), (0.0, 5.0)):
            _polyline(picture, np.array([end - step, end + step]), colour, closed=False)


def _polyline(picture: Array, points: Array, colour: tuple[int, int, int], closed: bool) -> None:
    # OpenCV counts from pixel centres
    fixed = np.round((points - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(picture, [fixed], closed, colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
