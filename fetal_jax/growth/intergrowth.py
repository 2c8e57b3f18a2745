"""INTERGROWTH-21st: size for age, age, weight, weight for age. Lengths in mm, BPD outer to outer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fetal_jax.growth.ages import check_age
from fetal_jax.growth.distributions import Distribution, LogLMS, Normal
from fetal_jax.growth.measures import GrowthError, Source

BPD_CONVENTION = "outer-outer"

SIZE = Source(
    "INTERGROWTH-21st 2014",
    "Papageorghiou AT, Ohuma EO, Altman DG, et al. International standards for fetal growth based on serial ultrasound "
    "measurements: the Fetal Growth Longitudinal Study of the INTERGROWTH-21st Project. Lancet 2014; 384: 869-879",
)
AGE = Source(
    "INTERGROWTH-21st 2016",
    "Papageorghiou AT, Kemp B, Stones W, et al. Ultrasound-based gestational-age estimation in late pregnancy. "
    "Ultrasound Obstet Gynecol 2016; 48: 719-726",
)
AGE_BY_CRL = Source(
    "INTERGROWTH-21st 2014",
    "Papageorghiou AT, Kennedy SH, Salomon LJ, et al. International standards for early fetal size and pregnancy "
    "dating based on ultrasound measurement of crown-rump length in the first trimester of pregnancy. "
    "Ultrasound Obstet Gynecol 2014; 44: 641-648",
)
WEIGHT = Source(
    "INTERGROWTH-21st 2017",
    "Stirnemann J, Villar J, Salomon LJ, et al. International estimated fetal weight standards of the INTERGROWTH-21st "
    "Project. Ultrasound Obstet Gynecol 2017; 49: 478-486",
)
HADLOCK_WEIGHT = Source(
    "INTERGROWTH-21st 2020",
    "Stirnemann J, Salomon LJ, Papageorghiou AT. INTERGROWTH-21st standards for Hadlock's estimation of fetal weight. "
    "Ultrasound Obstet Gynecol 2020; 56: 946-948",
)

AGE_WEEKS = (14.0, 40.0)
WEEKS = dict.fromkeys(("hc", "bpd", "ofd", "ac", "fl"), (14.0, 40.0)) | {"efw": (22.0, 40.0)}
HADLOCK_WEEKS = {"efw": (18.0, 41.0)}


def size_for_age(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and standard deviation, in mm, of a measure at a gestational age.

    Args:
      measure: "hc", "bpd" (outer to outer), "ofd", "ac" or "fl".
      weeks: exact weeks, 14 to 40.

    Raises:
      GrowthError: another measure, or an age that the standard does not cover.
    """
    check_age(measure, weeks, {m: r for m, r in WEEKS.items() if m != "efw"}, SIZE.formula)
    g, ln = float(weeks), math.log(weeks)
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
        case _:  # fl
            mean = -39.9616 + 4.32298 * g - 0.0380156 * g**2
            sd = math.exp(0.605843 - 42.0014 * g**-2 + 0.00000917972 * g**3)
    return mean, sd


def age(sizes_mm: Mapping[str, float]) -> tuple[float, tuple[str, ...], Source]:
    """Age from HC and FL, from HC alone, or from CRL alone, in mm; other sizes are ignored.

    Returns:
      Exact weeks, the measures that took part, the source.

    Raises:
      GrowthError: no HC and no CRL, or a CRL beside other measures.
    """
    if "crl" in sizes_mm:
        if len(sizes_mm) > 1:
            raise GrowthError("a CRL dates a pregnancy before the other measures do: give it alone")
        crl = sizes_mm["crl"]
        return (40.9041 + 3.21585 * math.sqrt(crl) + 0.348956 * crl) / 7, ("crl",), AGE_BY_CRL
    if "hc" not in sizes_mm:
        raise GrowthError(f"{AGE.formula} dates by HC and FL, by HC or by CRL: give one, or take the standard hadlock")
    ln_hc = math.log(sizes_mm["hc"])
    if "fl" in sizes_mm:
        days = math.exp(0.03243 * ln_hc**2 + 0.001644 * sizes_mm["fl"] * ln_hc + 3.813)
        return days / 7, ("hc", "fl"), AGE
    days = math.exp(0.05970 * ln_hc**2 + 6.409e-9 * sizes_mm["hc"] ** 3 + 3.3258)
    return days / 7, ("hc",), AGE


def weight_grams(sizes_mm: Mapping[str, float]) -> float:
    """Weight in g from HC and AC in mm."""
    x, hc_cm = sizes_mm["ac"] / 1000, sizes_mm["hc"] / 10  # x: AC in cm, over 100
    return math.exp(5.084820 - 54.06633 * x**3 - 95.80076 * x**3 * math.log(x) + 3.136370 * hc_cm / 100)


def for_age(measure: str, weeks: float) -> tuple[Distribution, Source]:
    """Distribution of a size (mm) or "efw" (g, by `weight_grams`) at an age.

    Raises:
      GrowthError: another measure, or an age outside `WEEKS`.
    """
    if measure != "efw":
        check_age(measure, weeks, WEEKS, SIZE.formula)
        return Normal(*size_for_age(measure, weeks)), SIZE
    check_age(measure, weeks, WEEKS, WEIGHT.formula)
    g, ln = weeks, math.log(weeks)
    l = -4.257629 - 2162.234 * g**-2 + 0.0002301829 * g**3  # noqa: E741
    m = 4.956737 + 0.0005019687 * g**3 - 0.0001227065 * g**3 * ln
    s = 1e-4 * (-6.997171 + 0.057559 * g**3 - 0.01493946 * g**3 * ln)
    return LogLMS(l, m, s), WEIGHT


def for_age_hadlock(measure: str, weeks: float) -> tuple[Distribution, Source]:
    """Distribution of "efw" (g, by Hadlock's formula of HC, AC and FL) at an age.

    Raises:
      GrowthError: another measure, or an age outside `HADLOCK_WEEKS`.
    """
    check_age(measure, weeks, HADLOCK_WEEKS, HADLOCK_WEIGHT.formula)
    g = weeks / 10
    h = math.log(g) / g**2
    l = 9.43643 + 9.41579 * g**-2 - 83.54220 * h  # noqa: E741
    m = -2.42272 + 1.86478 * math.sqrt(weeks) - 1.93299e-5 * weeks**3
    s = 0.0193557 + 0.0310716 * g**-2 - 0.0657587 * h
    return LogLMS(l, m, s), HADLOCK_WEIGHT
