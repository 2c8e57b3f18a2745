"""INTERGROWTH-21st size for age (Papageorghiou et al., Lancet 2014; 384: 869-79)."""

from __future__ import annotations

import math

MEASURES = ("hc", "bpd", "ofd", "ac", "fl")


def size_for_age(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and standard deviation, in mm, of a measure at a gestational age.

    Args:
      measure: "hc", "bpd" (outer to outer), "ofd", "ac" or "fl".
      weeks: exact weeks, 14 to 40.

    Raises:
      ValueError: another measure, or an age that the standard does not cover.
    """
    if not 14 <= weeks <= 40:
        raise ValueError(f"INTERGROWTH-21st covers 14 to 40 weeks, not {weeks}")
    g, ln = weeks, math.log(weeks)
    match measure:
        case "hc":
            mean = -28.2849 + 1.69267 * g**2 - 0.397485 * g**2 * ln
            sd = 1.98735 + 0.0136772 * g**3 - 0.00726264 * g**3 * ln + 0.000976253 * g**3 * ln**2
        case "bpd":
            mean = 5.60878 + 0.158369 * g**2 - 0.00256379 * g**3
            sd = math.exp(0.101242 + 0.00150557 * g**3 - 0.000771535 * g**3 * ln + 0.0000999638 * g**3 * ln**2)
        case "ofd":
            mean = -12.4097 + 0.626342 * g**2 - 0.148075 * g**2 * ln
            sd = math.exp(-0.880034 + 0.0631165 * g**2 - 0.0317136 * g**2 * ln + 0.00408302 * g**2 * ln**2)
        case "ac":
            mean = -81.3243 + 11.6772 * g - 0.000561865 * g**3
            sd = -4.36302 + 0.121445 * g**2 - 0.0130256 * g**3 + 0.00282143 * g**3 * ln
        case "fl":
            mean = -39.9616 + 4.32298 * g - 0.0380156 * g**2
            sd = math.exp(0.605843 - 42.0014 * g**-2 + 0.00000917972 * g**3)
        case _:
            raise ValueError(f"{measure!r} is no measure of INTERGROWTH-21st; {', '.join(MEASURES)} are")
    return mean, sd
