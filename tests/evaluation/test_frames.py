"""Rules of failures and outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame
from fetal_jax.evaluation.frames import evaluate_frame
from fetal_jax.geometry import Ellipse, Shaft

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
def test_flagged_measurement_is_for_review(flags, status):
    found = shaft(100)
    assert femur(Measurement("femur", shaft=found.shaft, fl_mm=50.0, flags=flags)).status == status


def test_device_and_spacing_are_kept():
    result = femur(shaft(100))
    assert (result.device, result.spacing_mm) == ("Aloka", MM)
