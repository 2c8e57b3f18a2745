"""Measure frames with a bundle. Does not need JAX."""

from fetal_jax.inference.predictor import FrameResult, Predictor

__all__ = ["FrameResult", "Predictor"]
