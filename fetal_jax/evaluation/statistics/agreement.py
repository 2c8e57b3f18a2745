"""Agreement of two ways of measuring the same thing: Bland-Altman, ICC(2,1), concordance, non-inferiority."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

SARRIS = "Sarris et al., Ultrasound Obstet Gynecol 2012; 39: 266-73"
OBSERVER_LIMIT_PERCENT = {"hc_mm": 4.9, "ac_mm": 8.8, "fl_mm": 11.1}
"""95 % limits of agreement of two sonographers who each scan the fetus, in percent of the mean (Sarris et al. 2012)."""
REPEAT_LIMIT_PERCENT = {"hc_mm": 3.0, "ac_mm": 5.3, "fl_mm": 6.6}
"""95 % limits of agreement of one sonographer who scans twice, in percent of the mean (Sarris et al. 2012)."""
LIMIT = 1.96
SHARE = 0.95
"""The share of differences that limits of agreement are meant to contain."""
FEWEST, MOST_SUBJECTS = 3, 1_000_000
ROUNDING = 1e-9
"""Relative difference below which means of pairs count as equal: a slope over them would be one of rounding errors."""


def bland_altman(
    measured: ArrayLike, true: ArrayLike, percent: bool = False, subjects: int | None = None
) -> dict[str, Any]:
    """Compute bias and 95 % limits of agreement of paired measurements (N,), with 95 % confidence intervals.

    In their unit, or in percent of each pair's mean.

    Bland & Altman, Lancet 1986; 327: 307-10, and Stat Methods Med Res 1999; 8: 135-60: the variance of a limit is
    s² (1/n + 1.96² / (2 (n - 1))). `slope` is that of the difference over the mean (proportional bias), with its p.

    Args:
      measured: values of one method.
      true: values of the other method.
      percent: whether to take differences in percent of the mean of the pair.
      subjects: number of independent subjects, used as n in the intervals; None: the number of pairs. The intervals are
        None with fewer than three.

    Raises:
      ValueError: there are fewer than three pairs.
    """
    measured, true = np.asarray(measured, float), np.asarray(true, float)
    pairs = len(measured)
    if pairs < FEWEST:
        raise ValueError(f"agreement takes at least three pairs, not {pairs}")
    n = pairs if subjects is None else subjects
    middle = (measured + true) / 2
    difference = 100 * (measured - true) / middle if percent else measured - true
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    lower, upper = bias - LIMIT * sd, bias + LIMIT * sd
    found: dict[str, Any] = {"pairs": pairs, "subjects": n, "bias": bias, "sd": sd, "lower": lower, "upper": upper}
    along = middle - middle.mean()
    spread = float(along @ along) if np.ptp(middle) > ROUNDING * np.abs(middle).max() else 0.0
    slope = float(along @ (difference - bias)) / spread if spread else None
    found |= {"slope": slope, "slope_ci": None, "slope_p": None}
    if n < FEWEST:
        return found | dict.fromkeys(("bias_ci", "lower_ci", "upper_ci"))
    off, limit_off = float(stats.t.ppf(0.975, n - 1)) * sd / np.sqrt(n), limit_half_width(sd, n)
    found |= {"bias_ci": _around(bias, off)}
    found |= {"lower_ci": _around(lower, limit_off), "upper_ci": _around(upper, limit_off)}
    if slope is not None:
        residual = difference - bias - slope * along
        error = float(np.sqrt(residual @ residual / (n - 2) / spread))
        found["slope_ci"] = _around(slope, float(stats.t.ppf(0.975, n - 2)) * error)
        exact = float(slope == 0)  # all points on one line
        found["slope_p"] = float(2 * stats.t.sf(abs(slope) / error, n - 2)) if error > 0 else exact
    return found


def limit_half_width(sd: float, n: int) -> float:
    """Half width of the 95 % confidence interval of a limit of agreement, from n independent differences of that SD."""
    return float(stats.t.ppf(0.975, n - 1) * sd * np.sqrt(1 / n + LIMIT**2 / (2 * (n - 1))))


def subjects_for(sd: float, half_width: float) -> int | None:
    """Fewest subjects whose limits of agreement have a 95 % confidence interval of at most ± `half_width`.

    None if `MOST_SUBJECTS` are not enough.
    """
    low, high = FEWEST - 1, MOST_SUBJECTS
    if half_width <= 0 or limit_half_width(sd, MOST_SUBJECTS) > half_width:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if limit_half_width(sd, middle) <= half_width else (middle, high)
    return high


def icc(ratings: ArrayLike) -> float:
    """ICC(2,1) of ratings (subjects, raters): two-way random, single rater, absolute agreement.

    Shrout & Fleiss, Psychol Bull 1979; 86: 420-8. NaN if all ratings are equal, or there is only one subject.
    """
    x = np.asarray(ratings, float)
    n, k = x.shape
    if n < 2:
        return float("nan")
    rows, columns, mean = x.mean(1), x.mean(0), x.mean()
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    raters = n * ((columns - mean) ** 2).sum() / (k - 1)
    error = ((x - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (k - 1))
    total = between + (k - 1) * error + k * (raters - error) / n
    return float((between - error) / total) if total else float("nan")


def concordance(measured: ArrayLike, true: ArrayLike) -> float:
    """Lin's concordance: 2 s_xy / (s_x² + s_y² + (x̄ - ȳ)²), variances over n (Biometrics 1989; 45: 255).

    NaN if all values are equal.
    """
    x, y = np.asarray(measured, float), np.asarray(true, float)
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else float("nan")


def agreement(measured: ArrayLike, true: ArrayLike, measure: str, subjects: int | None = None) -> dict[str, Any]:
    """Compute the agreement of HC, AC or FL (N,) in mm and in percent of the mean, beside that of two sonographers.

    ICC and concordance are None if undefined.
    """
    measured, true = np.asarray(measured, float), np.asarray(true, float)
    correlations = {"icc": icc(np.column_stack([measured, true])), "concordance": concordance(measured, true)}
    return {
        "mm": bland_altman(measured, true, subjects=subjects),
        "percent": bland_altman(measured, true, percent=True, subjects=subjects),
        **{k: None if np.isnan(v) else v for k, v in correlations.items()},
        "observers_percent": OBSERVER_LIMIT_PERCENT[measure],
    }


def non_inferiority(limits: dict[str, Any], share_inside: float, margin: float, source: str) -> dict[str, Any]:
    """Whether the limits of agreement are shown to be no wider than a margin.

    Args:
      limits: from `bland_altman`, in percent.
      share_inside: share of all labelled frames whose difference is at most the margin; failures count as outside.
      margin: in percent of the mean of the pair.
      source: of the margin.

    Returns:
      `verdict` is "non-inferior": the outer 95 % confidence bound of both limits is inside the margin, and so are at
      least 95 % of all frames; "inferior": one limit is outside it with its whole interval; else "not shown". `bound`
      is the outer confidence bound farther from 0, `subjects_needed` the number of subjects that would bring it inside
      the margin with the same limits (None: no number would).
    """
    widest = max(abs(limits["lower"]), abs(limits["upper"]))
    found = {"margin_percent": margin, "source": source, "share_inside": share_inside, "limit": widest}
    found |= {"bound": None, "subjects_needed": subjects_for(limits["sd"], margin - widest)}
    if limits["lower_ci"] is None:
        return found | {"verdict": "not shown", "reason": f"too few subjects: {limits['subjects']}"}
    (outer, inner), (inside, outside) = limits["lower_ci"], limits["upper_ci"]
    bound = max(abs(outer), abs(outside))
    if inner < -margin or inside > margin:
        verdict, reason = "inferior", "a limit of agreement is outside the margin with its whole interval"
    elif bound > margin:
        verdict, reason = "not shown", "the confidence bound is outside the margin"
    elif share_inside < SHARE:
        verdict, reason = "not shown", "fewer than 95 % of all frames, failures included, are inside the margin"
    else:
        verdict, reason = "non-inferior", "bound and share of frames are inside the margin"
    return found | {"bound": bound, "verdict": verdict, "reason": reason}


def _around(middle: float, off: float) -> tuple[float, float]:
    return float(middle - off), float(middle + off)
