"""Gestational age, fetal weight and growth centiles: Hadlock, INTERGROWTH-21st, WHO, FMF. NumPy and SciPy.

A module for each source of charts: `hadlock`, `intergrowth`, `who`, `fmf`. To add one, copy `fmf.py` (the smallest):
it holds the citation, `WEEKS` (the ages of each measure) and `for_age`, which gives the distribution at an age. Then
add a line to `STANDARDS` in `centiles.py`, its published values to `tests/growth/test_standards.py`, and a row to
`docs/growth.md`. For the default output add it to `DEFAULT_STANDARDS` of `cli/growth.py`, for `measure --standard` to
`CHOICES` of `outputs/examinations/examination.py` and `STANDARD_NAMES` of `chart.py` beside it.

`chart` draws with matplotlib and is imported on its own.
"""

from fetal_jax.growth.ages import format_age, parse_age
from fetal_jax.growth.centiles import STANDARDS, Centile, Reference, centile, reference
from fetal_jax.growth.estimates import (
    WEIGHT_FORMULAS,
    FetalWeight,
    GestationalAge,
    fetal_weight,
    gestational_age,
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
