"""Where a size lies among fetuses of its age."""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

from fetal_jax.growth import hadlock, intergrowth, who
from fetal_jax.growth.bpd import Convention, as_convention
from fetal_jax.growth.checks import positive

MEASURES = ("hc", "bpd", "ofd", "ac", "fl", "efw")
STANDARDS = ("intergrowth", "intergrowth2020", "hadlock", "who")
BPD_OF_STANDARD: dict[str, Convention] = {"intergrowth": "outer-outer", "hadlock": "outer-inner", "who": "outer-inner"}
LMS = {"intergrowth": intergrowth.weight_lms, "intergrowth2020": intergrowth.hadlock_weight_lms}
"""Weights are given as skewness, median and spread of ln(g)."""


def z_score(
    measure: str, value: float, weeks: float, standard: str = "intergrowth", bpd_convention: str | None = None
) -> float:
    """How many standard deviations a size lies above the median of its age.

    Args:
      measure: "hc", "bpd", "ofd", "ac", "fl" in mm, or "efw" in g.
      value: the size.
      weeks: exact weeks.
      standard: "intergrowth" (size 2014, weight 2017), "intergrowth2020" (its centiles of Hadlock's weight), "hadlock"
        (size 1984, weight 1991), "who" (2017).
      bpd_convention: required for a BPD, converted to the standard's own.

    Raises:
      ValueError: what the standard does not cover; for WHO also a value beyond its first or last quantile.
    """
    value = positive(measure, value)
    _check(measure, standard)
    if measure == "bpd":
        value = as_convention(value, bpd_convention, BPD_OF_STANDARD[standard])
    if standard == "who":
        return who.z_score(measure, value, weeks)
    if measure == "efw" and standard in LMS:
        skew, median, spread = LMS[standard](weeks)
        return ((math.log(value) / median) ** skew - 1) / (spread * skew)
    mean, sd = _moments(measure, weeks, standard)
    return (value - mean) / sd


def centile(
    measure: str, value: float, weeks: float, standard: str = "intergrowth", bpd_convention: str | None = None
) -> float:
    """The percentage of fetuses of an age that are smaller, 0 to 100. Arguments and errors are those of `z_score`."""
    return 100 * float(ndtr(z_score(measure, value, weeks, standard, bpd_convention)))


def value_at(measure: str, percent: float, weeks: float, standard: str = "intergrowth") -> float:
    """The size at a centile: mm or g. A BPD is in the standard's own convention (`BPD_OF_STANDARD`).

    Raises:
      ValueError: what the standard does not cover, or a centile outside 0 to 100.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a centile lies between 0 and 100, not at {percent}")
    _check(measure, standard)
    z = float(ndtri(percent / 100))
    if standard == "who":
        return who.value(measure, z, weeks)
    if measure == "efw" and standard in LMS:
        skew, median, spread = LMS[standard](weeks)
        return math.exp(median * (1 + z * spread * skew) ** (1 / skew))
    mean, sd = _moments(measure, weeks, standard)
    return mean + z * sd


def citation(measure: str, standard: str) -> str:
    """Where a standard's values of a measure were published."""
    if standard == "who":
        return who.CITATION
    if measure == "efw":
        return {
            "intergrowth": intergrowth.WEIGHT_CITATION,
            "intergrowth2020": intergrowth.HADLOCK_WEIGHT_CITATION,
            "hadlock": hadlock.WEIGHT_FOR_AGE_CITATION,
        }[standard]
    return intergrowth.SIZE_CITATION if standard == "intergrowth" else hadlock.AGE_CITATION


def _moments(measure: str, weeks: float, standard: str) -> tuple[float, float]:
    if standard == "hadlock":
        return hadlock.mean_and_sd(measure, weeks)
    return intergrowth.size_for_age(measure, weeks)


def _check(measure: str, standard: str) -> None:
    if standard not in STANDARDS:
        raise ValueError(f"no standard {standard!r}; there are {', '.join(STANDARDS)}")
    if measure not in MEASURES:
        raise ValueError(f"no measure {measure!r}; there are {', '.join(MEASURES)}")
    if standard == "intergrowth2020" and measure != "efw":
        raise ValueError("intergrowth2020 gives centiles of efw by Hadlock's formula alone")
