"""Whether head, abdomen and femur can be of one fetus, by the age of each size alone.

A size outside the ages of Hadlock's formula counts as the nearest of them: its own age is only further off.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from fetal_jax.growth import hadlock
from fetal_jax.growth.ages import format_age
from fetal_jax.planes import QUANTITIES

AGES_APART = 0.2
"""Relative difference of the ages by two structures. Of 6,000 fetuses at each of 15, 18, 21, 25, 30 and 36 weeks, drawn
from Hadlock's or INTERGROWTH-21st's spread of sizes (correlation 0.4), at most 0.9 % differ by more than this, and up
to 5 % by over 15 %. With a BPD (2,000 fetuses at each age) it is at most 1.2 %."""


def contradiction(sizes_mm: Mapping[str, float]) -> str:
    """Name two sizes of one fetus whose ages are over `AGES_APART` apart; empty if there are none.

    Args:
      sizes_mm: HC, AC, FL, and a BPD (outer-inner) where it was measured by itself; others are ignored.
    """
    own, nearest = _own(sizes_mm), nearest_ages(sizes_mm)
    for one, other in combinations(sorted(own, key=lambda m: -own[m]), 2):
        if nearest[one] > (1 + AGES_APART) * nearest[other]:
            a, b = (_size(m, sizes_mm[m]) for m in (one, other))
            return f"{a} is of {_in_words(own[one])}, {b} of {_in_words(own[other])}"
    return ""


def nearest_ages(sizes_mm: Mapping[str, float]) -> dict[str, float]:
    """The age in weeks by each size alone, or the nearest that the formula holds for."""
    low, high = hadlock.AGE_WEEKS
    return {m: min(max(weeks, low), high) for m, weeks in _own(sizes_mm).items()}


def _own(sizes_mm: Mapping[str, float]) -> dict[str, float]:
    return {m: hadlock.age_weeks({m: sizes_mm[m]}) for m in hadlock.MEASURES if m in sizes_mm}


def _size(measure: str, mm: float) -> str:
    convention = f" {hadlock.BPD_CONVENTION}" if measure == "bpd" else ""
    return f"{QUANTITIES[measure].label} {mm:.1f} mm{convention}"


def _in_words(weeks: float) -> str:
    """An age by the formula: "20w2d", or "under 14 weeks" where the formula does not hold."""
    low, high = hadlock.AGE_WEEKS
    return f"under {low:g} weeks" if weeks < low else f"over {high:g} weeks" if weeks > high else format_age(weeks)
