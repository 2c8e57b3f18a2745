"""The two ways to measure a biparietal diameter, and what turns one into the other.

Wong L. et al. 2018 (543 fetuses; PMC8409806). Hadlock and WHO measure from the outer border of the near skull to the
inner border of the far one, INTERGROWTH-21st and this project from outer border to outer border.
"""

from __future__ import annotations

from typing import Literal

Convention = Literal["outer-inner", "outer-outer"]
CONVENTIONS: tuple[Convention, ...] = ("outer-inner", "outer-outer")


def outer_from_inner(bpd_mm: float) -> float:
    """Outer-outer from outer-inner, mm."""
    return 0.555934 + 1.027318 * bpd_mm


def inner_from_outer(bpd_mm: float) -> float:
    """Outer-inner from outer-outer, mm."""
    return -0.403458 + 0.9714153 * bpd_mm


def as_convention(bpd_mm: float, given: str | None, wanted: Convention) -> float:
    """A BPD in the convention that a formula needs.

    Raises:
      ValueError: it is not said how the BPD was measured.
    """
    if given not in CONVENTIONS:
        raise ValueError(f"say how the BPD was measured: bpd_convention is {' or '.join(CONVENTIONS)}, not {given!r}")
    if given == wanted:
        return bpd_mm
    return outer_from_inner(bpd_mm) if wanted == "outer-outer" else inner_from_outer(bpd_mm)
