"""The cohort report on an archive: tables, drift, pictures."""
