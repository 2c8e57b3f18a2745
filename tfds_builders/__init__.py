"""TFDS builders, one folder per data set, all with the same features."""
