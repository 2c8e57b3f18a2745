"""Errors, overlap and planes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax import metrics
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
    assert metrics.hausdorff(square(0, 4), square(2, 6), 0.5) == pytest.approx(1.0)
    # the far end of the long one is six pixels from the short one
    assert metrics.hausdorff(square(4, 8), square(4, 14), 1.0) == pytest.approx(6)
    assert metrics.hausdorff(square(4, 14), square(4, 8), 1.0) == pytest.approx(6)
    assert np.isnan(metrics.hausdorff(square(0, 0), square(4, 8), 1.0))


def test_overlap_of_shifted_discs():
    one, other = Ellipse(50, 50, 30, 30, 0), Ellipse(53, 50, 30, 30, 0)
    assert metrics.overlap(one, one, (100, 100), 0.2) == (1.0, 0.0)
    dice, hausdorff = metrics.overlap(other, one, (100, 100), 0.2)
    assert hausdorff == pytest.approx(0.6, abs=0.1)
    # two discs of radius r whose centres are d apart: 2/pi (acos(d/2r) - d/2r sqrt(1 - d²/4r²))
    x = 3 / 60
    assert dice == pytest.approx(2 / np.pi * (np.arccos(x) - x * np.sqrt(1 - x * x)), abs=3e-3)


def test_no_shape_is_dice_zero():
    dice, hausdorff = metrics.overlap(None, Ellipse(50, 50, 30, 30, 0), (100, 100), 0.2)
    assert dice == 0
    assert np.isnan(hausdorff)


def test_a_femur_without_width_is_compared_at_one_width():
    true = Shaft(20, 50, 80, 50, np.nan)
    assert metrics.overlap(Shaft(20, 50, 80, 50, 20), true, (100, 100), 1.0) == (1.0, 0.0)


def test_error_summary_counts_what_is_missing():
    s = metrics.error_summary([1.0, -2.0, np.nan, 4.0])
    assert (s["frames"], s["missing"]) == (4, 1)
    assert (s["mae"], s["bias"], s["median"], s["max"]) == pytest.approx((7 / 3, 1.0, 2.0, 4.0))
    assert s["sd"] == pytest.approx(3.0)
    assert metrics.error_summary([np.nan]) == {"frames": 1, "missing": 1}


def test_planes():
    true, predicted = ["head", "head", "femur", "femur"], ["head", "femur", "femur", "femur"]
    assert metrics.accuracy(true, predicted) == 0.75
    assert metrics.recall(true, predicted) == {"head": 0.5, "femur": 1.0}
