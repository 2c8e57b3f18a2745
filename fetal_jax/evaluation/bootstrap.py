"""Intervals of any statistic, by drawing whole subjects with replacement (Davison & Hinkley 1997, §3.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Statistics = Callable[[Array], dict[str, float]]
"""Indices of frames (N,), some of them several times -> statistics by name; NaN where there is none."""

RESAMPLES = 1000
LEVEL = 0.95


def intervals(subjects: Sequence[str], statistics: Statistics, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of statistics of frames.

    Args:
      subjects: of each frame. The frames of one subject are drawn together: they are not independent.
      statistics: of the frames at some indices.
      seed: of the draws, so that a report comes out the same twice.
    """
    drawn = _draws(subjects, statistics, seed)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {name: v[~np.isnan(v)] for name, v in drawn.items()}
    return {name: (float(q[0]), float(q[1])) for name, v in found.items() if len(v) and len(q := np.quantile(v, tails))}


def two_sided_p(subjects: Sequence[str], difference: Statistics, seed: int = 0) -> dict[str, float]:
    """How often the difference between two paired runs changes its sign from draw to draw, twice (at least 2 / B)."""
    drawn = _draws(subjects, difference, seed)
    below = {name: ((v <= 0).mean(), (v >= 0).mean()) for name, v in drawn.items()}
    return {name: float(np.clip(2 * min(tails), 2 / RESAMPLES, 1)) for name, tails in below.items()}


def _draws(subjects: Sequence[str], statistics: Statistics, seed: int) -> dict[str, Array]:
    names, group = np.unique(np.asarray(subjects), return_inverse=True)
    rng, frames = np.random.default_rng(seed), np.arange(len(group))
    found = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        found.append(statistics(np.repeat(frames, times[group])))
    return {name: np.array([f[name] for f in found], float) for name in found[0]}
