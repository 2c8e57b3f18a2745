"""Whether the sizes of an examination can be of one fetus, and of the age from another source."""

from __future__ import annotations

from collections.abc import Mapping

from fetal_jax.growth import format_age
from fetal_jax.growth.contradiction import contradiction, nearest_ages

SAME_FETUS_WEEKS = 5.0
"""Largest difference between the age by sizes and one from another source: stated, or predicted by an earlier visit. It
allows for growth restriction; another woman's or another pregnancy's examination is usually further off."""


def sizes_apart(sizes_mm: Mapping[str, float]) -> str:
    """Say why head, abdomen and femur cannot be of one fetus; empty if they can."""
    said = contradiction(_dated(sizes_mm))
    return said and f"{said}: two fetuses, a wrong spacing or abnormal growth; look at the frames"


def is_far(weeks: float, age: float | None, sizes_mm: Mapping[str, float]) -> bool:
    """Whether an age from another source is over `SAME_FETUS_WEEKS` from that by the sizes.

    Args:
      weeks: the age from another source.
      age: that by the sizes. Without one, `weeks` must be as far from the age by each size.
      sizes_mm: the sizes by measure.
    """
    own = list(nearest_ages(_dated(sizes_mm)).values()) if age is None else [age]
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


def _dated(sizes_mm: Mapping[str, float]) -> dict[str, float]:
    """HC, AC and FL; BPD is an axis of the ellipse that gives HC."""
    return {m: sizes_mm[m] for m in ("hc", "ac", "fl") if m in sizes_mm}
