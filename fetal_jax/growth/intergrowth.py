"""INTERGROWTH-21st: size, weight and age. Lengths in mm (BPD outer-outer), weights in g, ages in exact weeks.

- Size: Papageorghiou A. T. et al., Lancet 2014; 384: 869-879 (14 to 40 weeks).
- Age: Papageorghiou A. T. et al., Ultrasound Obstet Gynecol 2016; 48: 719-726.
- Weight: Stirnemann J. et al., Ultrasound Obstet Gynecol 2017; 49: 478-486 (22 to 40 weeks); for Hadlock's weight,
  Stirnemann J. et al. 2020 (18 to 41 weeks).
"""

from __future__ import annotations

import math

from fetal_jax.growth.checks import covered

SIZE_CITATION = "Papageorghiou et al., Lancet 2014; 384: 869-879"
AGE_CITATION = "Papageorghiou et al., Ultrasound Obstet Gynecol 2016; 48: 719-726"
WEIGHT_CITATION = "Stirnemann et al., Ultrasound Obstet Gynecol 2017; 49: 478-486"
HADLOCK_WEIGHT_CITATION = "Stirnemann et al. 2020 (centiles of Hadlock's weight)"
MEASURES = ("hc", "bpd", "ofd", "ac", "fl")
WEEKS = (14.0, 40.0)


def age_from_hc_fl(hc_mm: float, fl_mm: float) -> float:
    """Weeks from HC and FL."""
    ln = math.log(hc_mm)
    return math.exp(0.03243 * ln**2 + 0.001644 * fl_mm * ln + 3.813) / 7


def age_from_hc(hc_mm: float) -> float:
    """Weeks from HC alone."""
    return math.exp(0.05970 * math.log(hc_mm) ** 2 + 6.409e-9 * hc_mm**3 + 3.3258) / 7


def weight(hc_mm: float, ac_mm: float) -> float:
    """Grams from HC and AC."""
    x = ac_mm / 1000  # AC in cm over 100
    return math.exp(5.084820 - 54.06633 * x**3 - 95.80076 * x**3 * math.log(x) + 3.136370 * hc_mm / 1000)


def weight_lms(weeks: float) -> tuple[float, float, float]:
    """Skewness, median and spread of ln(g) for INTERGROWTH-21st's own weight."""
    g = covered(weeks, 22, 40, "INTERGROWTH-21st's weight for age")
    ln = math.log(g)
    return (
        -4.257629 - 2162.234 * g**-2 + 0.0002301829 * g**3,
        4.956737 + 0.0005019687 * g**3 - 0.0001227065 * g**3 * ln,
        1e-4 * (-6.997171 + 0.057559 * g**3 - 0.01493946 * g**3 * ln),
    )


def hadlock_weight_lms(weeks: float) -> tuple[float, float, float]:
    """Skewness, median and spread of ln(g) for the weight by Hadlock's formula of HC, AC and FL."""
    g = covered(weeks, 18, 41, "INTERGROWTH-21st's centiles of Hadlock's weight")
    tenth = g / 10
    h = math.log(tenth) / tenth**2
    return (
        9.43643 + 9.41579 * tenth**-2 - 83.54220 * h,
        -2.42272 + 1.86478 * math.sqrt(g) - 1.93299e-5 * g**3,
        0.0193557 + 0.0310716 * tenth**-2 - 0.0657587 * h,
    )


def size_for_age(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and standard deviation, in mm, of a measure at a gestational age.

    Args:
      measure: "hc", "bpd" (outer to outer), "ofd", "ac" or "fl".
      weeks: exact weeks, 14 to 40.

    Raises:
      ValueError: another measure, or an age that the standard does not cover.
    """
    g, ln = covered(weeks, *WEEKS, "INTERGROWTH-21st"), math.log(weeks)
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
