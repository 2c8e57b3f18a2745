"""Sweeps of a PACS over DICOMweb; each object is measured once."""

STATE = "pacs.sqlite"
"""File of a folder of `fetal-jax pacs`: what was done. Here, because `state` needs the extra `pacs`."""
