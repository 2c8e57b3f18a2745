"""The local page: look at measured frames, correct them, sign them. Needs the `view` extra; no JAX, no model."""
