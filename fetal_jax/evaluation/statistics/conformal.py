"""Split conformal prediction intervals, scaled by the map's own error estimate.

Lei et al., J Am Stat Assoc 2018; 113: 1094-1111, §5.2: the score of a frame is its absolute error over its `sd_mm`.
The factor is the score that 90 % of the calibration frames, with one more counted as infinite, do not exceed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.9
FEWEST = 20
"""Calibration frames below which no table is made; a 90 % factor is finite from nine on."""
FEWEST_SUBJECTS = 9
"""Subjects of those frames below which no table is made: with fewer, `coverage_range` is undefined."""


def factor(errors_mm: ArrayLike, sd_mm: ArrayLike) -> float:
    """Half width of the interval in units of `sd_mm`. Errors and estimates are (N,), without NaN.

    Raises:
      ValueError: there are too few frames.
    """
    scores = np.sort(np.abs(np.asarray(errors_mm, float)) / np.asarray(sd_mm, float))
    rank = int(np.ceil((len(scores) + 1) * LEVEL))
    if rank > len(scores):
        raise ValueError(f"{len(scores)} frames are too few for {LEVEL:.0%} intervals")
    return float(scores[rank - 1])


def coverage_range(calibrated: int, tested: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Range of the coverage of `tested` frames in 99 % of all draws: beta-binomial, for exchangeable frames.

    Angelopoulos & Bates 2021 (arXiv 2107.07511), §3.2: coverage given the calibration frames is Beta(n + 1 - l, l),
    l = floor((n + 1)(1 - level)). None if l is 0: at 90 %, with fewer than `FEWEST_SUBJECTS`.
    """
    outside = int(np.floor((calibrated + 1) * (1 - level) + 1e-9))
    if outside == 0:
        return None
    law = stats.betabinom(tested, calibrated + 1 - outside, outside)
    return float(law.ppf(0.005) / tested), float(law.ppf(0.995) / tested)
