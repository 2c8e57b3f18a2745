"""Age and weight against published worked examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.growth import (
    WEIGHT_FORMULAS,
    GrowthError,
    fetal_weight,
    gestational_age,
)
from fetal_jax.growth.measures import bpd_as
from tests.support.fetal_sizes import SIZES, lengths


@pytest.mark.parametrize(
    ("measures", "weeks"),
    [
        ("bpd", 32.122), ("hc", 31.937), ("ac", 30.152), ("fl", 29.457), ("hc fl", 30.185), ("hc ac fl", 30.172),
        ("bpd hc ac fl", 30.322), ("bpd ac", 31.002), ("ac fl", 29.684), ("bpd hc", 31.376), ("bpd fl", 30.486),
        ("hc ac", 30.412), ("bpd ac fl", 30.148), ("bpd hc fl", 30.588), ("bpd hc ac", 30.193),
    ],
)  # fmt: skip
def test_hadlock_ages(measures, weeks):
    age = gestational_age(**lengths(measures))
    assert age.weeks == pytest.approx(weeks, abs=5.1e-4)
    assert set(age.measures) == set(measures.split())
    assert age.formula.startswith("Hadlock 1984 (")
    assert "Radiology 1984" in age.citation


@pytest.mark.parametrize(
    ("sizes", "grams"),
    [
        (SIZES, (1513.4, 1548.2, 1531.9, 1537.7)),
        ({"bpd": 48.4, "hc": 172.5, "ac": 147.7, "fl": 31.3}, (320.4, 326.4, 317.2, 320.6)),
    ],
)
def test_hadlock_weights(sizes, grams):
    for formula, expected in zip(("hadlock1", "hadlock2", "hadlock3", "hadlock4"), grams, strict=True):
        weight = fetal_weight(**lengths("bpd hc ac fl", sizes), formula=formula)
        assert weight.grams == pytest.approx(expected, abs=0.051), formula
        assert weight.measures == WEIGHT_FORMULAS[formula]
        assert "Am J Obstet Gynecol 1985" in weight.citation


@pytest.mark.parametrize(("hc", "ac", "grams"), [(172.5, 147.7, 420.7), (278.4, 253.8, 1368.8), (319.4, 312.8, 2538.8)])
def test_intergrowth_weight(hc, ac, grams):
    weight = fetal_weight(hc_mm=hc, ac_mm=ac, formula="intergrowth")
    assert weight.grams == pytest.approx(grams, abs=0.051)
    assert weight.measures == ("hc", "ac")
    assert "2017; 49: 478" in weight.citation


@pytest.mark.parametrize(
    ("sizes", "days"),
    [
        ({"hc_mm": 172.5, "fl_mm": 31.3}, 139.53), ({"hc_mm": 278.4, "fl_mm": 55.5}, 211.49),
        ({"hc_mm": 319.4, "fl_mm": 66.4}, 249.84), ({"hc_mm": 172.5}, 140.10), ({"hc_mm": 278.4}, 211.83),
        ({"hc_mm": 319.4}, 249.58), ({"crl_mm": 64}, 88.9641),  # 40.9041 + 8 * 3.21585 + 64 * 0.348956
    ],
)  # fmt: skip
def test_intergrowth_ages(sizes, days):
    age = gestational_age(**sizes, standard="intergrowth")
    assert 7 * age.weeks == pytest.approx(days, abs=5.1e-3)
    assert [f"{m}_mm" for m in age.measures] == list(sizes)


def test_intergrowth_age_names_its_measures():
    age = gestational_age(**lengths("bpd hc ac fl"), standard="intergrowth")
    assert age.measures == ("hc", "fl")
    assert age.formula == "INTERGROWTH-21st 2016 (HC, FL)"


def test_intergrowth_weight_ignores_the_femur():
    with_femur = fetal_weight(hc_mm=290, ac_mm=260, fl_mm=40, formula="intergrowth")
    assert with_femur.grams == fetal_weight(hc_mm=290, ac_mm=260, fl_mm=70, formula="intergrowth").grams
    assert "fl" not in with_femur.measures


@pytest.mark.parametrize("formula", WEIGHT_FORMULAS)
def test_weight_depends_on_exactly_its_measures(formula):
    sizes = lengths("bpd hc ac fl")
    grams = fetal_weight(**sizes, formula=formula).grams
    for measure in ("bpd", "hc", "ac", "fl"):
        other = fetal_weight(**sizes | {f"{measure}_mm": SIZES[measure] * 1.05}, formula=formula).grams
        assert (other != grams) == (measure in WEIGHT_FORMULAS[formula])


@given(st.floats(95, 370), st.floats(1, 5))
def test_larger_head_gives_a_higher_age(hc, more):
    for standard in ("hadlock", "intergrowth"):
        try:
            older = gestational_age(hc_mm=hc + more, standard=standard)
        except GrowthError:
            continue
        try:
            younger = gestational_age(hc_mm=hc, standard=standard)
        except GrowthError:
            continue
        assert older.weeks > younger.weeks


def test_bpd_conventions():
    assert bpd_as("outer-outer", 48, "outer-inner") == pytest.approx(49.87, abs=5e-3)
    assert bpd_as("outer-inner", 50, "outer-outer") == pytest.approx(48.1673, abs=5e-5)
    assert bpd_as("outer-outer", 48, "outer-outer") == 48
