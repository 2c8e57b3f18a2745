"""Whole archives: millions of frames to Parquet, sweeps of a PACS, the cohort report."""
