"""Whole archives: millions of frames to Parquet, a PACS, the cohort report."""
