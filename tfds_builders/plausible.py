"""Rules for annotations that cannot be: equal ends, impossible sizes, points far outside the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.planes import AXIS_LIMITS_MM

Array = NDArray[Any]
MOST_OUTSIDE = 0.25
"""Share of the length by which an end may be outside the frame; 35 real heads leave theirs by less."""


def fault(plane: str, ends: Array, size: tuple[int, int], spacing_mm: float) -> str:
    """Say why a structure's diameters or ends are impossible; empty if they are possible.

    Args:
      plane: "head", "abdomen" or "femur".
      ends: (n, 2, 2), n pairs of end points (x, y) in the frame's pixels.
      size: (width, height) of the frame.
      spacing_mm: mm per pixel; NaN, zero or negative if unknown, and sizes are then not judged.
    """
    lengths = np.hypot(*np.moveaxis(ends[:, 1] - ends[:, 0], -1, 0))
    if not np.isfinite(ends).all() or (lengths == 0).any():
        return "end points equal or not finite"
    low, high = AXIS_LIMITS_MM[plane]
    if spacing_mm > 0 and not ((low <= lengths * spacing_mm) & (lengths * spacing_mm <= high)).all():
        return f"not within {low} to {high} mm"
    if outside(ends, size) > MOST_OUTSIDE * lengths.max():
        return f"an end is over {100 * MOST_OUTSIDE:.0f} % of the length outside the frame"
    return ""


def outside(ends: Array, size: tuple[int, int]) -> float:
    """Pixels by which the outermost of the ends (..., 2) is outside the frame (width, height); negative if none is."""
    return float(np.maximum(-ends, ends - np.array(size)).max())
