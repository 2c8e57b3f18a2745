"""Centiles: bounds, conventions, formulas."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from fetal_jax.growth import STANDARDS, GrowthError, centile, fetal_weight, gestational_age, reference, size_for_age
from fetal_jax.growth.measures import bpd_as
from fetal_jax.planes import QUANTITIES
from tests.support.fetal_sizes import lengths


def test_bpd_is_converted_to_the_convention_of_each_standard():
    outer = bpd_as("outer-outer", 80, "outer-inner")
    inner = bpd_as("outer-inner", outer, "outer-outer")
    for standard, mm in (("hadlock", inner), ("who", inner), ("intergrowth", outer)):
        got = centile("bpd", outer, 31, standard, bpd_convention="outer-outer")
        assert got.z == pytest.approx(reference("bpd", 31, standard).distribution.z(mm))
    others = {"hc_mm": 290, "ac_mm": 260, "fl_mm": 56, "formula": "hadlock4"}
    assert fetal_weight(**others, bpd_mm=outer, bpd_convention="outer-outer").grams == (
        fetal_weight(**others, bpd_mm=inner, bpd_convention="outer-inner").grams
    )
    assert gestational_age(bpd_mm=outer, bpd_convention="outer-outer").weeks == (
        gestational_age(bpd_mm=inner, bpd_convention="outer-inner").weeks
    )


def test_centile_is_a_float_with_z_score_and_source():
    got = centile("hc", 172.5, weeks=20, standard="intergrowth")
    assert got == pytest.approx(50.1, abs=0.05)
    assert got.z == pytest.approx((172.5 - 172.480) / 7.4399, abs=1e-4)
    assert got.formula == "INTERGROWTH-21st 2014"
    assert "Lancet 2014" in got.citation
    again = pickle.loads(pickle.dumps(got))
    assert (again, again.z, again.citation) == (got, got.z, got.citation)
    assert centile("hc", 290, 20, "hadlock").text == ">99.9"
    assert centile("hc", 290, 41, "hadlock").text == "<0.1"


CHARTS = [(standard, measure) for standard in STANDARDS for measure in STANDARDS[standard].weeks]
ENDS = {"who": (1, 99), "who-female": (2.5, 97.5), "who-male": (2.5, 97.5)}


@pytest.mark.parametrize(("standard", "measure"), CHARTS)
def test_every_size_of_a_chart_is_accepted(standard, measure):
    """A quarter of Hadlock's AC at 14 weeks were refused. Its lowest are 47 cm and less, as they are in mm."""
    first, last = ENDS.get(standard, (1, 99))
    convention = STANDARDS[standard].bpd_convention
    for weeks in np.linspace(*STANDARDS[standard].weeks[measure], 50):
        curve = reference(measure, weeks, standard)
        least = max(curve.value(first), 47 if measure == "ac" else 0)
        for value, percent in ((least, first), (curve.value(last), last)):
            assert centile(measure, value, weeks, standard, convention) == pytest.approx(percent, abs=2)


@pytest.mark.parametrize(("standard", "measure"), CHARTS)
def test_200_ages_and_values_are_refused_bounded_or_exact(standard, measure):
    """Ages from 5 to 48 weeks, values over all that a fetus can have: none extrapolated, none floored."""
    low, high = STANDARDS[standard].weeks[measure]
    least, most = ENDS.get(standard, (0.1, 99.9))
    convention = STANDARDS[standard].bpd_convention
    rng = np.random.default_rng(len(standard) + len(measure))
    ages = np.concatenate([rng.uniform(5, 48, 192), [low, high, low - 1e-9, high + 1e-9], [20.0, 20 + 6 / 7, 30, 30.9]])
    seen = set()
    for weeks, at in zip(ages, rng.uniform(0, 1, 200), strict=True):
        smallest, largest = QUANTITIES[measure].limits
        value = smallest * (largest / smallest) ** at
        if not low <= weeks <= high:
            with pytest.raises(GrowthError, match="covers"):
                centile(measure, value, weeks, standard, convention)
            seen.add("refused")
            continue
        found = centile(measure, value, weeks, standard, convention)
        curve = reference(measure, weeks, standard)
        if value < curve.value(least):
            assert (found, found.bound, found.text) == (pytest.approx(least), "below", f"<{least:g}")
        elif value > curve.value(most):
            assert (found, found.bound, found.text) == (pytest.approx(most), "above", f">{most:g}")
        else:
            assert found.bound == ""
            assert curve.value(found) == pytest.approx(value, rel=1e-9)
        completed = math.floor(weeks)
        if low <= completed < weeks - 0.1 and weeks < 40:
            assert curve.value(50) > reference(measure, completed, standard).value(50)
        seen.add(found.bound)
    assert seen == {"refused", "below", "above", ""}


def test_z_score_stays_where_equations_give_it_and_is_none_beyond_whos_quantiles():
    tiny = centile("hc", 200, 30, "intergrowth")
    assert tiny.z == pytest.approx((200 - 278.386) / 9.2493, abs=1e-3)
    assert (tiny.text, tiny.bound) == ("<0.1", "below")
    who = centile("hc", 200, 30, "who")
    assert (who, who.text, who.z) == (1, "<1", None)
    assert centile("efw", 4500, 36, "who-male").text == ">97.5"


def test_weight_by_hadlock4_is_refused_on_every_chart_unless_allowed():
    weight = fetal_weight(**lengths("bpd hc ac fl"), formula="hadlock4")
    assert weight.name == "hadlock4"
    for standard, chosen in STANDARDS.items():
        with pytest.raises(GrowthError, match=f"by {chosen.weight_formula} .*, not by hadlock4"):
            centile("efw", weight.grams, 30, standard, weight_formula=weight.name)
        allowed = centile("efw", weight.grams, 30, standard, weight_formula=weight.name, allow_other_formula=True)
        assert allowed == centile("efw", weight.grams, 30, standard)
        own = centile("efw", weight.grams, 30, standard, weight_formula=chosen.weight_formula)
        assert own == allowed


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8])
def test_whole_weeks_of_a_table_are_weeks(kind):
    """NumPy has no negative powers of its integers, and 30 cubed is not in eight bits."""
    for measure, standard in (("fl", "intergrowth"), ("efw", "intergrowth"), ("hc", "hadlock"), ("efw", "fmf")):
        assert reference(measure, kind(30), standard).value(50) == reference(measure, 30.0, standard).value(50)
    assert size_for_age("fl", kind(30)) == size_for_age("fl", 30.0)
