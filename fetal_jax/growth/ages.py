"""Gestational age as text. Inside the program an age is a float of exact weeks."""

from __future__ import annotations

import re

from fetal_jax.growth.measures import GrowthError

_WEEKS_AND_DAYS = re.compile(
    r"(\d{1,2})"
    r"(?: *w(?: *([0-6]) *d?)?"  # 30w2d, 30w 2d, 30w2, 30w
    r"| *\+ *([0-6])"  # 30+2
    r"| +([0-6])/7)?"  # 30 2/7
)
_DAYS = re.compile(r"(\d{1,3}) *d")
_DECIMAL_WEEKS = re.compile(r"(\d{1,2}\.\d+) *w")


def format_age(weeks: float) -> str:
    """Weeks and days, to the nearest day: 30.322 -> "30w2d"."""
    whole, days = divmod(round(7 * weeks), 7)
    return f"{whole}w{days}d"


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
    raise GrowthError(f"{text!r} is no gestational age: give 30w2d, 30+2, 30 2/7, 212d (days) or 30.2w (decimal weeks)")
