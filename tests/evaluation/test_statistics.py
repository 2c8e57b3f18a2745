"""Each statistic against an independent library or a full enumeration, for one to twelve subjects."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.statistics import agreement, bootstrap, conformal, exact

SIZES = range(1, 13)


def names(n):
    return [f"s{i}" for i in range(n)]


def pairs(n, seed=0):
    """Measured and true lengths (N,)."""
    rng = np.random.default_rng([seed, n])
    true = rng.uniform(100, 300, n)
    return true + rng.normal(1, 4, n), true


# ----------------------------------------------------------------------------------------------- paired test


@pytest.mark.parametrize("n", SIZES)
def test_sign_flip_p_equals_scipys_permutation_test(n):
    differences = np.random.default_rng(n).normal(0.8, 1, n)
    if n == 1:
        expected = 1.0  # scipy needs two; the one pattern and its mirror are equally extreme
    else:
        expected = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
        ).pvalue
    assert exact.sign_flip_p(names(n), differences) == pytest.approx(expected)


@pytest.mark.parametrize("n", SIZES)
def test_sign_flip_p_of_shares_equals_the_sign_test(n):
    """Differences of 0 and 1: the exact McNemar test, a binomial test of the pairs that differ."""
    differences = np.random.default_rng([5, n]).integers(-1, 2, n).astype(float)
    differing = int((differences != 0).sum())
    expected = stats.binomtest(int((differences > 0).sum()), differing).pvalue if differing else 1.0
    assert exact.sign_flip_p(names(n), differences) == pytest.approx(expected)


@pytest.mark.parametrize("n", SIZES)
def test_no_p_is_smaller_than_the_number_of_subjects_allows(n):
    assert exact.sign_flip_p(names(n), np.full(n, 2.0)) == 2 / 2**n
    assert exact.sign_flip_p(names(n), np.zeros(n)) == 1


def test_sign_flip_p_flips_whole_subjects():
    """Four copies of each difference say no more than one."""
    differences = np.array([1.0, 2.0, -0.5, 3.0, 1.5])
    copies = exact.sign_flip_p(np.repeat(names(5), 4), np.repeat(differences, 4))
    assert copies == exact.sign_flip_p(names(5), differences)


def test_pairs_that_lack_a_value_take_no_part():
    assert exact.sign_flip_p(names(3), [1.0, np.nan, 2.0]) == 0.5


def test_random_sign_patterns_agree_with_the_t_test_of_many_subjects():
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.15, 0.25):
        differences = rng.normal(shift, 1, 120)
        expected = stats.ttest_1samp(differences, 0).pvalue
        assert exact.sign_flip_p(names(120), differences) == pytest.approx(expected, abs=0.015)
    assert exact.sign_flip_p(names(120), np.ones(120)) == pytest.approx(1e-4)


def test_sign_flip_p_is_uniform_without_a_difference():
    rng = np.random.default_rng(0)
    p = [exact.sign_flip_p(names(8), rng.normal(size=8)) for _ in range(400)]
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.06)
        assert np.mean(np.array(p) <= level) <= level + 3 * np.sqrt(level / 400)


# ------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("n", SIZES)
def test_share_interval_equals_scipys_clopper_pearson(n):
    for hits in range(n + 1):
        expected = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        assert exact.share_interval(hits / n, n) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", SIZES)
def test_share_interval_covers_by_enumeration(n):
    """The definition: over all outcomes of n trials, at least 95 % of the probability is covered."""
    for share in (0.02, 0.3, 0.5, 0.9):
        covered = 0.0
        for hits in range(n + 1):
            low, high = exact.share_interval(hits / n, n)
            covered += stats.binom.pmf(hits, n, share) * (low <= share <= high)
        assert covered >= 0.95


def test_share_interval_counts_subjects():
    columns = {"failed": np.array([0.0, 0, 0, 0, np.nan, 0])}
    found = exact.share_intervals(["a", "a", "b", "b", "c", "b"], columns)
    assert found["failed"] == exact.share_interval(0.0, 2)
    assert exact.share_intervals(["a"], {"none": np.array([np.nan])}) == {}


@pytest.mark.parametrize("n", SIZES)
def test_too_few_subjects_have_no_bootstrap_interval(n):
    values = {"mae": np.arange(n, dtype=float)}
    assert bootstrap.mean_intervals(names(n), values) == {}
    assert bootstrap.intervals(names(n), lambda i: {"mae": float(i.mean())}) == {}


def test_equal_values_have_no_bootstrap_interval():
    assert bootstrap.mean_intervals(names(30), {"failed": np.zeros(30)}) == {}


def test_subjects_are_counted_per_column():
    """Twenty subjects, of whom three have the value: no interval."""
    column = np.full(20, np.nan)
    column[:3] = 1, 2, 3
    found = bootstrap.mean_intervals(names(20), {"all": np.arange(20.0), "three": column})
    assert set(found) == {"all"}


@pytest.mark.parametrize("n", range(2, 7))
def test_bootstrap_interval_equals_the_enumeration_of_all_resamples(n, monkeypatch):
    monkeypatch.setattr(bootstrap, "FEWEST", 1)
    monkeypatch.setattr(bootstrap, "RESAMPLES", 5000)
    values = np.random.default_rng(n).normal(size=n)
    means = values[np.array(list(itertools.product(range(n), repeat=n)))].mean(1)
    low, high = bootstrap.mean_intervals(names(n), {"x": values})["x"]
    for below, at_most in ((means < low - 1e-9, means <= low + 1e-9), (means > high + 1e-9, means >= high - 1e-9)):
        assert below.mean() < 0.034
        assert at_most.mean() > 0.016
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)
    both = (
        bootstrap.mean_intervals(names(n), {"x": values}),
        bootstrap.intervals(names(n), lambda i: {"x": float(values[i].mean())}),
    )
    assert both[0]["x"] == pytest.approx(both[1]["x"])  # two ways of computing one interval


# ------------------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("n", range(3, 13))
def test_bland_altman_against_the_standard_library_and_scipy(n):
    measured, true = pairs(n)
    differences, middles = (measured - true).tolist(), ((measured + true) / 2).tolist()
    found = agreement.bland_altman(measured, true)
    mean, sd = statistics.mean(differences), statistics.stdev(differences)
    assert (found["bias"], found["sd"]) == pytest.approx((mean, sd))
    assert (found["lower"], found["upper"]) == pytest.approx((mean - 1.96 * sd, mean + 1.96 * sd))
    assert found["bias_ci"] == pytest.approx(stats.ttest_1samp(differences, 0).confidence_interval(0.95))
    line = stats.linregress(middles, differences)
    assert (found["slope"], found["slope_p"]) == pytest.approx((line.slope, line.pvalue))


@pytest.mark.parametrize("n", [1, 2])
def test_agreement_of_one_or_two_pairs_is_refused(n):
    with pytest.raises(ValueError, match="three"):
        agreement.bland_altman(*pairs(n))


def test_limits_have_no_interval_from_two_subjects():
    measured, true = pairs(6)
    found = agreement.bland_altman(measured, true, subjects=2)
    assert (found["bias_ci"], found["upper_ci"], found["slope_ci"]) == (None, None, None)
    wide = agreement.bland_altman(measured, true, subjects=3)["upper_ci"]
    narrow = agreement.bland_altman(measured, true)["upper_ci"]
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


@pytest.mark.parametrize("n", SIZES)
def test_icc_against_sums_of_squares_by_loops(n):
    ratings = np.column_stack(pairs(n))
    found = agreement.icc(ratings)
    if n == 1:
        assert np.isnan(found)
        return
    grand = ratings.mean()
    ss_rows = sum(2 * (row.mean() - grand) ** 2 for row in ratings)
    ss_columns = sum(n * (column.mean() - grand) ** 2 for column in ratings.T)
    ss_total = sum((x - grand) ** 2 for x in ratings.ravel())
    ms_rows, ms_columns = ss_rows / (n - 1), ss_columns
    ms_error = (ss_total - ss_rows - ss_columns) / (n - 1)
    expected = (ms_rows - ms_error) / (ms_rows + ms_error + 2 * (ms_columns - ms_error) / n)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("n", SIZES)
def test_concordance_against_moments_by_the_standard_library(n):
    measured, true = (v.tolist() for v in pairs(n))
    found = agreement.concordance(measured, true)
    covariance = statistics.mean(a * b for a, b in zip(measured, true, strict=True))
    covariance -= statistics.mean(measured) * statistics.mean(true)
    spread = statistics.pvariance(measured) + statistics.pvariance(true)
    spread += (statistics.mean(measured) - statistics.mean(true)) ** 2
    assert found == pytest.approx(2 * covariance / spread, abs=1e-9)


def test_equal_values_have_no_correlation():
    found = agreement.agreement([200.0] * 4, [200.0] * 4, "hc_mm")
    assert (found["icc"], found["concordance"]) == (None, None)


def test_limits_cover_the_true_limits_as_often_as_they_say():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(600):
        found = agreement.bland_altman(100 + rng.normal(0, 2, 12), np.full(12, 100.0))
        inside.append(found["upper_ci"][0] <= 1.96 * 2 <= found["upper_ci"][1])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("half_width", [0.3, 0.8, 2.5])
def test_subjects_for_is_the_smallest_number(half_width):
    found = agreement.subjects_for(2.0, half_width)
    assert agreement.limit_half_width(2.0, found) <= half_width < agreement.limit_half_width(2.0, found - 1)


def test_subjects_for_says_when_no_number_is_enough():
    assert agreement.subjects_for(2.0, 0.0) is None
    assert agreement.subjects_for(2.0, -1.0) is None
    assert agreement.subjects_for(0.0, 0.1) == 3


# ------------------------------------------------------------------------------------------- non-inferiority


def verdict(errors_percent, share_inside=1.0, margin=4.9):
    true = np.full(len(errors_percent), 200.0)
    limits = agreement.bland_altman(true * (1 + np.asarray(errors_percent) / 100), true, percent=True)
    return agreement.non_inferiority(limits, share_inside, margin, "two sonographers")


def test_non_inferiority_needs_the_confidence_bound_inside_the_margin():
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 2.2, 400)
    assert verdict(errors)["verdict"] == "non-inferior"
    few = verdict(errors[:12])  # the same network, too few subjects to show it
    assert few["verdict"] == "not shown"
    assert few["bound"] > few["margin_percent"] > few["limit"]
    assert few["subjects_needed"] > 12
    assert verdict(errors + 8)["verdict"] == "inferior"
    assert verdict(errors + 8)["subjects_needed"] is None


def test_non_inferiority_counts_failures_outside_the_margin():
    """Limits of agreement know only pairs: a network that fails on 6 % of the frames must not pass."""
    errors = np.random.default_rng(0).normal(0, 1, 400)
    found = verdict(errors, share_inside=0.94)
    assert found["verdict"] == "not shown"
    assert "failures included" in found["reason"]


def test_inferior_network_passes_in_at_most_one_of_forty_samples():
    """Limits exactly at the margin: each outer 97.5 % bound is inside in at most 2.5 % of samples."""
    rng = np.random.default_rng(1)
    true = np.full(60, 200.0)
    passed = 0
    for _ in range(400):
        errors = rng.normal(0, 4.9 / 1.96, 60)
        limits = agreement.bland_altman(true * (1 + errors / 100), true, percent=True)
        passed += agreement.non_inferiority(limits, 1.0, 4.9, "")["verdict"] == "non-inferior"
    assert passed / 400 <= 0.025


# --------------------------------------------------------------------------------------------- errors, planes


@pytest.mark.parametrize("n", SIZES)
def test_error_summary_against_the_standard_library(n):
    errors = np.random.default_rng(n).normal(0, 3, n).tolist()
    size = [abs(e) for e in errors]
    found = metrics.error_summary([*errors, np.nan])
    assert (found["frames"], found["missing"]) == (n + 1, 1)
    assert (found["mae"], found["bias"]) == pytest.approx((statistics.mean(size), statistics.mean(errors)))
    assert (found["median"], found["max"]) == pytest.approx((statistics.median(size), max(size)))
    if n == 1:
        assert (found["sd"], found["mae_sd"]) == (None, None)  # undefined, not 0
    else:
        assert (found["sd"], found["mae_sd"]) == pytest.approx((statistics.stdev(errors), statistics.stdev(size)))


@pytest.mark.parametrize("n", SIZES)
def test_auroc_against_all_pairs(n):
    rng = np.random.default_rng(n)
    positive, score = rng.integers(0, 2, n).astype(bool), rng.integers(0, 4, n)
    wins = [(p > q) + (p == q) / 2 for p in score[positive] for q in score[~positive]]
    found = metrics.auroc(positive, score)
    assert found == pytest.approx(np.mean(wins)) if wins else np.isnan(found)


@pytest.mark.parametrize("n", SIZES)
def test_plane_scores_against_counts_by_loops(n):
    rng = np.random.default_rng([7, n])
    true, predicted = rng.integers(0, 3, (2, n)).tolist()
    table = metrics.confusion(true, predicted, 3)
    recalls, f1 = [], []
    for c in range(3):
        hits = sum(t == p == c for t, p in zip(true, predicted, strict=True))
        assert table[c, c] == hits
        if c in true:
            recalls.append(hits / true.count(c))
        if c in true or c in predicted:
            f1.append(2 * hits / (true.count(c) + predicted.count(c)))
    assert metrics.balanced_accuracy(table) == pytest.approx(statistics.mean(recalls))
    assert metrics.macro_f1(table) == pytest.approx(statistics.mean(f1))


@pytest.mark.parametrize("n", SIZES)
def test_calibration_error_against_bins_by_loops(n):
    rng = np.random.default_rng([9, n])
    confidence, right = rng.uniform(0, 1, n), rng.integers(0, 2, n)
    expected = 0.0
    for b in range(15):
        inside = [i for i in range(n) if b / 15 < confidence[i] <= (b + 1) / 15]
        if inside:
            gap = statistics.mean(confidence[inside]) - statistics.mean(right[inside].tolist())
            expected += len(inside) / n * abs(gap)
    assert metrics.calibration_error(confidence, right) == pytest.approx(expected)


@pytest.mark.parametrize("n", SIZES)
def test_risk_coverage_against_a_loop(n):
    rng = np.random.default_rng([11, n])
    errors, doubt = rng.normal(size=n), rng.permutation(n)
    kept, risk = metrics.risk_coverage(errors, doubt)
    for k in range(1, n + 1):
        least = sorted(range(n), key=lambda i: doubt[i])[:k]
        assert (kept[k - 1], risk[k - 1]) == pytest.approx((k / n, statistics.mean(abs(errors[i]) for i in least)))


@pytest.mark.parametrize("n", SIZES)
def test_conformal_factor_by_enumeration_of_ranks(n):
    scores = np.random.default_rng([13, n]).exponential(size=n)
    if n < 9:
        with pytest.raises(ValueError, match="too few"):
            conformal.factor(scores, np.ones(n))
        return
    # the smallest score that at least 90 % of n + 1 exchangeable scores, one of them infinite, do not exceed
    expected = min(s for s in scores if sum(scores <= s) >= 0.9 * (n + 1))
    assert conformal.factor(scores, np.ones(n)) == expected


@pytest.mark.parametrize("tested", SIZES)
def test_coverage_range_against_simulated_calibrations(tested):
    rng = np.random.default_rng(tested)
    coverage = []
    for _ in range(1500):
        scores = np.sort(rng.uniform(size=30))
        limit = scores[int(np.ceil(31 * 0.9)) - 1]
        coverage.append((rng.uniform(size=tested) <= limit).mean())
    low, high = conformal.coverage_range(30, tested)
    assert np.mean([(low <= c <= high) for c in coverage]) >= 0.985
    assert low <= np.quantile(coverage, 0.02)


@pytest.mark.parametrize("n", range(2, 13))
def test_best_temperature_against_a_grid(n):
    rng = np.random.default_rng([17, n])
    probability = rng.dirichlet([1, 1, 1], n)
    true = [rng.choice(3, p=p) for p in probability]

    def likelihood(temperature):
        return log_softmax(np.log(probability) / temperature, axis=1)[np.arange(n), true].mean()

    grid = max(likelihood(t) for t in np.geomspace(0.05, 20, 400))
    assert likelihood(metrics.best_temperature(probability, true)) >= grid - 1e-3
