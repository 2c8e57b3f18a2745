"""Evaluation of a network: errors of each frame, their summary and the report."""
