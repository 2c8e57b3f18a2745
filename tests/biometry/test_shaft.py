"""Map of a femur -> two end points and a width."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.biometry import fit_shaft

Y, X = np.mgrid[:176, :256] + 0.5


def bowed(radius: float, half_angle: float, width: float) -> np.ndarray:
    """Part of a ring about (128, 130) whose middle is straight above the centre."""
    r, angle = np.hypot(X - 128, Y - 130), np.arctan2(X - 128, 130 - Y)
    across = np.clip(width / 2 - np.abs(r - radius) + 0.5, 0, 1)
    return across * np.clip((half_angle - np.abs(angle)) * r + 0.5, 0, 1)


def test_length_of_a_bowed_bone_is_the_chord_between_its_ends():
    """The ends are on the bone's middle line, 7 pixels below the map's principal axis."""
    shaft = fit_shaft(bowed(90, 0.5, 8)).shaft
    right = (128 + 90 * np.sin(0.5), 130 - 90 * np.cos(0.5))
    left = (256 - right[0], right[1])
    np.testing.assert_allclose(shaft.ends, [left, right], atol=0.8)
    assert shaft.length == pytest.approx(2 * 90 * np.sin(0.5), abs=0.5)  # the arc is 90.0 long, the chord 86.3
    assert shaft.width == pytest.approx(8, abs=0.4)


@pytest.mark.parametrize("ramp", [4.0, 8.0])
def test_ends_width_and_sharpness_of_a_straight_bone(ramp):
    soft = np.clip(0.5 + (50 - np.abs(X - 128)) / ramp, 0, 1) * (np.abs(Y - 88) <= 5)
    found = fit_shaft(soft)
    np.testing.assert_allclose(found.shaft.ends, [[78, 88], [178, 88]], atol=1e-3)
    assert found.shaft.width == pytest.approx(10, abs=1e-3)
    assert found.end_width == pytest.approx(ramp, rel=1e-3)


def test_map_without_an_elongated_structure_gives_none():
    assert fit_shaft(np.zeros((20, 20))) is None
    dot = np.zeros((20, 20))
    dot[10, 10:13] = 1
    assert fit_shaft(dot) is None


def test_width_of_an_end_is_at_most_50_pixels():
    fading = np.clip(1 - np.abs(X - 128) / 100, 0, 1) * (np.abs(Y - 88) <= 5)
    assert fit_shaft(fading).end_width == 50


@pytest.mark.parametrize("direction", [1, -1])
def test_map_that_reaches_beyond_the_resampled_axis_gives_none(direction):
    """A bone of 100 pixels and a small piece 30 pixels beyond one end: no end can be found there."""
    bone = (np.abs(Y - 88) <= 5) & (X > 20) & (X < 120)
    piece = (np.abs(Y - 88) <= 4) & (X > 150) & (X < 160)
    assert fit_shaft((bone | piece).astype(float)[:, ::direction]) is None


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_a_mask_of_any_type_has_the_same_ends(kind):
    mask = ((np.abs(X - 128) < 50) & (np.abs(Y - 88) < 5)).astype(kind)
    found = fit_shaft(mask)
    np.testing.assert_allclose(found.shaft.ends, [[78, 88], [178, 88]], atol=1e-3)
    assert found.shaft.width == pytest.approx(10, abs=1e-3)
