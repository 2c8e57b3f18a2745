"""95 % intervals by drawing whole subjects with replacement (Davison & Hinkley 1997, section 3.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Intervals = dict[str, tuple[float, float]]
Statistics = Callable[[Array], Mapping[str, float]]
"""Indices of frames (N,), some repeated -> statistics by name; NaN where undefined."""

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 20
"""Subjects below which there is no interval. Intervals of a mean absolute error (normal errors) cover the true mean in
81 % of samples of 5 subjects, 88 % of 10, 93 % of 20 and 94 % of 50."""
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def mean_intervals(subjects: Sequence[str], columns: Mapping[str, Array]) -> Intervals:
    """Percentile intervals of the mean of each column (N,) of frames; NaN cells are ignored.

    A column in which fewer than `FEWEST` subjects have a value gets no interval, nor does one of equal values, which
    resampling does not change (no failure in either of two runs is not a difference of "0 to 0").

    Args:
      subjects: the subject of each frame. Frames of one subject are not independent: they are drawn together.
      columns: values of frames (N,) by name.
    """
    group, counts = _draws(subjects)
    found = {}
    for name, column in columns.items():
        known = ~np.isnan(column)
        if len(np.unique(group[known])) < FEWEST or np.ptp(column[known]) == 0:
            continue
        sums, sizes = (np.bincount(group, w, counts.shape[1]) for w in (np.where(known, column, 0.0), known))
        drawn = counts @ sizes
        means = (counts @ sums)[drawn > 0] / drawn[drawn > 0]
        found[name] = _percentiles(means)
    return found


def intervals(subjects: Sequence[str], statistics: Statistics) -> Intervals:
    """Percentile intervals of any statistics of frames; none with fewer than `FEWEST` subjects."""
    if len(set(subjects)) < FEWEST:
        return {}
    group, counts = _draws(subjects)
    frames = np.arange(len(group))
    drawn = [statistics(np.repeat(frames, times[group])) for times in counts]
    columns = {
        key: np.array([d.get(key, np.nan) for d in drawn], float) for key in dict.fromkeys(k for d in drawn for k in d)
    }
    return {k: _percentiles(v[~np.isnan(v)]) for k, v in columns.items() if not np.isnan(v).all()}


def _draws(subjects: Sequence[str]) -> tuple[Array, Array]:
    """Index of the subject of each frame (N,), and number of times each draw has each subject (B, S).

    The seed is fixed: the same frames give the same report.
    """
    names, group = np.unique(np.asarray(subjects, str), return_inverse=True)
    rng, size = np.random.default_rng(0), len(names)
    chosen = rng.integers(size, size=(RESAMPLES, size)) if size else np.zeros((RESAMPLES, 0), int)
    return group, np.stack([np.bincount(row, minlength=size) for row in chosen])


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, _TAILS)
    return float(low), float(high)
