"""Size and weight for age against published values; ranges and shapes of the curves."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.growth import (
    STANDARDS,
    centile,
    hadlock,
    intergrowth,
    reference,
    size_for_age,
    who,
)


@pytest.mark.parametrize(
    ("weeks", "bpd", "hc", "ac", "fl"),
    [(20, 46.32, 176.82, 149.08, 32.70), (30, 75.73, 284.40, 260.18, 58.40), (36, 88.34, 327.92, 317.26, 70.56)],
)
def test_hadlock_size_for_age(weeks, bpd, hc, ac, fl):
    for measure, mm, sd in (("bpd", bpd, 3.0), ("hc", hc, 10.0), ("ac", ac, 13.4), ("fl", fl, 3.0)):
        of_age = reference(measure, weeks, "hadlock")
        assert of_age.value(50) == pytest.approx(mm, abs=5.1e-3)
        assert of_age.distribution.value(1) - of_age.distribution.value(0) == pytest.approx(sd)


@pytest.mark.parametrize(("weeks", "grams"), [(20, 331.0), (30, 1559.3), (36, 2813.4), (40, 3619.2)])
def test_hadlock_weight_for_age(weeks, grams):
    assert reference("efw", weeks, "hadlock").value(50) == pytest.approx(grams, abs=0.051)


@pytest.mark.parametrize(
    ("spread", "tenth", "ninetieth", "sd"),
    [
        ("table", 275, 387, 0.13265),
        ("12.7 %", 277, 385, 0.127),
        ("13 %", 276, 386, 0.13),
        ("0.12 ln", 284, 386, 0.127497),
    ],
)
def test_spreads_of_hadlock_1991(spread, tenth, ninetieth, sd):
    of_age = reference("efw", 20, "hadlock", hadlock_spread=spread)
    assert of_age.value(10) == pytest.approx(tenth, abs=0.51)
    assert of_age.value(90) == pytest.approx(ninetieth, abs=0.51)
    assert centile("efw", of_age.value(10), 20, "hadlock", hadlock_spread=spread) == pytest.approx(10)
    one_sd = of_age.distribution.value(1) / of_age.value(50) - 1  # exp(0.12) - 1 = 0.127497
    assert one_sd == pytest.approx(sd, abs=5.1e-6)


@pytest.mark.parametrize(
    ("weeks", "measure", "mean", "sd"),
    [
        (20, "hc", 172.480, 7.4399), (20, "bpd", 48.446, 2.2984), (20, "ac", 147.725, 7.6282),
        (20, "fl", 31.292, 1.7758), (20, "ofd", 60.690, 2.7773), (30, "hc", 278.386, 9.2493),
        (30, "bpd", 78.919, 3.0724), (30, "ac", 253.821, 12.3448), (30, "fl", 55.514, 2.2412),
        (30, "ofd", 98.029, 3.8833), (36, "hc", 319.399, 10.7610), (36, "bpd", 91.239, 3.4634),
        (36, "ac", 312.841, 17.0297), (36, "fl", 66.397, 2.7230), (36, "ofd", 111.634, 4.8839),
    ],
)  # fmt: skip
def test_intergrowth_size_for_age(weeks, measure, mean, sd):
    got = size_for_age(measure, weeks)
    assert got[0] == pytest.approx(mean, abs=5.1e-4)
    assert got[1] == pytest.approx(sd, abs=5.1e-5)


@pytest.mark.parametrize(
    ("measure", "weeks", "row"),
    [
        ("hc", 20, (158.5, 160.2, 163.0, 172.5, 182.0, 184.7, 186.5)),
        ("ac", 30, (230.6, 233.5, 238.0, 253.8, 269.6, 274.1, 277.0)),
        ("fl", 36, (61.3, 61.9, 62.9, 66.4, 69.9, 70.9, 71.5)),
    ],
)
def test_intergrowth_rows_of_centiles(measure, weeks, row):
    for percent, mm in zip((3, 5, 10, 50, 90, 95, 97), row, strict=True):
        assert reference(measure, weeks, "intergrowth").value(percent) == pytest.approx(mm, abs=0.06)


def test_intergrowth_weight_for_age():
    own = {p: reference("efw", 30, "intergrowth").value(p) for p in (3, 50, 97)}
    assert own == pytest.approx({3: 1106, 50: 1396, 97: 1783}, abs=0.51)
    for weeks, row in ((20, (271, 318, 381)), (36, (2070, 2602, 3251))):
        hadlocks = reference("efw", weeks, "intergrowth-hadlock")
        assert [hadlocks.value(p) for p in (3, 50, 97)] == pytest.approx(row, abs=0.51)


@pytest.mark.parametrize(
    ("measure", "weeks", "row"),
    [
        ("hc", 20, (162.78, 173.39, 183.25)),
        ("hc", 36, (305.51, 320.80, 336.02)),
        ("ac", 20, (138.67, 149.57, 160.89)),
        ("fl", 20, (29.52, 32.15, 34.58)),
        ("efw", 28, (1026.45, 1188.87, 1367.68)),
    ],
)
def test_who_rows(measure, weeks, row):
    got = [reference(measure, weeks, "who").value(percent) for percent in (10, 50, 90)]
    assert got == pytest.approx(row, abs=5.1e-3)


@pytest.mark.parametrize(
    ("measure", "standard", "means"),
    [
        ("hc", "who", (98.9975, 253.8472, 341.4405)), ("ac", "who", (81.5559, 229.6046, 363.2194)),
        ("fl", "who", (13.0364, 50.0380, 73.0279)), ("bpd", "who", (26.9027, 68.6147, 95.0878)),
        ("efw", "who", (91.5164, 1049.0929, 3643.7988)), ("efw", "who-female", (89.7208, 1022.3667, 3535.1405)),
        ("efw", "who-male", (92.2692, 1072.8831, 3662.8553)),
    ],
)  # fmt: skip
def test_means_over_whos_quantiles(measure, standard, means):
    """At three ages: a change of any of the 385 coefficients changes a mean."""
    for weeks, mean in zip((14, 27, 40), means, strict=True):
        logs = reference(measure, weeks, standard).distribution.logs
        assert sum(map(math.exp, logs)) / len(logs) == pytest.approx(mean, abs=5.1e-5)


MEASURES = [(standard, measure) for standard in STANDARDS for measure in STANDARDS[standard].weeks]


@given(st.sampled_from(MEASURES), st.floats(0, 1), st.floats(2.6, 97.4), st.floats(0.05, 3))
def test_value_and_centile_are_inverse_and_increasing(which, at, percent, more):
    standard, measure = which
    low, high = STANDARDS[standard].weeks[measure]
    of_age = reference(measure, low + at * (high - low), standard)
    assert of_age.centile(of_age.value(percent)) == pytest.approx(percent, abs=1e-6)
    if percent + more < 97.5:
        assert of_age.value(percent + more) > of_age.value(percent)


@pytest.mark.parametrize(("standard", "measure"), MEASURES)
def test_median_increases_every_week(standard, measure):
    low, high = STANDARDS[standard].weeks[measure]
    weeks = [low + i / 2 for i in range(int(2 * (min(high, 40) - low)) + 1)]
    medians = [reference(measure, w, standard).value(50) for w in weeks]
    assert all(a < b for a, b in pairwise(medians))


@given(st.floats(22, 40))
def test_intergrowth_weights_are_continuous_where_l_is_zero(weeks):
    here, there = (reference("efw", w, "intergrowth").value(97) for w in (weeks, min(weeks + 1e-6, 40)))
    assert there == pytest.approx(here, rel=1e-5)


def test_age_ranges_are_those_of_the_papers():
    assert hadlock.AGE_WEEKS == (14, 42)
    assert intergrowth.AGE_WEEKS == (14, 40)
    assert intergrowth.HADLOCK_WEEKS == {"efw": (18, 41)}
    assert {m: r for m, r in intergrowth.WEEKS.items() if r != (14, 40)} == {"efw": (22, 40)}
    assert set(who.WEEKS.values()) == {(14, 40)}
