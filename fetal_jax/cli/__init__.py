"""`fetal-jax`: one small module for each command."""
