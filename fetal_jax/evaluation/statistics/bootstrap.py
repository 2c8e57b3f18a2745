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
    """95 % percentile intervals of statistics of frames. Arguments are those of `draws`."""
    return percentiles(draws(subjects, statistics, seed))


def draws(subjects: Sequence[str], statistics: Statistics, seed: int = 0) -> dict[str, Array]:
    """Statistics of `RESAMPLES` draws (B,), NaN in a draw without any; a name that a draw lacks is NaN there too.

    Args:
      subjects: of each frame. The frames of one subject are drawn together: they are not independent.
      statistics: of the frames at some indices. Of two paired runs: their difference.
      seed: of the draws, so that a report comes out the same twice.
    """
    names, group = np.unique(np.asarray(subjects), return_inverse=True)
    rng, frames = np.random.default_rng(seed), np.arange(len(group))
    found = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        found.append(statistics(np.repeat(frames, times[group])))
    keys = dict.fromkeys(k for f in found for k in f)
    return {key: np.array([f.get(key, np.nan) for f in found], float) for key in keys}


def percentiles(drawn: dict[str, Array]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each statistic that any draw has."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {name: v[~np.isnan(v)] for name, v in drawn.items()}
    return {name: (float(q[0]), float(q[1])) for name, v in found.items() if len(v) and len(q := np.quantile(v, tails))}


def two_sided(drawn: dict[str, Array]) -> dict[str, float]:
    """p of no difference: how often a difference changes its sign from draw to draw, twice (at least 2 / B, at most 1).

    Efron & Tibshirani 1993, §15.4: the interval's level at which it just touches 0.
    """
    tails = {name: ((v[~np.isnan(v)] <= 0).mean(), (v[~np.isnan(v)] >= 0).mean()) for name, v in drawn.items()}
    return {name: float(np.clip(2 * min(each), 2 / RESAMPLES, 1)) for name, each in tails.items()}
