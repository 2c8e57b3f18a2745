"""Hadlock's formulas: age (1984), weight (1985), size for age (1984), weight for age (1991).

The coefficients are for centimetres, as published; functions take and return mm. BPD: outer to inner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import ndtri

from fetal_jax.growth.ages import check_age
from fetal_jax.growth.distributions import Distribution, LogLMS, Normal
from fetal_jax.growth.measures import GrowthError, Source

BPD_CONVENTION = "outer-inner"
MEASURES = ("bpd", "hc", "ac", "fl")
"""Measures of the age and weight formulas, in the papers' order."""

AGE = Source(
    "Hadlock 1984",
    "Hadlock FP, Deter RL, Harrist RB, Park SK. Estimating fetal age: computer-assisted analysis of multiple fetal "
    "growth parameters. Radiology 1984; 152: 497-501",
)
WEIGHT = Source(
    "Hadlock 1985",
    "Hadlock FP, Harrist RB, Sharman RS, Deter RL, Park SK. Estimation of fetal weight with the use of head, body, and "
    "femur measurements: a prospective study. Am J Obstet Gynecol 1985; 151: 333-337",
)
WEIGHT_FOR_AGE = Source(
    "Hadlock 1991",
    "Hadlock FP, Harrist RB, Martinez-Poyer J. In utero analysis of fetal growth: a sonographic weight standard. "
    "Radiology 1991; 181: 129-133",
)

AGE_WEEKS = (14.0, 42.0)
"""Ages of the 361 fetuses of 1984, in weeks."""
WEEKS = dict.fromkeys(MEASURES, AGE_WEEKS) | {"efw": (10.0, 41.0)}

WEIGHT_FORMULAS = {
    "hadlock1": ("ac", "fl"),
    "hadlock2": ("bpd", "ac", "fl"),
    "hadlock3": ("hc", "ac", "fl"),
    "hadlock4": ("bpd", "hc", "ac", "fl"),
}
"""Measures that each weight formula takes."""

SPREADS = ("table", "12.7 %", "13 %", "0.12 ln")
"""The 1991 paper states the spread of weight in three ways that disagree: an SD of 12.7 % (abstract), 0.12 of ln(grams)
(regression) and 13 %. Its own table has the 10th and 90th centile at -17 and +17 %: that one is the default."""


def _centimetres(sizes_mm: Mapping[str, float]) -> list[float]:
    """BPD, HC, AC, FL in cm; NaN where not given, so that a formula that uses a missing size gives NaN."""
    return [sizes_mm.get(measure, math.nan) / 10 for measure in MEASURES]


def age_weeks(sizes_mm: Mapping[str, float]) -> float:
    """Age in weeks from any of BPD (outer-inner), HC, AC, FL in mm, by the formula of exactly those that are given."""
    b, h, a, f = _centimetres(sizes_mm)
    return {
        ("bpd",): 9.54 + 1.482 * b + 0.1676 * b**2,
        ("hc",): 8.96 + 0.540 * h + 0.0003 * h**3,
        ("ac",): 8.14 + 0.753 * a + 0.0036 * a**2,
        ("fl",): 10.35 + 2.460 * f + 0.170 * f**2,
        ("bpd", "ac"): 9.57 + 0.524 * a + 0.1220 * b**2,
        ("bpd", "hc"): 10.32 + 0.009 * h**2 + 1.3200 * b + 0.00012 * h**3,
        ("bpd", "fl"): 10.50 + 0.197 * b * f + 0.9500 * f + 0.7300 * b,
        ("hc", "ac"): 10.31 + 0.012 * h**2 + 0.3850 * a,
        ("hc", "fl"): 11.19 + 0.070 * h * f + 0.2630 * h,
        ("ac", "fl"): 10.47 + 0.442 * a + 0.3140 * f**2 - 0.0121 * f**3,
        ("bpd", "ac", "fl"): 10.61 + 0.175 * b * f + 0.2970 * a + 0.7100 * f,
        ("bpd", "hc", "fl"): 11.38 + 0.070 * h * f + 0.9800 * b,
        ("hc", "ac", "fl"): 10.33 + 0.031 * h * f + 0.3610 * h + 0.0298 * a * f,
        ("bpd", "hc", "ac"): 10.58 + 0.005 * h**2 + 0.3635 * a + 0.02864 * b * a,
        ("bpd", "hc", "ac", "fl"): 10.85 + 0.060 * h * f + 0.6700 * b + 0.1680 * a,
    }[tuple(m for m in MEASURES if m in sizes_mm)]


def weight_grams(formula: str, sizes_mm: Mapping[str, float]) -> float:
    """Weight in g by one of `WEIGHT_FORMULAS`, from sizes in mm; BPD outer-inner."""
    b, h, a, f = _centimetres(sizes_mm)
    log10_grams = {
        "hadlock1": 1.304 + 0.05281 * a + 0.1938 * f - 0.004 * a * f,
        "hadlock2": 1.335 - 0.0034 * a * f + 0.0316 * b + 0.0457 * a + 0.1623 * f,
        "hadlock3": 1.326 - 0.00326 * a * f + 0.0107 * h + 0.0438 * a + 0.158 * f,
        "hadlock4": 1.3596 - 0.00386 * a * f + 0.0064 * h + 0.00061 * b * a + 0.0424 * a + 0.174 * f,
    }[formula]
    return 10**log10_grams


def for_age(measure: str, weeks: float, spread: str = "table") -> tuple[Distribution, Source]:
    """Distribution of "hc", "bpd" (outer-inner), "ac", "fl" (mm) or "efw" (g) at an age.

    Args:
      measure: one of `WEEKS`.
      weeks: exact weeks.
      spread: of weight, one of `SPREADS`.

    Raises:
      GrowthError: another measure, an age outside `WEEKS`, an unknown spread.
    """
    if measure == "efw":
        check_age(measure, weeks, WEEKS, WEIGHT_FOR_AGE.formula)
        return _weight_for_age(weeks, spread), WEIGHT_FOR_AGE
    check_age(measure, weeks, WEEKS, AGE.formula)
    w = weeks
    mean_cm, sd_cm = {
        "bpd": (-3.08 + 0.41 * w - 0.000061 * w**3, 0.30),
        "hc": (-11.48 + 1.56 * w - 0.0002548 * w**3, 1.00),
        "ac": (-13.3 + 1.61 * w - 0.00998 * w**2, 1.34),
        "fl": (-3.91 + 0.427 * w - 0.0034 * w**2, 0.30),
    }[measure]
    return Normal(10 * mean_cm, 10 * sd_cm), AGE


def _weight_for_age(weeks: float, spread: str) -> Distribution:
    if spread not in SPREADS:
        raise GrowthError(f"spread {spread!r} is unknown: give one of {', '.join(SPREADS)}")
    log = 0.578 + 0.332 * weeks - 0.00354 * weeks**2
    if spread == "0.12 ln":
        return LogLMS(1, log, 0.12 / log)
    median = math.exp(log)
    relative = {"table": 0.17 / float(ndtri(0.9)), "12.7 %": 0.127, "13 %": 0.13}[spread]
    return Normal(median, relative * median)
