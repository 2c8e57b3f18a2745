"""Probability map -> contour -> ellipse or shaft -> millimetres and flags. NumPy, SciPy, scikit-image."""

from fetal_jax.biometry.ellipse import direct_fit, fit_ellipse, residuals
from fetal_jax.biometry.measurement import FLAGS, Measurement, measure
from fetal_jax.biometry.shaft import fit_shaft

__all__ = ["FLAGS", "Measurement", "direct_fit", "fit_ellipse", "fit_shaft", "measure", "residuals"]
