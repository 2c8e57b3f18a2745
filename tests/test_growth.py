"""INTERGROWTH-21st size for age: the reference's worked rows."""

from __future__ import annotations

import pytest

from fetal_jax.growth import size_for_age


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
def test_worked_rows(weeks, measure, mean, sd):
    got = size_for_age(measure, weeks)
    assert got[0] == pytest.approx(mean, abs=6e-4)
    assert got[1] == pytest.approx(sd, abs=6e-5)


@pytest.mark.parametrize(("measure", "weeks"), [("hc", 13.9), ("hc", 40.1), ("crl", 20)])
def test_outside_the_standard_is_refused(measure, weeks):
    with pytest.raises(ValueError, match="INTERGROWTH"):
        size_for_age(measure, weeks)
