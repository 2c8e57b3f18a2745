"""Hadlock's formulas. Inside this file lengths are in cm, as published; the BPD is outer-inner.

- Age and size: Hadlock F. P. et al., Radiology 1984; 152: 497-501 (361 fetuses, 14 to 42 weeks).
- Weight: Hadlock F. P. et al., Am J Obstet Gynecol 1985; 151: 333-337.
- Weight for age: Hadlock F. P. et al., Radiology 1991; 181: 129-133 (10 to 41 weeks).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fetal_jax.growth.checks import covered

AGE_CITATION = "Hadlock et al., Radiology 1984; 152: 497-501"
WEIGHT_CITATION = "Hadlock et al., Am J Obstet Gynecol 1985; 151: 333-337"
WEIGHT_FOR_AGE_CITATION = "Hadlock et al., Radiology 1991; 181: 129-133"
WEEKS = (14.0, 42.0)
WEEKS_OF_WEIGHT = (10.0, 41.0)

Formula = Callable[..., float]

AGE: dict[tuple[str, ...], Formula] = {
    ("bpd",): lambda b: 9.54 + 1.482 * b + 0.1676 * b**2,
    ("hc",): lambda h: 8.96 + 0.540 * h + 0.0003 * h**3,
    ("ac",): lambda a: 8.14 + 0.753 * a + 0.0036 * a**2,
    ("fl",): lambda f: 10.35 + 2.460 * f + 0.170 * f**2,
    ("bpd", "ac"): lambda b, a: 9.57 + 0.524 * a + 0.1220 * b**2,
    ("bpd", "hc"): lambda b, h: 10.32 + 0.009 * h**2 + 1.3200 * b + 0.00012 * h**3,
    ("bpd", "fl"): lambda b, f: 10.50 + 0.197 * b * f + 0.9500 * f + 0.7300 * b,
    ("hc", "ac"): lambda h, a: 10.31 + 0.012 * h**2 + 0.3850 * a,
    ("hc", "fl"): lambda h, f: 11.19 + 0.070 * h * f + 0.2630 * h,
    ("ac", "fl"): lambda a, f: 10.47 + 0.442 * a + 0.3140 * f**2 - 0.0121 * f**3,
    ("bpd", "ac", "fl"): lambda b, a, f: 10.61 + 0.175 * b * f + 0.2970 * a + 0.7100 * f,
    ("bpd", "hc", "fl"): lambda b, h, f: 11.38 + 0.070 * h * f + 0.9800 * b,
    ("hc", "ac", "fl"): lambda h, a, f: 10.33 + 0.031 * h * f + 0.3610 * h + 0.0298 * a * f,
    ("bpd", "hc", "ac"): lambda b, h, a: 10.58 + 0.005 * h**2 + 0.3635 * a + 0.02864 * b * a,
    ("bpd", "hc", "ac", "fl"): lambda b, h, a, f: 10.85 + 0.060 * h * f + 0.6700 * b + 0.1680 * a,
}
"""Weeks from the measures named, in that order."""

WEIGHT: dict[tuple[str, ...], tuple[str, Formula]] = {
    ("ac", "fl"): ("hadlock1", lambda a, f: 1.304 + 0.05281 * a + 0.1938 * f - 0.004 * a * f),
    ("bpd", "ac", "fl"): (
        "hadlock2",
        lambda b, a, f: 1.335 - 0.0034 * a * f + 0.0316 * b + 0.0457 * a + 0.1623 * f,
    ),
    ("hc", "ac", "fl"): ("hadlock3", lambda h, a, f: 1.326 - 0.00326 * a * f + 0.0107 * h + 0.0438 * a + 0.158 * f),
    ("bpd", "hc", "ac", "fl"): (
        "hadlock4",
        lambda b, h, a, f: 1.3596 - 0.00386 * a * f + 0.0064 * h + 0.00061 * b * a + 0.0424 * a + 0.174 * f,
    ),
}
"""log10 of the grams from the measures named, in that order."""

SIZE: dict[str, tuple[Formula, float]] = {
    "bpd": (lambda w: -3.08 + 0.41 * w - 0.000061 * w**3, 0.30),
    "hc": (lambda w: -11.48 + 1.56 * w - 0.0002548 * w**3, 1.00),
    "ac": (lambda w: -13.3 + 1.61 * w - 0.00998 * w**2, 1.34),
    "fl": (lambda w: -3.91 + 0.427 * w - 0.0034 * w**2, 0.30),
}
"""Mean from the weeks, and standard deviation, in cm."""

WEIGHT_SD = 0.17 / 1.2815515655446004
"""Of the mean. The paper's Table 1 prints its 10th and 90th centile at 17 % from the mean; its abstract says 12.7 %."""


def mean_and_sd(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and standard deviation at an age: mm, or g for "efw".

    Raises:
      ValueError: a measure or an age that Hadlock does not give.
    """
    if measure == "efw":
        covered(weeks, *WEEKS_OF_WEIGHT, "Hadlock 1991")
        mean = math.exp(0.578 + 0.332 * weeks - 0.00354 * weeks**2)
        return mean, WEIGHT_SD * mean
    if measure not in SIZE:
        raise ValueError(f"Hadlock gives no size for age of {measure!r}; {', '.join((*SIZE, 'efw'))} are given")
    covered(weeks, *WEEKS, "Hadlock 1984")
    size, sd = SIZE[measure]
    return 10 * size(weeks), 10 * sd
