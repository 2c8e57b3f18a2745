"""Sizes, ages and combinations that no formula covers."""

from __future__ import annotations

import math

import pytest

from fetal_jax.errors import UserError
from fetal_jax.growth import (
    GrowthError,
    centile,
    fetal_weight,
    gestational_age,
    reference,
    size_for_age,
)


def test_centimetres_are_refused():
    for call in (
        lambda: fetal_weight(hc_mm=29, ac_mm=26, fl_mm=5.6),
        lambda: gestational_age(hc_mm=29),
        lambda: gestational_age(fl_mm=7.1),
        lambda: centile("ac", 26, 30, "who"),
        lambda: centile("efw", 1.53, 30, "hadlock"),
    ):
        with pytest.raises(GrowthError):
            call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gestational_age(), "give one"),
        (lambda: gestational_age(hc_mm=math.nan), "outside 66 to 420"),
        (lambda: gestational_age(hc_mm=80), "13w3d by Hadlock 1984 .HC., which covers 14 to 42 weeks"),
        (lambda: gestational_age(hc_mm=400), "covers 14 to 42"),
        (lambda: gestational_age(hc_mm=350, standard="intergrowth"), "covers 14 to 40"),
        (lambda: gestational_age(ac_mm=260, standard="intergrowth"), "by HC"),
        (lambda: gestational_age(crl_mm=60), "intergrowth"),
        (lambda: gestational_age(crl_mm=60, hc_mm=100, standard="intergrowth"), "alone"),
        (lambda: gestational_age(crl_mm=96, standard="intergrowth"), "outside 15 to 95"),
        (lambda: gestational_age(hc_mm=290, standard="who"), "'who'"),
        (lambda: gestational_age(bpd_mm=80), "outer-inner or outer-outer"),
        (lambda: gestational_age(bpd_mm=80, bpd_convention="inner"), "'inner' is unknown"),
        (lambda: gestational_age(hc_mm=290, bpd_mm=80, standard="intergrowth"), "bpd_convention"),
        (lambda: fetal_weight(hc_mm=290, ac_mm=260, fl_mm=56, bpd_mm=80, formula="hadlock3"), "bpd_convention"),
        (lambda: fetal_weight(hc_mm=290, ac_mm=260), "FL is missing"),
        (lambda: fetal_weight(hc_mm=290, ac_mm=260, fl_mm=56, formula="hadlock5"), "'hadlock5'"),
        (lambda: centile("bpd", 80, 30, "who"), "bpd_convention"),
        (lambda: centile("hc", 290, "30w2d", "intergrowth"), "exact weeks"),
        (lambda: centile("hc", 290, 13.9, "intergrowth"), "14 to 40"),
        (lambda: centile("hc", 290, 40.1, "intergrowth"), "14 to 40"),
        (lambda: centile("hc", 290, math.nan, "intergrowth"), "14 to 40"),
        (lambda: centile("efw", 480, 21.9, "intergrowth"), "22 to 40"),
        (lambda: centile("efw", 200, 17, "intergrowth-hadlock"), "18 to 41"),
        (lambda: centile("hc", 290, 30, "intergrowth-hadlock"), "no curve"),
        (lambda: centile("hc", 290, 42.1, "hadlock"), "14 to 42"),
        (lambda: centile("efw", 4000, 41.1, "hadlock"), "10 to 41"),
        (lambda: centile("ofd", 98, 30, "who"), "no curve"),
        (lambda: centile("ofd", 98, 30, "hadlock"), "no curve"),
        (lambda: centile("hc", 290, 30, "nichd"), "'nichd'"),
        (lambda: reference("hc", 30, "intergrowth").value(100), "between 0 and 100"),
        (lambda: reference("hc", 30, "who").value(0.5), "quantiles"),
        (lambda: reference("efw", 30, "hadlock", hadlock_spread="wide"), "'wide'"),
        (lambda: size_for_age("crl", 20), "INTERGROWTH"),
        (lambda: size_for_age("efw", 30), "INTERGROWTH"),
        (lambda: size_for_age("hc", 40.1), "INTERGROWTH"),
    ],
)  # fmt: skip
def test_refusals(call, says):
    with pytest.raises(GrowthError, match=says) as refused:
        call()
    assert isinstance(refused.value, UserError)
    assert isinstance(refused.value, ValueError)
    assert "\n" not in str(refused.value)
