"""Weight for age of the Fetal Medicine Foundation."""

from __future__ import annotations

import pytest

from fetal_jax.growth import STANDARDS, GrowthError, centile, parse_age, reference

ROWS = {
    20: (278.4, 291.2, 320.5, 352.8, 369.0),
    28: (992.8, 1042.9, 1158.7, 1287.4, 1352.4),
    32: (1616.1, 1701.4, 1899.2, 2120.0, 2231.9),
    36: (2325.2, 2453.3, 2751.3, 3085.5, 3255.5),
    40: (2903.1, 3069.6, 3458.6, 3896.9, 4120.5),
}


@pytest.mark.parametrize(("weeks", "row"), ROWS.items())
def test_worked_values_to_a_tenth_of_a_gram(weeks, row):
    of_age = reference("efw", weeks, "fmf")
    for percent, grams in zip((3, 10, 50, 90, 97), row, strict=True):
        assert of_age.value(percent) == pytest.approx(grams, abs=0.1)
        assert centile("efw", of_age.value(percent), weeks, "fmf") == pytest.approx(percent, abs=1e-6)


def test_slope_of_the_sd_is_not_a_thousand_times_too_small():
    """With 5.64e-8 a day, as three public programs have it, 40 weeks has 3110 g at the 3rd centile and not 2903 g."""
    wrong = 10 ** (0.02464 + 5.64e-8 * 280)
    right = 10 ** (0.02464 + 5.64e-5 * 280)
    one_sd = reference("efw", 40, "fmf").distribution
    assert one_sd.value(1) / one_sd.value(0) == pytest.approx(right, rel=1e-6)
    assert right / wrong > 1.03


def test_covers_20_to_43_weeks_of_weight_by_hadlock3():
    assert STANDARDS["fmf"].weight_formula == "hadlock3"
    assert reference("efw", parse_age("43w0d"), "fmf").value(50) > reference("efw", 42, "fmf").value(50)
    for age in ("19w6d", "43w1d"):
        with pytest.raises(GrowthError, match="FMF 2018 covers 20 to 43 weeks of EFW"):
            centile("efw", 1000, parse_age(age), "fmf")
    with pytest.raises(GrowthError, match="no curve for 'hc'"):
        centile("hc", 290, 30, "fmf")
