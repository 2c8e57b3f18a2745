"""The table counts every frame."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.biometry import Measurement
from fetal_jax.cli import evaluation
from fetal_jax.data.source import Frame
from fetal_jax.errors import UserError
from fetal_jax.evaluation import splits
from fetal_jax.evaluation.frames import EvaluatedFrame, diameters
from fetal_jax.evaluation.splits import refuse_other_split
from fetal_jax.evaluation.statistics import bootstrap, conformal
from fetal_jax.evaluation.statistics.calibration import interval_tables, plane_temperature
from fetal_jax.evaluation.summary import summarise
from fetal_jax.planes import expected_class
from tests.support.drawn_heads import PREDICTOR, heads


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def row(plane="head", error=0.0, dice=0.98, failed=False, named="head", hausdorff=1.0, subject="s", true=200.0):
    measure = {"head": "hc_mm", "abdomen": "ac_mm"}.get(plane)
    names = ("ofd", "bpd") if plane == "head" else ("tad", "apad")
    return EvaluatedFrame(
        index=0,
        filename="f.png",
        subject=subject,
        plane=plane,
        predicted_plane=named,
        measure=measure,
        true_mm=true,
        measured_mm=None if np.isnan(error) else true + error,
        error_mm=error,
        dice=dice,
        hausdorff_mm=hausdorff,
        hausdorff95_mm=hausdorff,
        surface_mm=hausdorff,
        failed=failed,
        found=None,
        endpoint_errors=dict.fromkeys(names, 0.01),
        planes=named and {"head": 0.1, "abdomen": 0.1, "other": 0.1} | {named: 0.8},
    )


def test_failures_are_counted_and_never_dropped():
    rows = [row(error=1.0), row(error=-3.0, dice=0.92), row(error=np.nan, dice=0.0, failed=True, hausdorff=np.nan)]
    head = summarise(rows)["hc_mm"]
    assert (head["frames"], head["missing"], head["failed"]) == (3, 1, 1)
    assert (head["mae"], head["bias"]) == pytest.approx((2.0, -1.0))
    assert head["dice"] == pytest.approx((0.98 + 0.92 + 0) / 3)
    assert (head["hausdorff_mm"], head["hausdorff_mm_missing"]) == (pytest.approx(1.0), 1)
    assert head["within_5_percent"] == pytest.approx(2 / 3)
    assert head["failed_share"] == pytest.approx(1 / 3)


def test_relative_errors_are_over_the_true_length():
    head = summarise([row(error=2.0), row(error=-6.0), row(error=12.0, true=100.0)])["hc_mm"]
    assert (head["mae_percent"], head["bias_percent"]) == pytest.approx((16 / 3, 10 / 3))
    assert (head["within_5_percent"], head["within_10_percent"]) == pytest.approx((2 / 3, 2 / 3))


def test_every_interval_holds_its_value():
    rng = np.random.default_rng(0)
    rows = [row(error=float(e), subject=str(i // 2)) for i, e in enumerate(rng.normal(0.5, 2, 60))]
    head = summarise(rows)["hc_mm"]
    for key, (low, high) in head["ci"].items():
        value = head["endpoint_error"][key[9:]]["mean"] if key.startswith("endpoint_") else head.get(key)
        if value is not None:
            assert low - 1e-9 <= value <= high + 1e-9, key
    assert {"mae", "bias", "icc", "lower", "within_5_percent", "age_mae_days_second"} <= set(head["ci"])


def test_age_is_in_days_by_trimester():
    """Hadlock 1984 by hand: GA = 8.96 + 0.540 HC + 0.0003 HC³, HC in cm."""

    def weeks(hc):
        return 8.96 + 0.0540 * hc + 0.0003 * (hc / 10) ** 3

    ages = summarise([row(true=100.0, error=2.0), row(true=200.0, error=2.0), row(true=300.0, error=-3.0)])["hc_mm"]
    days = {k: v["bias"] for k, v in ages["age_days"].items()}
    assert days["second"] == pytest.approx(7 * np.mean([weeks(102) - weeks(100), weeks(202) - weeks(200)]), abs=0.05)
    assert days["third"] == pytest.approx(7 * (weeks(297) - weeks(300)), abs=0.05)


def test_planes_and_measures_are_summarised_separately():
    rows = [row(), row("abdomen", error=2.0, named="head"), row("abdomen", error=4.0, named="abdomen")]
    summary = summarise(rows)
    assert summary["ac_mm"]["mae"] == pytest.approx(3.0)
    assert summary["hc_mm"]["frames"] == 1
    assert summary["plane"]["recall"] == {"head": 1.0, "abdomen": 0.5}
    assert "fl_mm" not in summary


def test_plane_outside_the_classes_counts_as_other():
    thorax = replace(row("thorax", named="other"), dice=None, error_mm=None, true_mm=None)
    plane = summarise([row(), row("abdomen", named="abdomen"), thorax, replace(thorax, predicted_plane="head")])[
        "plane"
    ]
    assert plane["accuracy"] == 1  # what is named is read off the probabilities
    assert plane["rejection_auroc"] == 1
    assert plane["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]
    assert expected_class("thorax", ("head", "femur")) is None
    assert expected_class("unknown", ("head", "other")) is None
    unknown = summarise([row(), replace(row(), plane="unknown")])["plane"]
    assert (unknown["frames"], unknown["without_class"]) == (1, 1)


def test_temperature_is_undone_for_the_calibration_error_before_it():
    sure = [replace(row(), planes={"head": 0.96, "other": 0.04})] * 8
    wrong = [replace(row(), plane="other", planes={"head": 0.96, "other": 0.04})] * 2
    soft = summarise([replace(r, planes={"head": 0.83, "other": 0.17}) for r in sure + wrong], temperature=2.0)["plane"]
    assert soft["calibration_error"] == pytest.approx(0.03)
    undone = 0.83**2 / (0.83**2 + 0.17**2)
    assert soft["calibration_error_before"] == pytest.approx(undone - 0.8)
    assert summarise(sure + wrong)["plane"]["calibration_error_before"] == pytest.approx(0.16)


def test_empty_tables_say_why():
    nothing = replace(row(named=None), dice=None, error_mm=None, true_mm=None, measured_mm=None)
    reasons = summarise([nothing])["not_measured"]
    assert "shape or a mask" in reasons["shapes"]
    assert "knows only one" in reasons["planes"]
    assert (
        "no frame of the split has a class" in summarise([replace(nothing, plane="unknown")])["not_measured"]["shapes"]
    )
    no_spacing = replace(row(), error_mm=None, true_mm=None, measured_mm=None, hausdorff_mm=None)
    summary = summarise([no_spacing] * 3)
    assert (summary["hc_mm"]["mae"], summary["hc_mm"]["without_mm"]) == (None, 3)
    assert summary["hc_mm"]["dice"] == pytest.approx(0.98)
    assert "spacing" in summary["not_measured"]["millimetres"]
    assert summary["not_measured"]["agreement"] == summary["not_measured"]["millimetres"]
    of_a_file = summarise([row(), row()])["not_measured"]["intervals"]
    assert of_a_file == "only a bundle has a table of intervals, and these values come from a file"
    two = summarise([row(), row()], intervals={})["not_measured"]
    assert "fewer than three" in two["agreement"]
    assert "--calibrate makes one of 20 calibration frames or more of a measure" in two["intervals"]
    assert two["intervals"].endswith("of at least 9 subjects")
    assert summarise([row(), row()], intervals={}, no_table="4 are few")["not_measured"]["intervals"] == "4 are few"


def test_diameters_have_names_where_their_order_is_known():
    def frame(plane, **truth):
        return Frame(np.zeros((2, 2), np.uint8), plane, "ellipse", None, 0.1, truth, "s", "f.png")

    assert diameters(frame("head")) == ("ofd", "bpd")
    assert diameters(frame("abdomen")) == ("long", "short")
    assert diameters(frame("abdomen", tad_mm=90.0, apad_mm=80.0)) == ("tad", "apad")
    assert diameters(frame("abdomen", tad_mm=80.0, apad_mm=90.0)) == ("apad", "tad")
    assert diameters(frame("femur")) == ("fl",)


def test_split_of_another_configuration_is_refused():
    with pytest.raises(UserError, match="hc18/benchmark"):
        refuse_other_split(["hc18/benchmark"], "hc18/examinations", "test")
    refuse_other_split(["hc18/benchmark"], "hc18/benchmark", "test")
    refuse_other_split(["hc18/benchmark"], "fetal_phantom/small", "test")


def test_interval_table_needs_enough_measured_frames():
    found = Measurement("head", hc_mm=200.0, sd_mm=2.0)
    rows = [replace(row(error=float(e), subject=str(e // 2)), found=found) for e in range(1, 40)]
    table = {"level": 0.9, "factor": 18.0, "frames": 39, "subjects": 20, "data": "d"}  # the 36th of 39, over 2
    assert interval_tables(rows, "d") == {"hc_mm": table}
    assert interval_tables([*rows, replace(row(error=np.nan), found=found)], "d") == {"hc_mm": table}
    assert interval_tables(rows[:19], "d") == {}


def test_interval_table_needs_enough_subjects():
    """The range of the coverage counts them: with fewer it would be NaN to NaN."""
    found = Measurement("head", hc_mm=200.0, sd_mm=2.0)

    def tables(subjects):
        return interval_tables(
            [replace(row(error=1.0, subject=str(i % subjects)), found=found) for i in range(40)], "d"
        )

    assert tables(8) == {}
    assert tables(9)["hc_mm"]["subjects"] == 9


@pytest.mark.parametrize("subjects", [0, 1, 8])
def test_a_table_of_too_few_subjects_gives_no_range(subjects):
    """Of an older bundle."""
    rows = [replace(row(subject=str(i)), interval_mm=(190.0, 210.0)) for i in range(30)]
    table = {"level": 0.9, "factor": 2.0, "frames": 60, "subjects": subjects, "data": "d"}
    found = summarise(rows, intervals={"hc_mm": table})["hc_mm"]["interval"]
    assert (found["coverage"], "range" in found) == (1.0, False)
    assert conformal.coverage_range(subjects, 30) is None
    assert np.isfinite(conformal.coverage_range(9, 30)).all()


def test_coverage_counts_the_frames_without_an_interval():
    rows = [replace(row(), interval_mm=(190.0, 210.0)), replace(row(), interval_mm=(201.0, 211.0)), row()]
    found = summarise(rows)["hc_mm"]["interval"]
    assert (found["frames"], found["coverage"], found["width_mm"], found["without"]) == (2, 0.5, 15.0, 1)
    assert "range" not in found


def test_the_range_of_coverage_counts_subjects():
    rows = [replace(row(subject=str(i // 3)), interval_mm=(190.0, 210.0)) for i in range(30)]
    table = {"level": 0.9, "factor": 2.0, "frames": 60, "subjects": 40, "data": "d"}
    found = summarise(rows, intervals={"hc_mm": table})["hc_mm"]["interval"]
    assert found["subjects"] == 10
    assert found["range"][0] < 0.7  # 10 subjects, not 30 frames
    assert found["by_trimester"]["second"]["frames"] == 30


def test_the_temperature_of_overconfident_planes_is_above_one():
    sure = replace(row(), planes={"head": 0.99, "abdomen": 0.01})
    assert plane_temperature([sure] * 30 + [replace(sure, plane="abdomen")] * 10) > 2
    assert plane_temperature([row(named=None)] * 40) is None
    assert plane_temperature([sure] * 40) is None  # of one class: the surer the better, which is no answer
    abdomen = replace(row("abdomen"), planes={"head": 0.3, "abdomen": 0.7})
    assert plane_temperature([sure] * 30 + [abdomen] * 10) is None  # all named right: the same


def calibrated(monkeypatch, folder, info, frames):
    """What calibration on these frames writes into a bundle."""
    written = {}
    monkeypatch.setattr(evaluation.Predictor, "from_bundle", lambda *_: replace(PREDICTOR, info=info))
    monkeypatch.setattr(splits, "splits", lambda *_: ("calibration",))
    monkeypatch.setattr(splits, "Split", lambda *_: frames)
    monkeypatch.setattr(evaluation.bundle, "update", lambda path, info, _: written.setdefault(path, info) and path)
    call = Namespace(bundle=[folder], runtime="onnx", fold=None, out=folder)
    print("why no table:", evaluation.calibrate(call, folder.joinpath, ["heads"], "data")[1])
    return written[folder]


def test_calibrating_on_one_data_set_keeps_what_others_gave(monkeypatch, tmp_path, capsys):
    """Heads alone say nothing of abdomens' intervals, nor how sure the network is of planes."""
    abdomens = {"level": 0.9, "factor": 1.1, "frames": 99, "subjects": 99, "data": "drawn abdomens"}
    info = replace(PREDICTOR.info, temperature=1.7, intervals={"ac_mm": abdomens}, training={"dataset": "heads/1.0.0"})
    found = calibrated(monkeypatch, tmp_path, info, heads(40))
    assert found.temperature == 1.7
    assert found.intervals["ac_mm"] == abdomens
    assert found.intervals["hc_mm"]["frames"] == 40
    out = capsys.readouterr().out
    assert "no rule" not in out
    assert f"{tmp_path}: temperature kept, intervals learnt, acceptance learnt; see" in out
    assert re.search(r"^HC  ± .*\(learnt\)$", out, re.M)


