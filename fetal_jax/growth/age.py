"""Gestational age from a fetus's size."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_jax.growth import hadlock, intergrowth
from fetal_jax.growth.bpd import as_convention
from fetal_jax.growth.checks import covered, positive

STANDARDS = ("hadlock", "intergrowth")


@dataclass(frozen=True)
class Age:
    """Exact weeks, the measures and the formula that gave them, and where it was published."""

    weeks: float
    measures: tuple[str, ...]
    formula: str
    citation: str

    def __str__(self) -> str:
        days = round(7 * self.weeks)
        return f"{days // 7}w{days % 7}d"


def gestational_age(
    *,
    hc_mm: float | None = None,
    ac_mm: float | None = None,
    fl_mm: float | None = None,
    bpd_mm: float | None = None,
    bpd_convention: str | None = None,
    standard: str = "hadlock",
) -> Age:
    """Gestational age from whichever measures are given, in mm.

    "hadlock" (1984) has a formula for each combination. "intergrowth" (2016) uses HC with FL, or HC alone, whatever
    else is given: `measures` of the result says what was used.

    Raises:
      ValueError: nothing to estimate from, a BPD without its convention, another standard, or sizes whose age the
        formula does not cover (Hadlock 14 to 42 weeks, INTERGROWTH-21st 14 to 40).
    """
    given = {"bpd": bpd_mm, "hc": hc_mm, "ac": ac_mm, "fl": fl_mm}
    sizes = {name: positive(f"{name}_mm", mm) for name, mm in given.items() if mm is not None}
    if "bpd" in sizes:
        sizes["bpd"] = as_convention(sizes["bpd"], bpd_convention, "outer-inner")
    if standard == "hadlock":
        if not sizes:
            raise ValueError("give at least one of hc_mm, ac_mm, fl_mm, bpd_mm")
        used = tuple(sizes)
        weeks = hadlock.AGE[used](*(sizes[name] / 10 for name in used))
        covered(weeks, *hadlock.WEEKS, "Hadlock 1984")
        return Age(weeks, used, f"Hadlock 1984 ({_names(used)})", hadlock.AGE_CITATION)
    if standard == "intergrowth":
        if "hc" not in sizes:
            raise ValueError("INTERGROWTH-21st needs hc_mm, alone or with fl_mm")
        used = ("hc", "fl") if "fl" in sizes else ("hc",)
        weeks = (
            intergrowth.age_from_hc_fl(sizes["hc"], sizes["fl"])
            if "fl" in used
            else intergrowth.age_from_hc(sizes["hc"])
        )
        covered(weeks, *intergrowth.WEEKS, "INTERGROWTH-21st 2016")
        return Age(weeks, used, f"INTERGROWTH-21st 2016 ({_names(used)})", intergrowth.AGE_CITATION)
    raise ValueError(f"no standard {standard!r} for age; there are {', '.join(STANDARDS)}")


def _names(measures: tuple[str, ...]) -> str:
    return ", ".join(m.upper() for m in measures)
