"""Planted errors must be found: perfect predictions, a bias, a spread, failures, a bad device."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_jax.biometry import Measurement
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.flow import flow
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.subgroups import worst
from fetal_jax.evaluation.summary import summarise
from fetal_jax.geometry import Ellipse

SHAPE = Ellipse(100, 100, 40, 30, 0)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def frame(error=0.0, true=200.0, subject="s", failed=False, device="", spacing=0.12):
    missing = np.isnan(error)
    return EvaluatedFrame(
        index=0,
        filename=f"{subject}.png",
        subject=subject,
        plane="head",
        predicted_plane=None,
        measure="hc_mm",
        true_mm=true,
        measured_mm=None if missing else true + error,
        error_mm=error,
        dice=0.0 if missing else 0.98,
        failed=failed or bool(missing),
        found=Measurement("head", ellipse=None if missing else SHAPE, hc_mm=None if missing else true + error),
        device=device,
        spacing_mm=spacing,
    )


def split(errors, **more):
    return [frame(float(e), subject=f"s{i}", **more) for i, e in enumerate(errors)]


@settings(max_examples=20)
@given(n=st.integers(1, 40), true=st.floats(60, 350))
def test_perfect_predictions_have_no_error(n, true):
    head = summarise(split(np.zeros(n), true=true))["hc_mm"]
    assert (head["mae"], head["bias"], head["max"]) == (0, 0, 0)
    assert (head["within_5_percent"], head["within_repeat_limit"], head["failed"]) == (1, 1, 0)
    assert head["ci"]["within_5_percent"][1] == 1
    assert head["ci"]["within_5_percent"][0] == pytest.approx(0.025 ** (1 / n))  # Clopper-Pearson: not "1 to 1"
    json.dumps(outputs._without_nan(head), allow_nan=False)


@settings(max_examples=20)
@given(bias=st.floats(-9, 9), n=st.integers(3, 40))
def test_planted_bias_is_found(bias, n):
    head = summarise(split(np.full(n, bias)))["hc_mm"]
    limits = head["agreement"]["mm"]
    for found in (head["bias"], limits["bias"], limits["lower"], limits["upper"]):
        assert found == pytest.approx(bias, abs=1e-9)
    assert head["mae"] == pytest.approx(abs(bias))


@settings(max_examples=20)
@given(good=st.integers(1, 20), low=st.integers(0, 5), empty=st.integers(0, 5))
def test_planted_failures_are_counted_and_outside_every_share(good, low, empty):
    """`low`: failures by Dice whose circumference is right all the same."""
    frames = split(np.zeros(good)) + split(np.zeros(low), failed=True) + split(np.full(empty, np.nan))
    head, n = summarise(frames)["hc_mm"], good + low + empty
    assert (head["frames"], head["failed"], head["missing"]) == (n, low + empty, empty)
    for key in ("within_5_percent", "within_10_percent", "within_repeat_limit"):
        assert head[key] == pytest.approx(good / n)
    if good + low >= 3:
        assert head["non_inferiority"]["share_inside"] == pytest.approx(good / n)


def test_intervals_of_known_spread_hold_the_truth():
    errors = np.random.default_rng(0).normal(0.5, 2, 300)
    head = summarise(split(errors))["hc_mm"]
    for key, value in {"bias": 0.5, "mae": 1.644}.items():  # mean of |N(0.5, 2)|
        low, high = head["ci"][key]
        assert low < value < high


@pytest.mark.parametrize("subjects", [1, 5, 19])
def test_few_subjects_have_no_bootstrap_interval_however_many_frames(subjects):
    frames = [frame(float(i % 3), subject=f"s{i % subjects}") for i in range(60)]
    head = summarise(frames)["hc_mm"]
    assert not {"mae", "bias", "median", "icc", "dice"} & set(head["ci"])
    assert {"failed_share", "within_5_percent"} <= set(head["ci"])  # exact at any number


def test_single_frame_has_no_sd():
    head = summarise([frame(2.0)])["hc_mm"]
    assert (head["mae"], head["sd"], head["mae_sd"]) == (2.0, None, None)
    assert "agreement" not in head


def test_equal_values_write_null_in_place_of_nan(tmp_path):
    head = summarise(split(np.zeros(4)))["hc_mm"]
    assert (head["icc"], head["concordance"]) == (None, None)
    outputs.write_json(tmp_path / "metrics.json", {"x": float("nan"), "y": [1.0, float("inf")]})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"x": None, "y": [1.0, None]}


def test_first_trimester_has_its_row():
    """12 weeks: a head of 70 mm is shorter than that of 14 weeks, which the formula begins with."""
    head = summarise(split([1.0, -1.0], true=70.0) + split([2.0], true=200.0))["hc_mm"]
    assert (head["age_days"]["first"]["frames"], head["age_days"]["first"]["missing"]) == (2, 2)
    assert head["subgroups"]["trimester"]["first"]["mae"] == 1.0
    assert "unknown" not in head["age_days"]
    inside = replace(frame(1.0, true=70.0), interval_mm=(60.0, 80.0))
    assert summarise([inside])["hc_mm"]["interval"]["by_trimester"]["first"]["coverage"] == 1


def test_worst_device_is_found():
    frames = split(np.full(12, 1.0), device="A") + split(np.full(12, -8.0), device="B") + split([99.0], device="C")
    grouping, name, errors = worst(summarise(frames)["hc_mm"]["subgroups"])
    assert (grouping, name, errors["mae_percent"]) == ("device", "B", 4.0)  # C has too few frames
    assert worst(summarise(split(np.ones(30)))["hc_mm"]["subgroups"]) is None


def test_subgroups_are_all_frames():
    frames = split([1.0, 2.0], device="A", spacing=0.1) + split([np.nan], device="B", spacing=0.25)
    for grouping, groups in summarise(frames)["hc_mm"]["subgroups"].items():
        assert sum(g["frames"] for g in groups.values()) == 3, grouping
    spacing = summarise(frames)["hc_mm"]["subgroups"]["spacing"]
    assert set(spacing) == {"0.10 to 0.15 mm per pixel", "0.20 to 0.30 mm per pixel"}
    assert spacing["0.20 to 0.30 mm per pixel"]["mae"] is None


def test_flow_accounts_for_every_frame():
    nothing = replace(frame(), dice=None, error_mm=None, true_mm=None, measured_mm=None, found=None)
    doubtful = replace(frame(1.0), status="review", reasons=("the outline is soft on the left side (in shadow)",))
    frames = [
        replace(frame(), status="measured"),
        doubtful,
        replace(frame(np.nan), status="refused"),
        nothing,
        replace(nothing, plane="unknown", measure=None),
        replace(nothing, plane="thorax", measure=None),
    ]
    found = flow(frames)
    assert found["left_out"] == {
        "no annotated shape": 1,
        "plane not stated": 1,
        "plane without a measurement": 1,
    }
    counts = {status: part["frames"] for status, part in found["by_status"].items()}
    assert counts == {"measured": 1, "review": 1, "refused": 1}
    assert found["by_status"]["review"]["reasons"] == {"the outline is soft": 1}
    assert sum(counts.values()) + sum(found["left_out"].values()) == found["frames"] == 6
    assert found["failed"] == found["by_status"]["refused"]["failed"] == 1


def test_margin_of_the_user_takes_the_place_of_two_sonographers():
    frames = split(np.random.default_rng(0).normal(0, 2, 200))  # limits near 2 %
    ours = summarise(frames)["hc_mm"]["non_inferiority"]
    strict = summarise(frames, margins={"hc_mm": 1.5})["hc_mm"]["non_inferiority"]
    assert (ours["verdict"], ours["margin_percent"], ours["source"]) == ("non-inferior", 4.9, "two sonographers")
    assert (strict["verdict"], strict["margin_percent"], strict["source"]) == ("inferior", 1.5, "given")
