"""Centile of a size or a weight among healthy fetuses of its age."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import NamedTuple, Self

from scipy.special import ndtr, ndtri

from fetal_jax.growth import fmf, hadlock, intergrowth, who
from fetal_jax.growth.distributions import Distribution
from fetal_jax.growth.estimates import WEIGHT_FORMULAS
from fetal_jax.growth.measures import GrowthError, Source, bpd_as, check_size, labels


class Standard(NamedTuple):
    """A growth standard: what it covers and how it was measured."""

    weeks: Mapping[str, tuple[float, float]]
    """Range of ages of each measure."""
    bpd_convention: str | None
    """None for a standard of weight alone."""
    weight_formula: str
    """Formula that gave the weights its "efw" curves were made with, one of `WEIGHT_FORMULAS`."""
    for_age: Callable[..., tuple[Distribution, Source]]


STANDARDS = {
    "hadlock": Standard(hadlock.WEEKS, hadlock.BPD_CONVENTION, "hadlock3", hadlock.for_age),
    "intergrowth": Standard(intergrowth.WEEKS, intergrowth.BPD_CONVENTION, "intergrowth", intergrowth.for_age),
    "intergrowth-hadlock": Standard(intergrowth.HADLOCK_WEEKS, None, "hadlock3", intergrowth.for_age_hadlock),
    "who": Standard(who.WEEKS, who.BPD_CONVENTION, "hadlock3", who.for_age),
    "who-female": Standard(who.SEX_WEEKS, None, "hadlock3", partial(who.for_age_and_sex, sex="female")),
    "who-male": Standard(who.SEX_WEEKS, None, "hadlock3", partial(who.for_age_and_sex, sex="male")),
    "fmf": Standard(fmf.WEEKS, None, "hadlock3", fmf.for_age),
}
"""The standards by name. `intergrowth-hadlock`, `who-female`, `who-male` and `fmf` are of weight alone."""


class Centile(float):
    """A centile in percent, with its z-score and its source.

    A value beyond the chart's outermost centile has that centile and says so in `bound`.
    """

    z: float | None
    """None beyond the outermost quantile of a chart that publishes quantiles alone (WHO)."""
    bound: str
    """"below" or "above" the centile, "" where the value has it."""
    formula: str
    citation: str

    @classmethod
    def of(cls, z: float, outermost: tuple[float, float], source: Source) -> Self:
        """Build from a z-score, infinite beyond the chart; `outermost`: z-scores of its first and last centile."""
        low, high = outermost
        centile = cls(round(100 * ndtr(min(max(z, low), high)), 10))
        centile.z = z if math.isfinite(z) else None
        centile.bound = "below" if z < low else "above" if z > high else ""
        centile.formula, centile.citation = source.formula, source.citation
        return centile

    @property
    def text(self) -> str:
        """The centile as text: to a tenth of a percent, or a bound such as "<1" or ">99.9"."""
        return f"{'<' if self.bound == 'below' else '>'}{self:.3g}" if self.bound else f"{self:.1f}"


@dataclass(frozen=True)
class Reference:
    """Distribution of a measure at one age in one standard. In mm or g, a BPD in the standard's own convention."""

    distribution: Distribution
    source: Source

    def centile(self, value: float) -> Centile:
        """The centile of a value."""
        return Centile.of(self.distribution.z(value), self.distribution.outermost, self.source)

    def value(self, percent: float) -> float:
        """The value at a centile, such as 50 for the median.

        Raises:
          GrowthError: the centile is not between 0 and 100, or beyond the outermost quantile of WHO's.
        """
        if not 0 < percent < 100:
            raise GrowthError(f"{percent} is not a centile: give one between 0 and 100")
        return self.distribution.value(float(ndtri(percent / 100)))


def reference(measure: str, weeks: float, standard: str, hadlock_spread: str = "table") -> Reference:
    """Distribution of a measure at an age; the arguments and errors are those of `centile`."""
    if standard not in STANDARDS:
        raise GrowthError(f"there is no standard {standard!r}: give one of {', '.join(STANDARDS)}")
    if not isinstance(weeks, Real):
        raise GrowthError(f"weeks={weeks!r} is not a number: give exact weeks, such as 30 + 2 / 7")
    options = {"spread": hadlock_spread} if standard == "hadlock" else {}
    return Reference(*STANDARDS[standard].for_age(measure, float(weeks), **options))


def centile(
    measure: str,
    value: float,
    weeks: float,
    standard: str,
    bpd_convention: str | None = None,
    hadlock_spread: str = "table",
    weight_formula: str | None = None,
    allow_other_formula: bool = False,
) -> Centile:
    """The centile of a size or weight for its gestational age.

    Args:
      measure: "hc", "bpd", "ofd", "ac", "fl" or "efw".
      value: in mm; "efw" in g.
      weeks: exact weeks: 20 weeks and 6 days are 20.857.
      standard: one of `STANDARDS`.
      bpd_convention: "outer-inner" or "outer-outer", required with a BPD; converted where the standard's is the other.
      hadlock_spread: of weight in Hadlock 1991, one of `hadlock.SPREADS`.
      weight_formula: the formula that gave an "efw", as `FetalWeight.name`. None means that it is the standard's own,
        `STANDARDS[standard].weight_formula`.
      allow_other_formula: whether a weight by another formula than the standard's own is compared all the same.

    Returns:
      Percent, with `.z`, `.bound`, `.formula` and `.citation`. Beyond the outermost centile of a chart it is that
      centile, as a bound: 0.1 and 99.9 of a chart given by equations, 1 and 99 of WHO's quantiles (2.5 and 97.5 by
      sex).

    Raises:
      GrowthError: a standard without the measure or the age, a size that no fetus has, a BPD without its convention,
        or a weight by another formula.
    """
    of_age = reference(measure, weeks, standard, hadlock_spread)
    check_size(measure, value)
    chosen = STANDARDS[standard]
    if measure == "bpd" and chosen.bpd_convention:
        value = bpd_as(chosen.bpd_convention, value, bpd_convention)
    if measure == "efw" and not allow_other_formula:
        check_weight_formula(standard, weight_formula or chosen.weight_formula)
    return of_age.centile(value)


def check_weight_formula(standard: str, formula: str) -> None:
    """Refuse a weight by another formula than the one a standard's curves were made with.

    One fetus of 20 weeks weighs 421 g by INTERGROWTH-21st's formula and 317 g by Hadlock's of HC, AC and FL.

    Raises:
      GrowthError: the formula is another one.
    """
    own = STANDARDS[standard].weight_formula
    if formula != own:
        raise GrowthError(
            f"the weights of {standard} are by {own} ({labels(WEIGHT_FORMULAS[own])}), not by {formula}: give such a "
            "weight, or ask for the other one (allow_other_formula=True, --weight-formula)"
        )
