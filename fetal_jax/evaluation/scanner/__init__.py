"""Agreement of our values with those of scanners' reports: matching, and output."""
