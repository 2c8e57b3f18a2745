"""Mistakes of public code, each beside the right value."""

from __future__ import annotations

import math

import pytest

from fetal_jax.growth import (
    fetal_weight,
    gestational_age,
    intergrowth,
    parse_age,
    reference,
)
from tests.support.fetal_sizes import lengths


@pytest.mark.parametrize(
    ("wrong", "right", "ours"),
    [
        (  # head circumference: another paper's cubic
            8.96 + 0.540 * 29 - 0.0040 * 29**2 + 0.000399 * 29**3,
            31.937,
            lambda: gestational_age(hc_mm=290).weeks,
        ),
        (8.96 + 0.540 * 29 + 0.0003 * 29**2, 31.937, lambda: gestational_age(hc_mm=290).weeks),  # square for cube
        (10.35 + 0.46 * 5.6 + 0.170 * 5.6**2, 29.457, lambda: gestational_age(fl_mm=56).weeks),  # 0.46 for 2.460
        (10.35 + 0.46 * 5.6, 29.457, lambda: gestational_age(fl_mm=56).weeks),
        (  # ln(1 + AC/100) for ln(AC/100)
            math.exp(5.08482 - 54.06633 * 0.2538**3 - 95.80076 * 0.2538**3 * math.log1p(0.2538) + 3.13637 * 0.2784),
            1368.8,
            lambda: fetal_weight(hc_mm=278.4, ac_mm=253.8, formula="intergrowth").grams,
        ),
        (  # Hadlock's three measures, sold as four: HC takes no part
            10 ** (1.335 - 0.0034 * 26 * 5.6 + 0.0316 * 8 + 0.0457 * 26 + 0.1623 * 5.6),
            1537.7,
            lambda: fetal_weight(**lengths("bpd hc ac fl"), formula="hadlock4").grams,
        ),
        (  # the size formula of another paper, sold as Hadlock's, mm
            -19.61 + 0.7565 * 20,
            176.82,
            lambda: reference("hc", 20, "hadlock").value(50),
        ),
        (  # the age looked up by completed weeks
            intergrowth.size_for_age("hc", 20)[0],
            182.8,
            lambda: reference("hc", parse_age("20w6d"), "intergrowth").value(50),
        ),
    ],
    ids=["hc-cubic", "hc-square", "fl-slope", "fl-linear", "log1p", "hc-ignored", "not-hadlock", "floored-weeks"],
)
def test_wrong_public_formulas_differ_from_the_program(wrong, right, ours):
    tolerance = 0.06
    assert ours() == pytest.approx(right, abs=tolerance)
    assert abs(wrong - right) > 5 * tolerance
