"""Ticks along the left and the bottom edge of a frame (Aloka) -> millimetres per pixel down and along, or no value.

A tick is black, three pixels long and one or two wide; a long one six. It shows only where the picture behind it is
brighter. If every second tick is long, they are 5 mm apart; if every fifth is, 10 mm. Both edges must agree on this.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GROUND = 12
"""Grey levels next to a tick under which it cannot be seen."""
DARK, LIGHT = 0.35, 0.65
"""Shares of the ground's grey level: a tick is darker than the first, its surroundings are lighter than the second."""
MIN_TICKS, MIN_BOTH = 3, 5
"""Ticks of known place on one edge, and of known length on both edges together."""
MIN_PERIOD = 12.0
OFF = 1.2
"""Largest error of a tick's position, in pixels: it is drawn on whole pixels, and the frame may have been resized."""
UNITS = {2: 5.0, 5: 10.0}
"""Every n-th tick is long -> millimetres from tick to tick."""


@dataclass(frozen=True)
class Ticks:
    """Ticks on one edge: place = start + index * period."""

    index: Array
    long: Array
    """1 long, 0 short, NaN where the ground is too dark to tell."""
    period: float
    error: float
    """Standard error of the period, relative."""

    def fits(self, every: int) -> bool:
        """Whether every n-th tick (n = `every`) is long and no other."""
        known = np.isfinite(self.long)
        index, long = self.index[known], self.long[known] > 0
        return any(((index % every == first) == long).all() for first in range(every))


def read_ticks(frame: Array) -> tuple[Ticks | None, Ticks | None, float | str]:
    """Ticks down the left edge, along the bottom edge, and the millimetres between two, or why they are unknown."""
    left, bottom = _fit(frame[:, :8]), _fit(frame[::-1][:8].T)
    seen = [edge for edge in (left, bottom) if edge is not None]
    if not seen or sum(int(np.isfinite(edge.long).sum()) for edge in seen) < MIN_BOTH:
        return left, bottom, "no ruler was found"
    units = [mm for every, mm in UNITS.items() if all(edge.fits(every) for edge in seen)]
    if len(units) != 1:
        return left, bottom, "the ruler's long ticks do not tell its unit"
    return left, bottom, units[0]


def _fit(strip: Array) -> Ticks | None:
    """Fit equal steps to all ticks of an edge; of several fits, the longest step without a gap on bright ground."""
    places, long, empty = _find(strip.astype(float))
    if len(places) < MIN_TICKS:
        return None
    steps = {(b - a) / n for a, b in pairwise(places) for n in range(1, 7)}
    for period in sorted((s for s in steps if s >= MIN_PERIOD), reverse=True):
        index = np.rint((places - places[0]) / period)
        if len(set(index)) < len(index) or len(index) < 2:
            continue
        period, start = np.polyfit(index, places, 1)
        off = places - start - index * period
        if np.abs(off).max() > OFF:
            continue
        first, last = np.ceil(-start / period), np.floor((len(strip) - 1 - start) / period)
        missing = [k for k in np.arange(first, last + 1) if k not in index and _is_empty(empty, start + k * period)]
        between = sum(_is_empty(empty, start + (k + 0.5) * period) for k in np.arange(first, last))
        if missing or between < 2:
            continue
        spread = np.sqrt(((index - index.mean()) ** 2).sum())
        error = max(np.sqrt(np.mean(off**2)), 0.29) / spread / period
        return Ticks(index.astype(int), long, float(period), float(error))
    return None


def _find(strip: Array) -> tuple[Array, Array, Array]:
    """Find the ticks in a strip (N, 8), inwards from the edge: positions, kinds, and where there is surely none."""
    near, far = strip[:, 1:3], strip[:, 4:6]
    places, long = [], []
    at = 1
    while at < len(strip) - 2:
        for width in (1, 2):
            end = at + width
            if end >= len(strip):
                break
            if _is_dark(near, at, end):
                places.append((at + end) / 2)
                long.append(_is_long(far, at, end))
                at = end
                break
        at += 1
    low, high = near.min(1), near.max(1)
    four = np.lib.stride_tricks.sliding_window_view
    least, most = four(low, 4).min(1), four(high, 4).max(1)
    return np.array(places), np.array(long), (least >= GROUND) & (least >= LIGHT * most)


def _ground(part: Array, at: int, end: int) -> float:
    return float(min(part[at - 1].min(), part[end].min()))


def _is_dark(part: Array, at: int, end: int) -> bool:
    ground = _ground(part, at, end)
    return ground >= GROUND and part[at:end].max() <= DARK * ground


def _is_long(part: Array, at: int, end: int) -> float:
    ground = _ground(part, at, end)
    if ground < GROUND:
        return float("nan")
    if part[at:end].max() <= DARK * ground:
        return 1.0
    return 0.0 if part[at:end].min() >= LIGHT * ground else float("nan")


def _is_empty(empty: Array, place: float) -> bool:
    """Whether there is surely no tick within a pixel of a place."""
    at = round(place) - 2
    return bool(0 <= at < len(empty) and empty[at])
