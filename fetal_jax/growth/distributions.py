"""Distributions of a measure over healthy fetuses of one age: value <-> z-score. Values in mm or g."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy.special import ndtri

from fetal_jax.growth.measures import GrowthError

EQUATIONS_END = (float(ndtri(0.001)), float(ndtri(0.999)))
"""z-scores of the outermost centiles, 0.1 and 99.9 %, that a chart given by equations is used for. INTERGROWTH-21st
prints its tables to 3 SD (0.13 %); beyond that there are no fetuses."""


class Distribution(Protocol):
    """Maps values to z-scores and back."""

    @property
    def outermost(self) -> tuple[float, float]:
        """z-scores of the lowest and the highest centile that the chart gives; beyond them a centile is a bound."""

    def z(self, value: float) -> float:
        """The z-score of a value."""

    def value(self, z: float) -> float:
        """The value of a z-score."""


@dataclass(frozen=True)
class Normal:
    """Normal distribution of the value itself."""

    mean: float
    sd: float
    outermost: ClassVar[tuple[float, float]] = EQUATIONS_END

    def z(self, value: float) -> float:
        """The z-score of a value."""
        return (value - self.mean) / self.sd

    def value(self, z: float) -> float:
        """The value of a z-score."""
        return self.mean + z * self.sd


@dataclass(frozen=True)
class LogLMS:
    """y = ln(value) follows Cole's LMS method: y = m (1 + z l s)^(1/l); l = 1 is a lognormal value.

    Written with `expm1` and `log1p`, so that l may pass through 0, as INTERGROWTH-21st's weights do near 30.6 weeks.
    """

    l: float  # noqa: E741  (L, M and S are the method's names)
    m: float
    s: float
    outermost: ClassVar[tuple[float, float]] = EQUATIONS_END

    def z(self, value: float) -> float:
        """The z-score of a value."""
        u = math.log(math.log(value) / self.m)
        return u / self.s if self.l == 0 else math.expm1(self.l * u) / (self.l * self.s)

    def value(self, z: float) -> float:
        """The value of a z-score."""
        u = z * self.s if self.l == 0 else math.log1p(z * self.l * self.s) / self.l
        return math.exp(self.m * math.exp(u))


@dataclass(frozen=True)
class Quantiles:
    """Only some quantiles are published; ln(value) is taken as linear in the z-score between two of them.

    Left out one at a time, WHO's quantiles from 5 to 95 % are recovered, on average over 14 to 40 weeks, to 0.9 % of
    weight and 0.35 % of HC, AC, BPD, FL; linear in the centile instead, to 2.5 and 0.95 %.
    """

    scores: tuple[float, ...]  # z-scores of the quantiles, rising
    logs: tuple[float, ...]  # ln(value) there, rising

    @property
    def outermost(self) -> tuple[float, float]:
        """z-scores of the first and the last quantile."""
        return self.scores[0], self.scores[-1]

    def z(self, value: float) -> float:
        """The z-score of a value; infinite beyond the outermost quantiles, where nothing is published."""
        return float(np.interp(math.log(value), self.logs, self.scores, left=-math.inf, right=math.inf))

    def value(self, z: float) -> float:
        """The value of a z-score.

        Raises:
          GrowthError: the z-score is beyond the outermost quantiles.
        """
        if not self.scores[0] <= z <= self.scores[-1]:
            raise GrowthError(f"quantiles are published from z = {self.scores[0]:+.2f} to {self.scores[-1]:+.2f}")
        return math.exp(np.interp(z, self.scores, self.logs))
