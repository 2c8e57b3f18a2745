"""Map of a femur -> shaft: two end points and a width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fetal_jax.geometry import HALF_PIXEL, Shaft

Array = NDArray[Any]
STEP = 0.5  # pixels between samples along the axis; across it 1, enough for a sum over the bone


@dataclass(frozen=True)
class Found:
    """A shaft and the width in pixels of the step from 1 to 0 at its ends."""

    shaft: Shaft
    end_width: float


def fit_shaft(probability: Array) -> Found | None:
    """Fit the bone's two ends and its width, in the map's pixels.

    The map is resampled along its principal axis and summed across it, which gives the bone's width along the axis.
    The ends are where this falls through half of its plateau (sub-pixel), on the bone's middle line, so that the
    length of a bowed bone is its chord.

    Args:
      probability: (H, W) in [0, 1], one structure.

    Returns:
      The shaft, or None if the map holds no elongated structure.
    """
    mass = probability.sum()
    rows, columns = np.nonzero(probability > 0.01)
    if mass < 4 or len(rows) < 4:
        return None
    weight = probability[rows, columns].astype(float)
    points = np.stack([columns, rows], 1) + HALF_PIXEL
    middle = weight @ points / weight.sum()
    spread = ((points - middle) * weight[:, None]).T @ (points - middle) / weight.sum()
    variance, axes = np.linalg.eigh(spread)
    along = axes[:, 1] * np.sign(axes[0, 1] or 1.0)  # from left to right
    side = np.array([-along[1], along[0]])

    half_length, half_width = 2.2 * np.sqrt(variance[1]) + 4, 3 * np.sqrt(variance[0]) + 4
    s = np.arange(-half_length, half_length + STEP, STEP)
    t = np.arange(-half_width, half_width + 1)
    to_map = np.stack([STEP * along, side], 1)[::-1]  # (row, column) of the map for a sample's two indices
    corner = (middle + s[0] * along + t[0] * side - HALF_PIXEL)[::-1]
    strip = ndimage.affine_transform(
        probability, to_map, corner, (len(s), len(t)), order=1, mode="constant", prefilter=False
    )

    width = strip.sum(1)  # samples are one pixel apart
    plateau = float(np.median(width[width > width.max() / 2]))
    above = np.flatnonzero(width >= plateau / 2)
    first, last = above[0], above[-1]
    if first == 0 or last == len(s) - 1:
        return None
    ends = [_crossing(s, width, first - 1, plateau / 2), _crossing(s, width, last, plateau / 2)]

    # the middle line near an end, a straight line over the two widths before it
    centre = strip @ t / np.maximum(width, 1e-9)
    corners = []
    for end, inward in zip(ends, (1.0, -1.0), strict=True):
        depth = (s - end) * inward
        near = (depth > 0.25 * plateau) & (depth < 2.5 * plateau) & (width >= plateau / 2)
        offset = np.polyval(np.polyfit(s[near], centre[near], 1), end) if near.sum() >= 3 else 0.0
        corners.append(middle + end * along + offset * side)
    slopes = [abs(width[i + 1] - width[i]) / (STEP * plateau) for i in (first - 1, last)]
    return Found(Shaft.from_ends(corners, plateau), float(np.mean(1 / np.maximum(slopes, 0.02))))


def _crossing(s: Array, width: Array, i: int, level: float) -> float:
    """Position at which the profile crosses `level` between samples i and i + 1."""
    return float(s[i] + (level - width[i]) / (width[i + 1] - width[i]) * (s[i + 1] - s[i]))
