"""Measure frames with a bundle. Does not need JAX."""

from fetal_jax.inference.predictor import Predictor
from fetal_jax.inference.result import FrameResult

__all__ = ["FrameResult", "Predictor"]
