"""A drift of 2 % in one machine's month is seen; without drift there are no more false alarms than the rule allows."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.archive.cohort.drift import FALSE_ALARM, FEWEST, Cell, find

MONTHS = [f"2025-{m:02d}" for m in range(1, 13)]


def cells(rng, n, devices=4, shift=(), sd=1.0):
    """z-scores of three correlated measures of `n` patients a machine and month; `shift` is that of the first cell."""
    for d in range(devices):
        for month in MONTHS:
            z = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), n) * sd
            if shift and (d, month) == (0, MONTHS[4]):
                z += shift
            for measure, values in zip(("hc", "ac", "fl"), z.T, strict=True):
                yield Cell(measure, f"device {d}", month, n, float(values.sum()), float((values**2).sum()))


SHIFT = (0.57, 0.39, 0.39)
"""2 % of HC, AC and FL at 30 weeks, in Hadlock's SDs."""


def test_a_drift_of_two_percent_in_one_month_of_one_machine_is_seen_and_nothing_else():
    for seed in range(20):
        found = find(cells(np.random.default_rng(seed), 200, shift=SHIFT))
        assert found.tests == 144
        assert {(a.cell.device, a.cell.month) for a in found.alarms} == {("device 0", MONTHS[4])}
        assert "hc" in {a.cell.measure for a in found.alarms}


def test_no_drift_is_seen_in_twenty_sets_without():
    assert not any(find(cells(np.random.default_rng(seed), 140)).alarms for seed in range(20))


def test_a_large_drift_does_not_make_the_other_months_suspicious():
    found = find(cells(np.random.default_rng(0), 2000, shift=(3.0, 3.0, 3.0)))
    assert {(a.cell.device, a.cell.month) for a in found.alarms} == {("device 0", MONTHS[4])}
    assert len(found.alarms) == 3
    assert all(abs(a.others) < 0.05 for a in found.alarms)


def test_a_machine_that_always_measures_too_much_does_not_drift():
    rng = np.random.default_rng(1)
    groups = [Cell("hc", "a", m, 100, 100 * 2.0 + rng.normal() * 10, 100 * 5.0) for m in MONTHS]
    assert not find(groups).alarms


@pytest.mark.parametrize("n", [1, FEWEST - 1])
def test_months_of_few_patients_are_counted_and_not_tested(n):
    some = [Cell("hc", "a", m, 100, 0.0, 100.0) for m in MONTHS[1:]]
    found = find([Cell("hc", "a", MONTHS[0], n, 9.0 * n, 82.0 * n), *some])
    assert (found.tests, found.too_few, found.alarms) == (11, 1, ())


def test_a_machine_with_one_month_has_nothing_to_be_compared_with():
    assert find([Cell("hc", "a", MONTHS[0], 100, 900.0, 8200.0)]).tests == 0


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_the_rule_says():
    alarms = sum(bool(find(cells(np.random.default_rng(seed), 25, devices=2)).alarms) for seed in range(3000))
    assert alarms <= 12  # of 3000 sets at most 3 are expected; P(more than 12) < 1e-4
    assert FALSE_ALARM == 0.001
