"""Gestational age and fetal weight from sizes."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_jax.growth import hadlock, intergrowth
from fetal_jax.growth.ages import format_age, format_outside
from fetal_jax.growth.measures import GrowthError, bpd_as, given, labels

WEIGHT_FORMULAS = hadlock.WEIGHT_FORMULAS | {"intergrowth": ("hc", "ac")}
"""Measures that each weight formula takes, by its name."""


@dataclass(frozen=True)
class GestationalAge:
    """An age, the measures that took part, and the formula."""

    weeks: float  # exact
    measures: tuple[str, ...]
    formula: str
    citation: str

    def __str__(self) -> str:
        return format_age(self.weeks)


@dataclass(frozen=True)
class FetalWeight:
    """A weight, the measures that took part, and the formula."""

    grams: float
    name: str
    """One of `WEIGHT_FORMULAS`; a growth chart takes weights by one of them alone."""
    measures: tuple[str, ...]
    formula: str
    citation: str


def gestational_age(
    *,
    hc_mm: float | None = None,
    ac_mm: float | None = None,
    fl_mm: float | None = None,
    bpd_mm: float | None = None,
    bpd_convention: str | None = None,
    crl_mm: float | None = None,
    standard: str = "hadlock",
) -> GestationalAge:
    """Gestational age from sizes.

    Args:
      hc_mm: head circumference. All lengths in mm.
      ac_mm: abdominal circumference.
      fl_mm: femur length.
      bpd_mm: biparietal diameter, converted where the formula was made with the other convention.
      bpd_convention: "outer-inner" or "outer-outer", required with a BPD.
      crl_mm: crown-rump length.
      standard: "hadlock" (1984: any of HC, AC, FL, BPD, by the formula of all that are given) or "intergrowth" (HC and
        FL, HC alone, or CRL alone; AC and BPD take no part).

    Returns:
      The age; its `measures` took part.

    Raises:
      GrowthError: a size that no fetus has, a BPD without its convention, no formula for what is given, or an age
        outside those that the formula was made on (Hadlock 14 to 42 weeks, INTERGROWTH-21st 14 to 40).
    """
    sizes = given(bpd_convention, hc=hc_mm, ac=ac_mm, fl=fl_mm, bpd=bpd_mm, crl=crl_mm)
    if standard == "intergrowth":
        weeks, measures, source = intergrowth.age(sizes)
        covered = intergrowth.AGE_WEEKS
    elif standard == "hadlock":
        if "crl" in sizes:
            raise GrowthError(f"{hadlock.AGE.formula} has no formula for CRL: take the standard intergrowth")
        if "bpd" in sizes:
            sizes["bpd"] = bpd_as(hadlock.BPD_CONVENTION, sizes["bpd"], bpd_convention)
        weeks, source, covered = hadlock.age_weeks(sizes), hadlock.AGE, hadlock.AGE_WEEKS
        measures = tuple(m for m in hadlock.MEASURES if m in sizes)
    else:
        raise GrowthError(f"there is no age formula {standard!r}: give hadlock or intergrowth")
    formula = f"{source.formula} ({labels(measures)})"
    if measures != ("crl",) and not covered[0] <= weeks <= covered[1]:  # the range of a CRL was checked in mm
        age, (low, high) = format_outside(weeks, covered[1]), covered
        raise GrowthError(f"{age} by {formula}, which covers {low:g} to {high:g} weeks")
    return GestationalAge(weeks, measures, formula, source.citation)


def fetal_weight(
    *,
    hc_mm: float | None = None,
    ac_mm: float | None = None,
    fl_mm: float | None = None,
    bpd_mm: float | None = None,
    bpd_convention: str | None = None,
    formula: str = "hadlock3",
) -> FetalWeight:
    """Fetal weight from sizes.

    Args:
      hc_mm: head circumference. All lengths in mm.
      ac_mm: abdominal circumference.
      fl_mm: femur length.
      bpd_mm: biparietal diameter, converted to outer-inner.
      bpd_convention: "outer-inner" or "outer-outer", required with a BPD.
      formula: of `WEIGHT_FORMULAS`. "hadlock3" (HC, AC, FL) is the one that WHO's charts are made with; a measure that
        the formula does not take is left out, and `measures` says so.

    Raises:
      GrowthError: a size that no fetus has, a BPD without its convention, a measure missing, an unknown formula.
    """
    sizes = given(bpd_convention, hc=hc_mm, ac=ac_mm, fl=fl_mm, bpd=bpd_mm)
    if formula not in WEIGHT_FORMULAS:
        raise GrowthError(f"there is no weight formula {formula!r}: give one of {', '.join(WEIGHT_FORMULAS)}")
    measures = WEIGHT_FORMULAS[formula]
    missing = tuple(m for m in measures if m not in sizes)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise GrowthError(f"{formula} takes {labels(measures)}: {labels(missing)} {verb} missing")
    if formula == "intergrowth":
        source, grams = intergrowth.WEIGHT, intergrowth.weight_grams(sizes)
    else:
        if "bpd" in sizes:
            sizes["bpd"] = bpd_as(hadlock.BPD_CONVENTION, sizes["bpd"], bpd_convention)
        source, grams = hadlock.WEIGHT, hadlock.weight_grams(formula, sizes)
    return FetalWeight(grams, formula, measures, f"{source.formula} ({labels(measures)})", source.citation)