@pytest.mark.parametrize("there", [False, True])
def test_a_calibration_that_learns_nothing_says_that_it_kept_what_was_there(monkeypatch, tmp_path, capsys, there):
    tables = {"hc_mm": {"level": 0.9, "factor": 1.1, "frames": 99, "subjects": 99, "data": "older heads"}}
    old = {"intervals": tables, "acceptance": {"head": {"data": "older heads"}}} if there else {}
    info = replace(PREDICTOR.info, training={"dataset": "heads/1.0.0"}, **old)
    found = calibrated(monkeypatch, tmp_path, info, heads(8))
    assert (found.intervals, found.acceptance) == (info.intervals, info.acceptance)
    lines = capsys.readouterr().out.splitlines()
    fate = "kept" if there else "not learnt"
    assert lines[0].startswith(f"{tmp_path}: temperature kept, intervals {fate}, acceptance {fate}; see ")
    if there:
        assert lines[1:4] == [
            "HC  ± 1.10 sd, 90 %, older heads (kept)",
            "temperature of the planes 1.00 (kept)",
            "head     rule kept: older heads",
        ]


def test_a_rule_that_a_new_temperature_takes_away_is_said():
    assert evaluation.fate({}, {"head": {}}, {}) == "removed, as it was fitted to another temperature"


