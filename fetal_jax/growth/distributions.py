"""How a measure is spread over healthy fetuses of one age: value <-> z-score. Values in mm or g."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fetal_jax.growth.measures import GrowthError


class Distribution(Protocol):
    """A spread that has a z-score for each value."""

    def z(self, value: float) -> float:
        """The z-score of a value."""

    def value(self, z: float) -> float:
        """The value of a z-score."""


@dataclass(frozen=True)
class Normal:
    """The value itself is normal."""

    mean: float
    sd: float

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

    Left out one at a time, WHO's quantiles from 5 to 95 % come back, on average over 14 to 40 weeks, within 0.9 % of
    weight and 0.35 % of HC, AC, BPD, FL; linear in the centile instead, within 2.5 and 0.95 %.
    """

    scores: tuple[float, ...]  # z-scores of the quantiles, rising
    logs: tuple[float, ...]  # ln(value) there, rising

    def z(self, value: float) -> float:
        """The z-score of a value.

        Raises:
          GrowthError: the value is beyond the outermost quantiles.
        """
        y = math.log(value)
        if not self.logs[0] <= y <= self.logs[-1]:
            end, side = (self.scores[0], "below") if y < self.logs[0] else (self.scores[-1], "above")
            raise GrowthError(f"{side} the outermost quantile that is published (z {end:+.2f}: {self.value(end):.1f})")
        return float(np.interp(y, self.logs, self.scores))

    def value(self, z: float) -> float:
        """The value of a z-score.

        Raises:
          GrowthError: the z-score is beyond the outermost quantiles.
        """
        if not self.scores[0] <= z <= self.scores[-1]:
            raise GrowthError(f"quantiles are published from z = {self.scores[0]:+.2f} to {self.scores[-1]:+.2f}")
        return math.exp(np.interp(z, self.scores, self.logs))
