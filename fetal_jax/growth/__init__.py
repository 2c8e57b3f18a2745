"""Gestational age, fetal weight and centiles: Hadlock, INTERGROWTH-21st, WHO. NumPy; lengths in mm, weights in g."""

from fetal_jax.growth.age import Age, gestational_age
from fetal_jax.growth.bpd import inner_from_outer, outer_from_inner
from fetal_jax.growth.centiles import centile, value_at, z_score
from fetal_jax.growth.intergrowth import size_for_age
from fetal_jax.growth.weight import Weight, fetal_weight

__all__ = [
    "Age",
    "Weight",
    "centile",
    "fetal_weight",
    "gestational_age",
    "inner_from_outer",
    "outer_from_inner",
    "size_for_age",
    "value_at",
    "z_score",
]
