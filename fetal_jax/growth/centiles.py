"""Where a size or a weight stands among healthy fetuses of its age."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

from scipy.special import ndtr, ndtri

from fetal_jax.growth import hadlock, intergrowth, who
from fetal_jax.growth.distributions import Distribution
from fetal_jax.growth.measures import GrowthError, Source, bpd_as, check_size


class Standard(NamedTuple):
    """A growth standard: what it covers and how it was measured."""

    weeks: Mapping[str, tuple[float, float]]  # each measure's ages
    bpd_convention: str
    weight_formula: str  # whose weights its "efw" is of
    for_age: Callable[..., tuple[Distribution, Source]]


STANDARDS = {
    "hadlock": Standard(hadlock.WEEKS, hadlock.BPD_CONVENTION, "hadlock3", hadlock.for_age),
    "intergrowth": Standard(intergrowth.WEEKS, intergrowth.BPD_CONVENTION, "intergrowth", intergrowth.for_age),
    "intergrowth-hadlock": Standard(
        intergrowth.HADLOCK_WEEKS, intergrowth.BPD_CONVENTION, "hadlock3", intergrowth.for_age_hadlock
    ),
    "who": Standard(who.WEEKS, who.BPD_CONVENTION, "hadlock3", who.for_age),
    "who-female": Standard(who.SEX_WEEKS, who.BPD_CONVENTION, "hadlock3", partial(who.for_age_and_sex, sex="female")),
    "who-male": Standard(who.SEX_WEEKS, who.BPD_CONVENTION, "hadlock3", partial(who.for_age_and_sex, sex="male")),
}
"""The standards by name. The last two and `intergrowth-hadlock` are of weight alone."""


class Centile(float):
    """A centile in percent: a number that knows its z-score and where it comes from."""

    z: float
    formula: str
    citation: str

    @classmethod
    def of(cls, z: float, source: Source) -> Self:
        """The centile of a z-score."""
        centile = cls(100 * ndtr(z))
        centile.z, centile.formula, centile.citation = z, source.formula, source.citation
        return centile

    @property
    def text(self) -> str:
        """To a tenth of a percent; never 0 or 100."""
        return "<0.1" if self < 0.1 else ">99.9" if self > 99.9 else f"{self:.1f}"


@dataclass(frozen=True)
class Reference:
    """A measure of one age in one standard. Values in mm or g, a BPD in the standard's own convention."""

    distribution: Distribution
    source: Source

    def centile(self, value: float) -> Centile:
        """The centile of a value."""
        return Centile.of(self.distribution.z(value), self.source)

    def value(self, percent: float) -> float:
        """The value at a centile, such as 50 for the median."""
        if not 0 < percent < 100:
            raise GrowthError(f"{percent} is no centile: give one between 0 and 100")
        return self.distribution.value(float(ndtri(percent / 100)))


def reference(measure: str, weeks: float, standard: str, hadlock_spread: str = "table") -> Reference:
    """What a standard says of a measure at an age; the arguments and errors are those of `centile`."""
    if standard not in STANDARDS:
        raise GrowthError(f"no standard is called {standard!r}: {', '.join(STANDARDS)} are")
    options = {"spread": hadlock_spread} if standard == "hadlock" else {}
    return Reference(*STANDARDS[standard].for_age(measure, weeks, **options))


def centile(
    measure: str,
    value: float,
    weeks: float,
    standard: str,
    bpd_convention: str | None = None,
    hadlock_spread: str = "table",
) -> Centile:
    """The centile of a size or weight for its gestational age.

    Args:
      measure: "hc", "bpd", "ofd", "ac", "fl" or "efw".
      value: in mm; "efw" in g, by the weight formula of the standard (`STANDARDS[standard].weight_formula`).
      weeks: exact weeks: 20 weeks and 6 days are 20.857.
      standard: one of `STANDARDS`.
      bpd_convention: "outer-inner" or "outer-outer", required with a BPD; converted where the standard's is the other.
      hadlock_spread: of weight in Hadlock 1991, one of `hadlock.SPREADS`.

    Returns:
      Percent, with `.z`, `.formula` and `.citation`.

    Raises:
      GrowthError: a standard without the measure or the age, a size that no fetus has, a BPD without its convention,
        or a value beyond the outermost quantile that WHO published.
    """
    of_age = reference(measure, weeks, standard, hadlock_spread)
    check_size(measure, value)
    if measure == "bpd":
        value = bpd_as(STANDARDS[standard].bpd_convention, value, bpd_convention)
    return of_age.centile(value)
