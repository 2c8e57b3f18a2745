"""Gestational age as text, and its check. Inside the program an age is a float of exact weeks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from fetal_jax.growth.measures import GrowthError
from fetal_jax.planes import QUANTITIES

_WEEKS_AND_DAYS = re.compile(
    r"(\d{1,2})"
    r"(?: *w(?: *([0-6]) *d?)?"  # 30w2d, 30w 2d, 30w2, 30w
    r"| *\+ *([0-6])"  # 30+2
    r"| +([0-6])/7)?"  # 30 2/7
)
_DAYS = re.compile(r"(\d{1,3}) *d")
_DECIMAL_WEEKS = re.compile(r"(\d{1,2}\.\d+) *w")


def _weeks_and_days(weeks: float) -> tuple[int, int]:
    """Completed weeks and days, to the nearest day: 30.322 -> (30, 2)."""
    return divmod(round(7 * weeks), 7)


def completed_weeks(weeks: float) -> int:
    """Completed weeks to the nearest day: 20 of 19.97, which is 20w0d."""
    return _weeks_and_days(weeks)[0]


def format_age(weeks: float) -> str:
    """Weeks and days, to the nearest day: 30.322 -> "30w2d"."""
    whole, days = _weeks_and_days(weeks)
    return f"{whole}w{days}d"


def format_outside(weeks: float, high: float) -> str:
    """An age outside a range that ends at `high`, rounded away from the range: 40.04 weeks are not "40w0d"."""
    if not 0 <= weeks < math.inf:
        return f"{weeks:g}"  # NaN or no age at all, which has no days
    days = round(7 * weeks, 6)  # 41w3d is 290 days, not 290.0000000001
    return format_age((math.ceil(days) if weeks > high else math.floor(days)) / 7)


def check_age(measure: str, weeks: float, covered: Mapping[str, tuple[float, float]], standard: str) -> None:
    """Refuse a measure or an age that a standard has no curve for.

    Raises:
      GrowthError: the measure is not in `covered`, or the weeks are outside its range.
    """
    if measure not in covered:
        raise GrowthError(f"{standard} has no curve for {measure!r}; it has {', '.join(covered)}")
    low, high = covered[measure]
    if not low <= weeks <= high:
        label, age = QUANTITIES[measure].label, format_outside(weeks, high)
        raise GrowthError(f"{standard} covers {low:g} to {high:g} weeks of {label}, not {age}")


def parse_age(text: str) -> float:
    """Exact weeks of an age as clinics write it, in either case.

    Accepts "30w2d", "30w 2d", "30+2", "30 2/7", "30w", "30", "212d" (days) and "30.2w" (decimal weeks). A decimal
    number without its unit is refused: "30.2" may mean 30 weeks and 2 days, which is 30.29 weeks.

    Raises:
      GrowthError: the text is none of these.
    """
    cleaned = text.strip().lower()
    if found := _WEEKS_AND_DAYS.fullmatch(cleaned):
        return int(found[1]) + int(found[2] or found[3] or found[4] or 0) / 7
    if found := _DAYS.fullmatch(cleaned):
        return int(found[1]) / 7
    if found := _DECIMAL_WEEKS.fullmatch(cleaned):
        return float(found[1])
    if re.fullmatch(r"\d{1,2}\.\d+", cleaned):
        raise GrowthError(f"{text!r} may be decimal weeks, or weeks and days: give {cleaned}w, or 30w2d or 30+2")
    raise GrowthError(
        f"{text!r} is not a gestational age: give 30w2d, 30+2, 30 2/7, 212d (days) or 30.2w (decimal weeks)"
    )
