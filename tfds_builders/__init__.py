"""TFDS builders, one folder each, all with the same features."""
