"""How far two ways of measuring the same thing agree: Bland-Altman, ICC(2,1), concordance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[Any]

OBSERVER_LIMIT_PERCENT = {"hc_mm": 4.9, "ac_mm": 8.8, "fl_mm": 11.1}
"""95 % limits of agreement of two sonographers, each scanning anew (Sarris et al., Ultrasound Obstet Gynecol 2012;
39: 266-73), as a percentage of the mean."""


def bland_altman(measured: ArrayLike, true: ArrayLike, percent: bool = False) -> dict[str, Any]:
    """Bias and 95 % limits of agreement of paired measurements (N,), with 95 % confidence intervals.

    In their unit, or in percent of each pair's mean.

    Bland & Altman, Lancet 1986; 327: 307-10, and Stat Methods Med Res 1999; 8: 135-60: a limit's variance is
    s² (1/n + 1.96² / (2 (n - 1))). `slope` is of the difference over the mean (proportional bias), with its p. All of
    them take the pairs for independent; `bootstrap` does not.

    Raises:
      ValueError: fewer than three pairs.
    """
    measured, true = np.asarray(measured, float), np.asarray(true, float)
    n = len(measured)
    if n < 3:
        raise ValueError(f"agreement takes at least three pairs, not {n}")
    middle = (measured + true) / 2
    difference = 100 * (measured - true) / middle if percent else measured - true
    bias, sd, t = difference.mean(), difference.std(ddof=1), stats.t.ppf(0.975, n - 1)
    off, limit = t * sd / np.sqrt(n), 1.96 * sd
    limit_off = t * sd * np.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    line = stats.linregress(middle, difference) if np.ptp(middle) > 0 else None
    t_slope = stats.t.ppf(0.975, n - 2)
    return {
        "pairs": n,
        "bias": float(bias),
        "bias_ci": _around(bias, off),
        "lower": float(bias - limit),
        "lower_ci": _around(bias - limit, limit_off),
        "upper": float(bias + limit),
        "upper_ci": _around(bias + limit, limit_off),
        "slope": float(line.slope) if line else None,
        "slope_ci": _around(line.slope, t_slope * line.stderr) if line else None,
        "slope_p": float(line.pvalue) if line else None,
    }


def icc(ratings: ArrayLike) -> float:
    """ICC(2,1) of ratings (subjects, raters): two-way random, single rater, absolute agreement.

    Shrout & Fleiss, Psychol Bull 1979; 86: 420-8.
    """
    x = np.asarray(ratings, float)
    n, k = x.shape
    rows, columns, mean = x.mean(1), x.mean(0), x.mean()
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    raters = n * ((columns - mean) ** 2).sum() / (k - 1)
    error = ((x - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (k - 1))
    total = between + (k - 1) * error + k * (raters - error) / n
    return float((between - error) / total) if total else float("nan")


def concordance(measured: ArrayLike, true: ArrayLike) -> float:
    """Lin's concordance: 2 s_xy / (s_x² + s_y² + (x̄ - ȳ)²), variances over n (Biometrics 1989; 45: 255)."""
    x, y = np.asarray(measured, float), np.asarray(true, float)
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else float("nan")


def agreement(measured: ArrayLike, true: ArrayLike, measure: str) -> dict[str, Any]:
    """Everything above of HC, AC or FL (N,) in mm, in mm and in percent of the mean, beside two sonographers."""
    measured, true = np.asarray(measured, float), np.asarray(true, float)
    return {
        "mm": bland_altman(measured, true),
        "percent": bland_altman(measured, true, percent=True),
        "icc": icc(np.column_stack([measured, true])),
        "concordance": concordance(measured, true),
        "observers_percent": OBSERVER_LIMIT_PERCENT[measure],
    }


def _around(middle: float, off: float) -> tuple[float, float]:
    return float(middle - off), float(middle + off)
