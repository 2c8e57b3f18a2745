"""The local page to review, correct and sign measured frames. Needs the `view` extra; no JAX, no model."""
