"""Exact inference for small numbers: the paired sign-flip test and the interval of a share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[Any]

ENUMERATED = 16
"""Most subjects for which all 2^n sign patterns are tried: 65,536."""
LEVEL = 0.95
DRAWS = 9999
"""Random sign patterns above that: no p is below 1 / 10,000."""


def sign_flip_p(subjects: Sequence[str], differences: ArrayLike) -> float:
    """Two-sided p of "the mean paired difference is 0", by flipping the signs of whole subjects.

    The paired permutation test (Fisher, The Design of Experiments, 1935, section 21). If the two runs do
    not differ, each subject's differences are as likely with the opposite sign. p is the share of sign patterns whose
    absolute mean is at least the observed one: exact for up to `ENUMERATED` subjects, so that n subjects cannot give
    less than 2 / 2^n. Above, (1 + hits) / (1 + draws) of random patterns (Phipson & Smyth 2010).

    Args:
      subjects: the subject of each pair (N,).
      differences: of the pairs (N,); NaN, if one of the two has no value, is ignored.
    """
    values = np.asarray(differences, float)
    known = ~np.isnan(values)
    _, group = np.unique(np.asarray(subjects, str)[known], return_inverse=True)
    sums = np.bincount(group, values[known])
    sums = sums[sums != 0]  # a subject without a difference is the same under either sign
    n = len(sums)
    if n == 0:
        return 1.0
    least = abs(sums.sum()) * (1 - 1e-12)
    if n <= ENUMERATED:
        signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(signs @ sums) >= least))
    signs = np.random.default_rng(0).choice(np.array([-1.0, 1.0]), size=(DRAWS, n))
    return float((1 + np.sum(np.abs(signs @ sums) >= least)) / (1 + DRAWS))


def share_interval(share: float, independent: int) -> tuple[float, float]:
    """95 % Clopper-Pearson interval of a share, with the number of subjects as the number of trials.

    Frames of one subject are not independent: `independent` is the number of subjects, as in Korn & Graubard, Survey
    Methodology 1998; 24: 193-201, which takes a count that need not be whole. Exact from one subject on: 0 failures
    of 10 give 0 to 0.31, not 0 to 0.
    """
    tail, hits = (1 - LEVEL) / 2, share * independent
    low = stats.beta.ppf(tail, hits, independent - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, independent - hits) if hits < independent else 1.0
    return float(low), float(high)


def share_intervals(subjects: Sequence[str], columns: dict[str, Array]) -> dict[str, tuple[float, float]]:
    """`share_interval` of each column (N,) of ones, zeros and NaN (ignored); empty columns are left out."""
    found = {}
    for name, column in columns.items():
        known = ~np.isnan(column)
        if known.any():
            independent = len(set(np.asarray(subjects, str)[known].tolist()))
            found[name] = share_interval(float(column[known].mean()), independent)
    return found
