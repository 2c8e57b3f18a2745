"""Gestational age, fetal weight and growth centiles: Hadlock, INTERGROWTH-21st, WHO. NumPy and SciPy.

`chart` draws with matplotlib and is imported by itself.
"""

from fetal_jax.growth.centiles import STANDARDS, Centile, Reference, centile, reference
from fetal_jax.growth.estimates import (
    WEIGHT_FORMULAS,
    FetalWeight,
    GestationalAge,
    fetal_weight,
    format_age,
    gestational_age,
    parse_age,
)
from fetal_jax.growth.intergrowth import size_for_age
from fetal_jax.growth.measures import GrowthError

__all__ = [
    "STANDARDS",
    "WEIGHT_FORMULAS",
    "Centile",
    "FetalWeight",
    "GestationalAge",
    "GrowthError",
    "Reference",
    "centile",
    "fetal_weight",
    "format_age",
    "gestational_age",
    "parse_age",
    "reference",
    "size_for_age",
]
