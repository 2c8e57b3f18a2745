"""Fetal biometry from ultrasound in JAX: from a frame to millimetres."""
