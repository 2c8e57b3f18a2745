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
class FittedShaft:
    """A shaft and the width in pixels of the step from 1 to 0 at its ends."""

    shaft: Shaft
    end_width: float


def fit_shaft(probability: Array) -> FittedShaft | None:
    """Fit the bone's two ends and its width, in the map's pixels.

    The map is resampled along its principal axis and summed across it, which gives the bone's width along the axis.
    The ends are where this falls through half of its plateau (sub-pixel), on the bone's middle line, so that the
    length of a bowed bone is its chord.

    Args:
      probability: (H, W) in [0, 1], one structure; a mask works, too.

    Returns:
      The shaft, or None if the map holds no elongated structure.
    """
    if probability.dtype.kind != "f":
        probability = probability.astype(np.float32)  # SciPy would resample a mask into ones and zeros again
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
    ridge = strip.max(1)
    bone = np.flatnonzero(ridge >= ridge.max() / 2)
    plateau = float(np.median(width[bone]))
    # The level of an end is half of the width beside that end: muscle that the map half believes in widens the middle
    # of some bones, and half of that width was reached well inside the end (20 % too short on one routine frame).
    ends, slopes = [], []
    for end, outward in ((bone[0], -1), (bone[-1], 1)):
        depth = (s[end] - s) * outward
        beside = (depth > plateau / 2) & (depth < 2.5 * plateau)
        level = float(np.median(width[beside])) / 2 if beside.any() else plateau / 2
        last = _last_above(width, level, end, outward)
        if last is None:
            return None
        inner, outer = width[last], width[last + outward]
        ends.append(float(s[last] + outward * STEP * (inner - level) / (inner - outer)))
        slopes.append((inner - outer) / (2 * STEP * level))

    # the middle line near an end, a straight line over the two widths before it
    centre = strip @ t / np.maximum(width, 1e-9)
    corners = []
    for end, inward in zip(ends, (1.0, -1.0), strict=True):
        depth = (s - end) * inward
        near = (depth > 0.25 * plateau) & (depth < 2.5 * plateau) & (width >= plateau / 2)
        offset = _line_at(s[near], centre[near], end) if near.sum() >= 3 else 0.0
        corners.append(middle + end * along + offset * side)
    return FittedShaft(Shaft.from_ends(corners, plateau), float(np.mean(1 / np.maximum(slopes, 0.02))))


def _line_at(x: Array, y: Array, at: float) -> float:
    """Evaluate the least-squares line through points (x, y) at x = `at` (np.polyfit takes seven times as long)."""
    from_mean = x - x.mean()
    return float(y.mean() + (at - x.mean()) * (from_mean @ y) / (from_mean @ from_mean))


def _last_above(width: Array, level: float, start: int, outward: int) -> int | None:
    """Find the last sample outward from about `start` that is at least `level`; None where the profile ends first."""
    i = start
    while 0 <= i < len(width) and width[i] < level:
        i -= outward
    while 0 <= i + outward < len(width) and width[i + outward] >= level:
        i += outward
    return i if 0 <= i < len(width) and 0 <= i + outward < len(width) else None