def test_calibrating_on_too_few_subjects_says_which_plane_has_no_rule_and_no_interval(monkeypatch, tmp_path, capsys):
    """Of the planes that the bundle knows: here heads alone."""
    info = replace(PREDICTOR.info, training={"dataset": "heads/1.0.0"})
    assert calibrated(monkeypatch, tmp_path, info, heads(8)).acceptance == {}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "no rule" in line] == ["head"]
    assert [line for line in lines if "no interval" in line] == ["HC  no interval: fewer than 20 frames or 9 subjects"]
    assert [line for line in lines if line.startswith("To calibrate more planes, give more subjects the split calib")]
    (why,) = [
        line for line in lines if line.startswith("why no table: the calibration frames are too few, 8 of heads:")
    ]
    assert "train folds and give --fold" in why


def test_temperature_is_applied_to_what_it_was_fitted_to():
    """It is fitted to probabilities averaged over the mirrored frame, not to each of the two."""

    def left_is_head(fed):
        logit = np.where(fed[:, :, : fed.shape[2] // 2].mean((1, 2, 3)) > 60, 6.0, 0.5)
        return np.zeros(fed.shape[:3], np.float32), np.stack([logit, -logit], 1).astype(np.float32)

    image = np.zeros((160, 160), np.uint8)
    image[:, :80] = 200
    seen = {}
    for temperature in (1.0, 2.5):
        info = replace(PREDICTOR.info, flip_average=True, temperature=temperature)
        (prediction,) = replace(PREDICTOR, info=info, forward=left_is_head).predict([image], [0.8])
        seen[temperature] = list(prediction.planes.values())
    power = np.array(seen[1.0]) ** (1 / 2.5)
    assert seen[2.5] == pytest.approx(power / power.sum(), rel=1e-5)
    assert seen[2.5] != pytest.approx(seen[1.0], abs=0.05)
