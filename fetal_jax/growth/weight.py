"""Fetal weight from a fetus's size."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_jax.growth import hadlock, intergrowth
from fetal_jax.growth.bpd import as_convention
from fetal_jax.growth.checks import positive

FORMULAS = (*(name for name, _ in hadlock.WEIGHT.values()), "intergrowth")


@dataclass(frozen=True)
class Weight:
    """Grams, the measures and the formula that gave them, and where it was published."""

    grams: float
    measures: tuple[str, ...]
    formula: str
    citation: str


def fetal_weight(
    *,
    hc_mm: float | None = None,
    ac_mm: float | None = None,
    fl_mm: float | None = None,
    bpd_mm: float | None = None,
    bpd_convention: str | None = None,
    formula: str = "hadlock3",
) -> Weight:
    """Estimated fetal weight, from measures in mm.

    Args:
      hc_mm, ac_mm, fl_mm, bpd_mm: what the formula needs; more may be given.
      bpd_convention: "outer-inner" or "outer-outer"; required with a BPD, converted as the formula needs.
      formula: "hadlock1" (AC, FL), "hadlock2" (BPD, AC, FL), "hadlock3" (HC, AC, FL), "hadlock4" (BPD, HC, AC, FL),
        all of 1985, or "intergrowth" (HC, AC; 2017).

    Raises:
      ValueError: another formula, a measure that it needs is not given, or a BPD without its convention.
    """
    given = {"bpd": bpd_mm, "hc": hc_mm, "ac": ac_mm, "fl": fl_mm}
    sizes = {name: positive(f"{name}_mm", mm) for name, mm in given.items() if mm is not None}
    if "bpd" in sizes:
        sizes["bpd"] = as_convention(sizes["bpd"], bpd_convention, "outer-inner")
    if formula == "intergrowth":
        _need(sizes, ("hc", "ac"), formula)
        grams = intergrowth.weight(sizes["hc"], sizes["ac"])
        return Weight(grams, ("hc", "ac"), "INTERGROWTH-21st 2017 (HC, AC)", intergrowth.WEIGHT_CITATION)
    for measures, (name, log10) in hadlock.WEIGHT.items():
        if name == formula:
            _need(sizes, measures, formula)
            grams = 10 ** log10(*(sizes[m] / 10 for m in measures))
            used = ", ".join(m.upper() for m in measures)
            return Weight(grams, measures, f"Hadlock 1985 ({used})", hadlock.WEIGHT_CITATION)
    raise ValueError(f"no formula {formula!r} for weight; there are {', '.join(FORMULAS)}")


def _need(sizes: dict[str, float], measures: tuple[str, ...], formula: str) -> None:
    missing = [f"{m}_mm" for m in measures if m not in sizes]
    if missing:
        raise ValueError(f"{formula} needs {', '.join(missing)}")
