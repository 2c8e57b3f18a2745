"""Checks of sizes, and the two conventions of a BPD. Lengths in mm."""

from __future__ import annotations

from typing import NamedTuple

from fetal_jax.errors import UserError
from fetal_jax.planes import QUANTITIES

CONVENTIONS = ("outer-inner", "outer-outer")
"""Positions of a BPD's calipers: the outer border of the near skull, the inner or outer border of the far one."""


class GrowthError(UserError, ValueError):
    """A size, an age or a combination that a formula does not cover. The message says what is covered."""


class Source(NamedTuple):
    """A published formula: its short name and its citation."""

    formula: str
    citation: str


def labels(measures: tuple[str, ...]) -> str:
    """`("hc", "fl")` -> "HC, FL"."""
    return ", ".join(QUANTITIES[m].label for m in measures)


def check_size(measure: str, value: float) -> None:
    """Refuse a size that no fetus has, NaN included.

    Raises:
      GrowthError: the value is outside its `limits` in `planes.QUANTITIES`.
    """
    quantity = QUANTITIES[measure]
    (low, high), unit = quantity.limits, quantity.unit
    if not low <= value <= high:
        raise GrowthError(
            f"{quantity.label} {value:g} {unit} is outside {low} to {high} {unit}: check it, and that it is in {unit}"
        )


def given(bpd_convention: str | None, **sizes_mm: float | None) -> dict[str, float]:
    """Drop sizes that are None and check the others; a BPD needs its convention.

    Raises:
      GrowthError: a size outside its `planes.QUANTITIES` limits, no size at all, or a BPD without a known convention.
    """
    there = {measure: float(value) for measure, value in sizes_mm.items() if value is not None}
    if not there:
        raise GrowthError(f"none of {labels(tuple(sizes_mm))} is given: give one")
    for measure, value in there.items():
        check_size(measure, value)
    if "bpd" in there:
        check_convention(bpd_convention)
    return there


def check_convention(bpd_convention: str | None) -> None:
    """Refuse a BPD without a known convention."""
    if bpd_convention not in CONVENTIONS:
        said = "is missing" if bpd_convention is None else f"{bpd_convention!r} is unknown"
        raise GrowthError(f"a BPD needs its bpd_convention, which {said}: {' or '.join(CONVENTIONS)}")


def bpd_as(wanted: str, bpd_mm: float, convention: str | None) -> float:
    """A BPD in the convention that a formula was made with.

    Two regressions over 543 fetuses, one for each direction (so there and back is not the same to the last digit):
    Wong L, et al. Australas J Ultrasound Med 2018; 21: 161-168.

    Args:
      wanted: "outer-inner" or "outer-outer".
      bpd_mm: the diameter as measured.
      convention: how it was measured.

    Raises:
      GrowthError: the convention is missing or unknown.
    """
    check_convention(convention)
    if convention == wanted:
        return bpd_mm
    if wanted == "outer-outer":
        return 0.555934 + 1.027318 * bpd_mm
    return -0.403458 + 0.9714153 * bpd_mm


def bpd_text(wanted: str, bpd_mm: float, convention: str | None) -> str:
    """Convention of a BPD on a chart and, if it was converted, its origin: "outer-outer, from 80.0 mm outer-inner"."""
    return wanted if convention == wanted else f"{wanted}, from {bpd_mm:.1f} mm {convention}"
