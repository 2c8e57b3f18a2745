"""A prepared builder -> examples -> augmented batches."""
