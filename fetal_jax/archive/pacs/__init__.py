"""Sweeps of a PACS over DICOMweb; each object is measured once."""
