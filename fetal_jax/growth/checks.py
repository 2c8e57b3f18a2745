"""What every formula asks of its numbers."""

from __future__ import annotations

import math


def positive(name: str, value: float) -> float:
    """The value, if it is a positive number.

    Raises:
      ValueError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, not {value}")
    return float(value)


def covered(weeks: float, low: float, high: float, source: str) -> float:
    """The age, if the source covers it.

    Raises:
      ValueError: it does not.
    """
    if not low <= weeks <= high:
        raise ValueError(f"{source} covers {low:g} to {high:g} weeks, not {weeks:.4g}")
    return float(weeks)
