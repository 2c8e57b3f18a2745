"""Changed frames: their geometry goes with their pixels, and the curve shows what fails."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.evaluation.robustness import CHANGES, changed, measure_robustness
from fetal_jax.evaluation.statistics import bootstrap
from tests.support.drawn_heads import PREDICTOR, head, heads


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


@pytest.mark.parametrize(("name", "level"), [("zoom", 0.7), ("zoom", 1.2), ("rotation", 45), ("crop", 0.1)])
def test_geometry_and_spacing_follow_the_pixels(name, level):
    frame = head(3)
    moved = changed(frame, name, level, seed=1)
    assert moved.image.shape != frame.image.shape or (moved.image != frame.image).mean() > 0.02
    (row,) = evaluate_frames(PREDICTOR, [moved])
    assert row.dice > 0.97
    assert abs(row.error_mm) < 0.01 * row.true_mm
    assert row.true_mm == pytest.approx(moved.shape.perimeter * moved.spacing_mm)


def test_a_rotation_turns_by_its_angle():
    frame = head(3)
    moved = changed(frame, "rotation", 20, seed=1)
    off = (moved.shape.theta - frame.shape.theta + np.pi / 2) % np.pi - np.pi / 2
    assert abs(np.rad2deg(off)) == pytest.approx(20)


@pytest.mark.parametrize("name", ["gain", "noise", "blur", "shadow", "calipers", "jpeg"])
def test_other_changes_leave_the_geometry_and_grow(name):
    frame, change = head(3), CHANGES[name]
    assert changed(frame, name, change.none, seed=1) is frame
    strengths = [level for level in change.levels if level != change.none]
    made = [changed(frame, name, level, seed=1) for level in strengths]
    assert all(m.shape == frame.shape and m.spacing_mm == frame.spacing_mm for m in made)
    off = {s: np.abs(m.image.astype(float) - frame.image).mean() for s, m in zip(strengths, made, strict=True)}
    weakest, strongest = min(off, key=lambda s: abs(s - change.none)), max(off, key=lambda s: abs(s - change.none))
    assert 0 < off[weakest] < off[strongest]
    again = changed(frame, name, strongest, seed=1)
    np.testing.assert_array_equal(again.image, made[strengths.index(strongest)].image)


def test_the_curve_counts_failures_and_never_averages_over_them():
    found = measure_robustness(PREDICTOR, heads(6))
    assert found["frames"] == 6
    assert set(found["changes"]) == set(CHANGES)
    gain = {level["level"]: level for level in found["changes"]["gain"]}
    assert (gain[1]["failed_share"], gain[1]["missing"]) == (0, 0)
    assert gain[1]["mae_percent"] < 1
    dark = gain[0.35]  # 77 is less than half bright
    assert (dark["failed_share"], dark["missing"], dark["mae_percent"]) == (1, 6, None)
    assert gain[0.6]["mae_percent_ci"] is None  # three subjects
