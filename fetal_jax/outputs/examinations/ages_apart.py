"""Whether the ages by head, abdomen and femur, or by sizes and by another source, can be of one fetus.

A size outside the ages of Hadlock's formula counts as the nearest of them: its own age is only further off.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from fetal_jax.growth import format_age, hadlock
from fetal_jax.planes import QUANTITIES

AGES_APART = 0.2
"""Relative difference of the ages by two structures. Of 6,000 fetuses at each of 15, 18, 21, 25, 30 and 36 weeks, drawn
from Hadlock's or INTERGROWTH-21st's spread of sizes (correlation 0.4), at most 0.9 % differ by more than this, and up
to 5 % by over 15 %."""
SAME_FETUS_WEEKS = 5.0
"""Largest difference between the age by sizes and one from another source: stated, or predicted by an earlier visit. It
allows for growth restriction; another woman's or another pregnancy's examination is usually further off."""


def contradiction(sizes_mm: Mapping[str, float]) -> str:
    """Say why head, abdomen and femur cannot be of one fetus; empty if they can."""
    own, nearest = _own(sizes_mm), _nearest(sizes_mm)
    for one, other in combinations(sorted(own, key=lambda m: -own[m]), 2):
        if nearest[one] > (1 + AGES_APART) * nearest[other]:
            a, b = (f"{QUANTITIES[m].label} {sizes_mm[m]:.1f} mm is of {_weeks(own[m])}" for m in (one, other))
            return f"{a}, {b}: two fetuses, a wrong spacing or abnormal growth; look at the frames"
    return ""


def is_far(weeks: float, age: float | None, sizes_mm: Mapping[str, float]) -> bool:
    """Whether an age from another source is over `SAME_FETUS_WEEKS` from that by the sizes.

    Args:
      weeks: the age from another source.
      age: that by the sizes. Without one, `weeks` must be as far from the age by each size.
      sizes_mm: the sizes by measure.
    """
    own = list(_nearest(sizes_mm).values()) if age is None else [age]
    return bool(own) and all(abs(by_size - weeks) > SAME_FETUS_WEEKS for by_size in own)


def stated_apart(weeks: float, age: float | None, sizes_mm: Mapping[str, float]) -> str:
    """Say that a stated age is far from the sizes, as `is_far`; empty if it is not."""
    if not is_far(weeks, age, sizes_mm):
        return ""
    by_sizes = f"their age is {format_age(age)}" if age else "each is of another age"
    return (
        f"the stated age {format_age(weeks)} is over {SAME_FETUS_WEEKS:g} weeks from the sizes ({by_sizes}): "
        "a wrong age, a wrong spacing or abnormal growth; look at the frames"
    )


def _own(sizes_mm: Mapping[str, float]) -> dict[str, float]:
    """The age by each size alone, in weeks."""
    return {m: hadlock.age_weeks({m: sizes_mm[m]}) for m in ("hc", "ac", "fl") if m in sizes_mm}


def _nearest(sizes_mm: Mapping[str, float]) -> dict[str, float]:
    """The age by each size alone, or the nearest that the formula holds for."""
    low, high = hadlock.AGE_WEEKS
    return {m: min(max(weeks, low), high) for m, weeks in _own(sizes_mm).items()}


def _weeks(weeks: float) -> str:
    """An age by the formula: "20.3 weeks", or "under 14 weeks" where the formula does not hold."""
    low, high = hadlock.AGE_WEEKS
    return f"under {low:g} weeks" if weeks < low else f"over {high:g} weeks" if weeks > high else f"{weeks:.1f} weeks"
