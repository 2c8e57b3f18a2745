"""Rules of failures and outcomes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame
from fetal_jax.evaluation.frames import evaluate_frame, evaluate_frames
from fetal_jax.evaluation.summary import summarise
from fetal_jax.geometry import Ellipse, Shaft
from tests.support.drawn_heads import PREDICTOR, heads

BLANK = np.zeros((100, 200), np.uint8)
BONE = Shaft(20, 50, 120, 50, np.nan)
MM = 0.5


def femur(found, spacing=MM):
    truth = {"fl_mm": 50.0} if spacing else {}
    frame = Frame(BLANK, "femur", "shaft", BONE, spacing, truth, "s", "f.png", "Aloka")
    return evaluate_frame(0, frame, found)


def shaft(length, shift=0.0, spacing=MM):
    found = Shaft(20, 50 + shift, 20 + length, 50 + shift, 8)
    return Measurement("femur", shaft=found, fl_mm=spacing and length * spacing)


def test_femur_with_the_right_length_is_no_failure_although_its_dice_is_low():
    """Three pixels beside the bone: no overlap to speak of, and the length to the millimetre."""
    result = femur(shaft(100, shift=9))
    assert result.dice < 0.5
    assert (result.error_mm, result.failed) == (0, False)


@pytest.mark.parametrize(("length", "failed"), [(91, False), (109, False), (89, True), (111, True)])
def test_femur_fails_by_over_ten_percent_of_its_length(length, failed):
    assert femur(shaft(length)).failed is failed
    assert femur(shaft(length, spacing=None), spacing=None).failed is failed  # by pixels, where mm are unknown


def test_femur_without_geometry_is_a_failure():
    result = femur(Measurement("femur", flags=("nothing found",)))
    assert result.failed
    assert np.isnan(result.error_mm)
    assert result.status == "refused"


def test_head_fails_by_its_dice_whatever_its_circumference():
    head = Ellipse(100, 50, 40, 30, 0)
    frame = Frame(BLANK, "head", "ellipse", head, MM, {"hc_mm": MM * head.perimeter}, "s", "f.png")
    moved = Measurement("head", ellipse=Ellipse(112, 50, 40, 30, 0), hc_mm=MM * head.perimeter)
    result = evaluate_frame(0, frame, moved)
    assert (result.error_mm, result.failed) == (0, True)


@pytest.mark.parametrize(
    ("flags", "status"), [((), "measured"), (("leaves the frame",), "measured"), (("poor fit",), "review")]
)
def test_flags_decide_where_no_network_gave_the_value(flags, status):
    found = shaft(100)
    result = femur(Measurement("femur", shaft=found.shaft, fl_mm=50.0, flags=flags))
    assert (result.status, bool(result.reasons)) == (status, status == "review")


SCORE = {"inputs": ["width"], "weights": [1.0], "bias": 0.0}


@pytest.mark.parametrize("limit", [0.0, 0.5, None])
def test_status_is_the_one_that_measure_gives(limit):
    """Of the same frames with the plane given: by the bundle's score and limit, or without a rule."""
    rule = {} if limit is None else {"head": {"data": "x", "score": SCORE, "limit": limit}}
    predictor = replace(PREDICTOR, info=replace(PREDICTOR.info, acceptance=rule))
    frames = heads(4)
    frames[1] = replace(frames[1], image=cv2.GaussianBlur(frames[1].image, (0, 0), 12))  # flagged as soft
    frames[2] = replace(frames[2], image=np.zeros_like(frames[2].image))
    frames[3] = replace(frames[3], spacing_mm=None, truth_mm={})
    rows = list(evaluate_frames(predictor, frames))
    for frame, row in zip(frames, rows, strict=True):
        result = predictor.measure(frame.image, frame.spacing_mm, frame.plane)
        assert (row.status, row.reasons) == (result.status, result.reasons)
        assert (row.error_probability or -1) == pytest.approx(result.error_probability or -1, rel=1e-4)
    assert "low confidence" in rows[1].found.flags
    first = "measured" if limit == 0.5 else "review"
    assert [row.status for row in rows] == [first, first, "refused", "refused"]  # the score weighs the soft outline
    flow = summarise(rows)["flow"]["by_status"]
    assert {name: part["frames"] for name, part in flow.items() if part["frames"]} == {first: 2, "refused": 2}
    assert flow["refused"]["reasons"]["no spacing"] == 1


def test_device_and_spacing_are_kept():
    result = femur(shaft(100))
    assert (result.device, result.spacing_mm) == ("Aloka", MM)
