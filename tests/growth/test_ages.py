"""Gestational age as text."""

from __future__ import annotations

import pytest

from fetal_jax.growth import GrowthError, format_age, parse_age
from fetal_jax.growth.ages import format_outside


@pytest.mark.parametrize(
    "text",
    ["30w2d", "30W2D", "30w 2d", "30 w 2 d", "30w2", "30+2", "30 + 2", "30 2/7", "212d", "212 D", " 30w2d "],
)
def test_every_clinical_form_of_30_weeks_and_2_days(text):
    assert parse_age(text) == pytest.approx(30 + 2 / 7)


@pytest.mark.parametrize(
    ("text", "weeks"),
    [("30w", 30), ("30", 30), ("9w6d", 9 + 6 / 7), ("9+0", 9), ("30.2w", 30.2), ("30.2 W", 30.2), ("98d", 14)],
)
def test_weeks_days_and_decimal_weeks(text, weeks):
    assert parse_age(text) == pytest.approx(weeks)


@pytest.mark.parametrize(
    "text",
    [
        "30w7d",
        "30+7",
        "30 7/7",
        "30 2/5",
        "30/7",
        "-3",
        "",
        "w",
        "d",
        "300",
        "30w2d3",
        "30,2",
        "30 2",
        "1234d",
        "thirty",
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(GrowthError, match=r"30w2d, 30\+2, 30 2/7, 212d"):
        parse_age(text)


def test_decimal_without_unit_is_refused_as_ambiguous():
    with pytest.raises(GrowthError, match=r"30\.2w, or 30w2d"):
        parse_age("30.2")


def test_ages_are_written_to_the_nearest_day():
    assert [format_age(w) for w in (30.322, 29.999, 20)] == ["30w2d", "30w0d", "20w0d"]


@pytest.mark.parametrize(
    ("weeks", "text"),
    [(40.04, "40w1d"), (290 / 7, "41w3d"), (13.98, "13w6d"), (13 + 3 / 7, "13w3d"), (float("nan"), "nan"), (-1, "-1")],
)
def test_an_age_outside_a_range_is_not_written_as_its_end(weeks, text):
    assert format_outside(weeks, 40) == text
