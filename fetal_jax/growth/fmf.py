"""Fetal Medicine Foundation 2018: weight for age. Weights by Hadlock's formula of HC, AC and FL, in g."""

from __future__ import annotations

import math

from fetal_jax.growth.ages import check_age
from fetal_jax.growth.distributions import Distribution, LogLMS
from fetal_jax.growth.measures import Source

WEIGHT = Source(
    "FMF 2018",
    "Nicolaides KH, Wright D, Syngelaki A, Wright A, Akolekar R. Fetal Medicine Foundation fetal and neonatal "
    "population weight charts. Ultrasound Obstet Gynecol 2018; 52: 44-51",
)
WEEKS = {"efw": (20.0, 43.0)}


def for_age(measure: str, weeks: float) -> tuple[Distribution, Source]:
    """Distribution of "efw" (g) at an age: log10(g) is normal.

    Three public programs have the slope of the SD a thousand times too small (5.64e-8 a day).

    Raises:
      GrowthError: another measure, or an age outside `WEEKS`.
    """
    check_age(measure, weeks, WEEKS, WEIGHT.formula)
    days = 7 * weeks
    x = days - 199
    mean = 3.0893 + 0.00835 * x - 0.00002965 * x**2 - 0.00000006062 * x**3
    sd = 0.02464 + 0.0000564 * days
    return LogLMS(1, mean * math.log(10), sd / mean), WEIGHT
