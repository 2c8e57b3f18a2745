"""The bundle in use: predictor, readers, overlays. Needs no JAX."""

from fetal_jax.inference.predictor import FrameResult, Predictor

__all__ = ["FrameResult", "Predictor"]
