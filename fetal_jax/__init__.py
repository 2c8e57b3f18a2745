"""Fetal biometry from ultrasound in JAX: from a frame to millimetres."""

__version__ = "0.1.0"
