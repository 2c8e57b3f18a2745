"""Measure files into a results folder, which an interrupted run resumes. Does not need JAX."""
