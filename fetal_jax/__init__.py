"""Fetal biometry from ultrasound in JAX: from a frame to millimetres."""

__version__ = "0.2.0.dev0"
