"""Errors, overlap and planes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax import geometry
from fetal_jax.evaluation import metrics
from fetal_jax.geometry import Ellipse, Shaft


def square(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((10, 20), bool)
    mask[2:6, x0:x1] = True
    return mask


def test_dice_of_half_overlapping_squares():
    assert metrics.dice(square(0, 4), square(2, 6)) == pytest.approx(0.5)
    assert metrics.dice(square(0, 4), square(0, 4)) == 1
    assert metrics.dice(square(0, 0), square(0, 0)) == 1
    assert metrics.dice(square(0, 4), square(8, 12)) == 0


def test_hausdorff_is_in_millimetres_and_symmetric():
    assert metrics.hausdorff(metrics.surface_distances(square(0, 4), square(2, 6), 0.5)) == pytest.approx(1.0)
    # the far end of the long one is six pixels from the short one
    assert metrics.hausdorff(metrics.surface_distances(square(4, 8), square(4, 14), 1.0)) == pytest.approx(6)
    assert metrics.hausdorff(metrics.surface_distances(square(4, 14), square(4, 8), 1.0)) == pytest.approx(6)
    assert np.isnan(metrics.hausdorff(metrics.surface_distances(square(0, 0), square(4, 8), 1.0)))


def test_overlap_of_shifted_discs():
    one, other = Ellipse(50, 50, 30, 30, 0), Ellipse(53, 50, 30, 30, 0)
    assert metrics.overlap(one, one, (100, 100), 0.2) == (1.0, 0.0, 0.0, 0.0)
    dice, hausdorff, *_ = metrics.overlap(other, one, (100, 100), 0.2)
    assert hausdorff == pytest.approx(0.6, abs=0.1)
    # two discs of radius r whose centres are d apart: 2/pi (acos(d/2r) - d/2r sqrt(1 - d²/4r²))
    x = 3 / 60
    assert dice == pytest.approx(2 / np.pi * (np.arccos(x) - x * np.sqrt(1 - x * x)), abs=3e-3)


def test_no_shape_is_dice_zero():
    dice, hausdorff, *_ = metrics.overlap(None, Ellipse(50, 50, 30, 30, 0), (100, 100), 0.2)
    assert dice == 0
    assert np.isnan(hausdorff)


def test_a_femur_without_width_is_compared_at_one_width():
    true = Shaft(20, 50, 80, 50, np.nan)
    assert metrics.overlap(Shaft(20, 50, 80, 50, 20), true, (100, 100), 1.0) == (1.0, 0.0, 0.0, 0.0)


def test_error_summary_counts_what_is_missing():
    s = metrics.error_summary([1.0, -2.0, np.nan, 4.0])
    assert (s["frames"], s["missing"]) == (4, 1)
    assert (s["mae"], s["bias"], s["median"], s["max"]) == pytest.approx((7 / 3, 1.0, 2.0, 4.0))
    assert s["sd"] == pytest.approx(3.0)
    assert metrics.error_summary([np.nan]) == {"frames": 1, "missing": 1}


def test_distances_by_brute_force():
    """Against the definition: all pairs of border pixels."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        centres = rng.uniform(25, 35, (2, 2))
        one, other = (geometry.mask(Ellipse(*c, *sorted(rng.uniform(8, 20, 2))[::-1], 0.4), 60, 60) for c in centres)
        borders = []
        for m in (one, other):
            padded = np.pad(m, 1)
            inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
            borders.append(np.argwhere(m & ~inner))
        apart = 0.3 * np.linalg.norm(borders[0][:, None] - borders[1][None], axis=-1)
        ways = apart.min(1), apart.min(0)
        found = metrics.surface_distances(one, other, 0.3)
        assert metrics.hausdorff(found) == pytest.approx(max(w.max() for w in ways))
        assert metrics.hausdorff(found, 95) == pytest.approx(max(np.percentile(w, 95) for w in ways))
        assert np.concatenate(found).mean() == pytest.approx(np.concatenate(ways).mean())


def test_endpoint_error_takes_the_better_order():
    true = [[0, 0], [10, 0]]
    assert metrics.endpoint_error([[10, 1], [0, 3]], true) == pytest.approx(0.2)
    assert metrics.endpoint_error(true, true) == 0


def test_failure_is_outside_every_share():
    found = metrics.within([5.0, -11.0, np.nan, 0.0, 1.0], [100, 100, 100, 100, np.nan], [0, 0, 0, 1, 0], 5)
    np.testing.assert_array_equal(found, [1, 0, 0, 0, np.nan])


def test_planes_by_hand():
    table = metrics.confusion([0, 0, 1, 1], [0, 1, 1, 1], 2)
    assert table.tolist() == [[1, 1], [0, 2]]
    assert metrics.balanced_accuracy(table) == 0.75
    assert metrics.macro_f1(table) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]) == pytest.approx(0.875)
    assert np.isnan(metrics.auroc([1, 1], [0.1, 0.2]))


def test_calibration_and_temperature():
    assert metrics.calibration_error([0.9] * 10, [1] * 9 + [0]) == pytest.approx(0, abs=1e-9)
    assert metrics.calibration_error([0.9] * 10, [1] * 6 + [0] * 4) == pytest.approx(0.3)
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], 4000)
    true = [rng.choice(3, p=p / p.sum()) for p in honest]
    overconfident = honest**2 / (honest**2).sum(1, keepdims=True)
    assert metrics.best_temperature(overconfident, true) == pytest.approx(2, abs=0.15)


def test_risk_coverage_keeps_the_least_doubtful():
    kept, risk = metrics.risk_coverage([4.0, -1.0, 2.0], [0.9, 0.1, 0.5])
    assert kept.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([1, 1.5, 7 / 3])
