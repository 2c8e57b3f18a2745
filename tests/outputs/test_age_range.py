"""The range of an age against slopes worked out by hand from the published formulas."""

from __future__ import annotations

import math

import pytest

from fetal_jax.growth import gestational_age, reference
from fetal_jax.outputs.examinations.age_range import age_range

HC, FL = 250.0, 50.0


def sd(measure: str, weeks: float, standard: str) -> float:
    chart = reference(measure, weeks, standard)
    return float(chart.value(97.5) - chart.value(2.5)) / 2 / 1.959964


def half(sizes: dict[str, float], standard: str) -> tuple[float, float]:
    """Weeks from the age to either end of its range, and the age."""
    weeks = gestational_age(**{f"{m}_mm": mm for m, mm in sizes.items()}, standard=standard).weeks
    low, high = age_range(sizes, weeks, standard)
    assert (low + high) / 2 == pytest.approx(weeks, rel=1e-12)
    return (high - low) / 2, weeks


def test_one_size_goes_through_the_slope_of_hadlocks_formula():
    found, weeks = half({"hc": HC}, "hadlock")  # 8.96 + 0.540 HC + 0.0003 HC³, in cm
    slope = (0.540 + 0.0009 * (HC / 10) ** 2) / 10
    assert found == pytest.approx(1.959964 * slope * sd("hc", weeks, "hadlock"), rel=1e-5)


def test_one_size_goes_through_the_slope_of_intergrowths_formula():
    found, weeks = half({"hc": HC}, "intergrowth")  # exp(0.05970 ln² HC + 6.409e-9 HC³ + 3.3258) days
    slope = weeks * (2 * 0.05970 * math.log(HC) / HC + 3 * 6.409e-9 * HC**2)
    assert found == pytest.approx(1.959964 * slope * sd("hc", weeks, "intergrowth"), rel=1e-5)


def test_two_sizes_are_taken_as_correlated_by_a_half():
    found, weeks = half({"hc": HC, "fl": FL}, "intergrowth")  # exp(0.03243 ln² HC + 0.001644 FL ln HC + 3.813) days
    slopes = {"hc": weeks * (2 * 0.03243 * math.log(HC) + 0.001644 * FL) / HC, "fl": weeks * 0.001644 * math.log(HC)}
    one, other = (slope * sd(m, weeks, "intergrowth") for m, slope in slopes.items())
    assert found == pytest.approx(1.959964 * math.sqrt(one**2 + other**2 + one * other), rel=1e-5)
