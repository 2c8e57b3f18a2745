"""Scanners' structured reports: TID 5000 and 1500 to values."""
