"""The range of an age computed from sizes: healthy fetuses of one age differ in size."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

from fetal_jax.growth import hadlock, intergrowth, reference

LEVEL = 0.95
CORRELATION = 0.5
"""Assumed correlation of two measures' z-scores at one age. Of 1500 fetuses drawn from Hadlock's spread with one of
0.3, 0.5 and 0.7 the range of HC, AC and FL holds 96, 95 and 93 %; from INTERGROWTH-21st's 95, 93 and 93 %."""
_STEP_MM = 0.01


def age_range(sizes_mm: Mapping[str, float], weeks: float, standard: str) -> tuple[float, float]:
    """95 % range (low, high), in weeks, of an age from a dating formula.

    The standard's spread of each size at that age is propagated through the formula:
    SD² = Σᵢⱼ gᵢ sᵢ rᵢⱼ gⱼ sⱼ with gᵢ = d age / d sizeᵢ, sᵢ the SD of size i, r = `CORRELATION` off the diagonal.

    Args:
      sizes_mm: the measures that the formula used ("hc", "ac", "fl"), in mm.
      weeks: the formula's age, within the ages of the standard.
      standard: "hadlock" or "intergrowth": the origin of the formula.
    """
    effects = []
    for measure in sizes_mm:
        high, low = (_age({**sizes_mm, measure: sizes_mm[measure] + step}, standard) for step in (_STEP_MM, -_STEP_MM))
        of_age = reference(measure, weeks, standard)
        sd = (of_age.value(97.5) - of_age.value(2.5)) / (2 * float(ndtri(0.975)))
        effects.append((high - low) / (2 * _STEP_MM) * sd)
    e = np.array(effects)
    variance = (1 - CORRELATION) * (e**2).sum() + CORRELATION * e.sum() ** 2
    half = float(ndtri((1 + LEVEL) / 2)) * math.sqrt(variance)
    return weeks - half, weeks + half


def _age(sizes_mm: Mapping[str, float], standard: str) -> float:
    return intergrowth.age(sizes_mm)[0] if standard == "intergrowth" else hadlock.age_weeks(sizes_mm)
