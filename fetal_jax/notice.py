"""The sentence that stands wherever results are shown."""

NOT_CLINICAL = "Research software. Not for clinical use."
