"""Structured reports of scanners (TID 5000 and 1500) -> values."""
