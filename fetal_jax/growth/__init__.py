"""Growth standards. NumPy."""

from fetal_jax.growth.intergrowth import size_for_age

__all__ = ["size_for_age"]
