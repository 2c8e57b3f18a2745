"""Prepared data sets -> frames -> augmented training batches."""
