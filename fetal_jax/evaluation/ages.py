"""Gestational age from one length, and its trimester (Hadlock, Radiology 1984; 152: 497-501)."""

from __future__ import annotations

import math

from fetal_jax.growth import GrowthError, gestational_age, hadlock

TRIMESTERS = {"first": (-math.inf, 14.0), "second": (14.0, 28.0), "third": (28.0, math.inf)}
"""First week and end of each trimester, the end excluded."""


def weeks(measure: str, length_mm: float) -> float:
    """Gestational age in weeks from "hc_mm", "ac_mm" or "fl_mm"; NaN outside the formula's range of 14 to 42 weeks."""
    try:
        return gestational_age(standard="hadlock", **{measure: float(length_mm)}).weeks  # type: ignore[arg-type]
    except GrowthError:
        return math.nan


def trimester(measure: str, length_mm: float) -> str:
    """Trimester from the length alone; "unknown" if the length is NaN.

    A length below that of 14 weeks is in the first trimester, although the formula gives it no age.
    """
    age = hadlock.age_weeks({measure.removesuffix("_mm"): length_mm})
    return next((name for name, (low, high) in TRIMESTERS.items() if low <= age < high), "unknown")
