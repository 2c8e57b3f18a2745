"""Agreement, intervals by bootstrap and conformal intervals, against published examples and their own promises."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.evaluation.statistics import bootstrap, conformal
from fetal_jax.evaluation.statistics.agreement import agreement, bland_altman, concordance, icc

# Bland & Altman 1986, table 1: peak flow in l/min of 17 people, Wright's large meter and the mini one, first readings
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
# Shrout & Fleiss 1979, table 2: six targets, four judges
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_bland_and_altmans_own_example():
    found = bland_altman(LARGE, MINI)
    assert found["bias"] == pytest.approx(-2.1, abs=0.05)
    assert (found["upper"] - found["bias"]) / 1.96 == pytest.approx(38.8, abs=0.05)
    # the paper's confidence intervals, with 2 for 1.96 and 3 for 1 + 1.96²/2: -22.0 to 17.8, 41.1 to 109.9
    assert found["bias_ci"] == pytest.approx((-22.0, 17.8), abs=0.2)
    assert found["upper_ci"] == pytest.approx((41.1, 109.9), abs=3)


def test_shrout_and_fleiss_own_example():
    assert icc(JUDGES) == pytest.approx(0.29, abs=0.005)


def test_concordance_is_correlation_times_its_accuracy():
    rng = np.random.default_rng(1)
    x = rng.normal(200, 30, 50)
    y = 0.9 * x + rng.normal(5, 4, 50)
    ratio, shift = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    accuracy = 2 / (ratio + 1 / ratio + shift**2)
    assert concordance(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1] * accuracy)


def test_perfect_agreement_and_a_known_shift():
    true = np.linspace(100, 300, 40)
    same = agreement(true, true, "hc_mm")
    assert (same["icc"], same["concordance"]) == pytest.approx((1, 1))
    assert (same["mm"]["bias"], same["mm"]["upper"], same["mm"]["slope"]) == pytest.approx((0, 0, 0))
    shifted = agreement(true + 2, true, "hc_mm")["mm"]
    assert (shifted["bias"], shifted["lower"], shifted["upper"]) == pytest.approx((2, 2, 2))
    assert bland_altman(1.1 * true, true)["slope"] == pytest.approx(0.1 / 1.05)
    tenth = bland_altman(1.1 * true, true, percent=True)
    assert (tenth["bias"], tenth["slope"]) == pytest.approx((10 / 1.05, 0), abs=1e-9)
    with pytest.raises(ValueError, match="three"):
        bland_altman([1, 2], [1, 2])


def test_equal_differences_have_a_slope_of_zero_and_equal_middles_none():
    true = np.arange(100.0, 300, 5)
    for shift in (0, 2):
        found = bland_altman(true + shift, true)
        assert (found["slope"], found["slope_ci"], found["slope_p"]) == (0, (0, 0), 1)
    middle = np.array([226.62, np.nextafter(226.62, 300), 226.62])
    half = np.array([1, 2, 3])
    found = bland_altman(middle + half, middle - half)
    assert (found["bias"], found["slope"], found["slope_ci"], found["slope_p"]) == (pytest.approx(4), None, None, None)


def test_the_bootstrap_draws_whole_subjects():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)

    def mean(chosen):
        return {"mean": float(values[chosen].mean())}

    low, high = bootstrap.intervals([str(i) for i in range(400)], mean)["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    values = np.repeat(values[:100], 4)  # four copies a subject say no more than one
    low, high = bootstrap.intervals([str(i // 4) for i in range(400)], mean)["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.12)


def test_conformal_intervals_keep_their_promise():
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.5, 3, (200, 260))
    errors = rng.standard_t(3, sd.shape) * sd  # neither normal nor of one size
    inside = []
    for e, s in zip(errors, sd, strict=True):
        factor = conformal.factor(e[:60], s[:60])
        inside.append(float((np.abs(e[60:]) <= factor * s[60:]).mean()))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.012)
    low, high = conformal.coverage_range(60, 200)
    assert np.mean([(low <= c <= high) for c in inside]) > 0.97
    with pytest.raises(ValueError, match="too few"):
        conformal.factor([1.0] * 8, [1.0] * 8)


def test_the_rank_by_hand():
    assert conformal.factor(range(1, 10), [1] * 9) == 9  # the 9th of nine
    assert conformal.factor(range(1, 20), [2] * 19) == 9  # the 18th of nineteen, over 2
