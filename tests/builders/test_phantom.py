"""Synthetic frames: reproducible; pixels, spacing and millimetres agree."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_phantom import screen
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import FIRST_SEED, PLANES, Builder, example
from tfds_builders.fetal_phantom.phantom import ANATOMIES, draw

CLEAR = Machine(240, 320, clear=True)


@pytest.mark.parametrize("plane", ANATOMIES)
def test_same_seed_gives_the_same_frame(plane):
    one, same, other = draw(plane, 3), draw(plane, 3), draw(plane, 4)
    assert one.image.shape == (480, 640)
    np.testing.assert_array_equal(one.image, same.image)
    assert one.shape == same.shape
    assert (one.image != other.image).mean() > 0.5


@pytest.mark.parametrize("machine", [Machine(), CLEAR])
@pytest.mark.parametrize("seed", range(4))
def test_millimetres_are_pixels_times_spacing(seed, machine):
    head, abdomen, femur = (draw(p, seed, machine) for p in ("head", "abdomen", "femur"))
    assert head.shape.perimeter * head.spacing_mm == pytest.approx(head.millimetres["hc_mm"])
    assert 2 * head.shape.b * head.spacing_mm == pytest.approx(head.millimetres["bpd_mm"])
    assert abdomen.shape.perimeter * abdomen.spacing_mm == pytest.approx(abdomen.millimetres["ac_mm"])
    assert femur.shape.length * femur.spacing_mm == pytest.approx(femur.millimetres["fl_mm"])


def grey(image, points):
    """Mean grey at those of (N, 2) points that lie in the frame."""
    x, y = np.floor(points).astype(int).T
    inside = (x >= 0) & (x < image.shape[1]) & (y >= 0) & (y < image.shape[0])
    return image[y[inside], x[inside]].mean()


@pytest.mark.parametrize("plane", ["head", "abdomen"])
def test_brightest_ring_is_just_inside_the_outline(plane):
    factors = np.linspace(0.8, 1.1, 31)
    found = []
    for seed in range(10):
        p = draw(plane, seed, CLEAR)
        e = p.shape
        rings = [grey(p.image, Ellipse(e.cx, e.cy, e.a * f, e.b * f, e.theta).points(300)) for f in factors]
        found.append(factors[np.argmax(rings)])
    assert 0.94 <= np.median(found) <= 0.99
    assert np.mean((np.array(found) > 0.9) & (np.array(found) <= 1.01)) >= 0.9


def test_bone_is_bright_between_its_ends_only():
    for seed in range(6):
        p = draw("femur", seed, CLEAR)
        assert isinstance(p.shape, Shaft)
        along = (p.shape.ends[1] - p.shape.ends[0]) / p.shape.length
        inner = [p.shape.ends[0] + along * p.shape.width, p.shape.ends[1] - along * p.shape.width]
        beyond = [p.shape.ends[0] - along * p.shape.width, p.shape.ends[1] + along * p.shape.width]
        assert grey(p.image, np.array(inner)) > 1.3 * grey(p.image, np.array(beyond))


def test_ruler_agrees_with_spacing():
    frame = np.zeros((480, 640), np.uint8)
    screen._ruler(np.random.default_rng(1), frame, 0.25)
    marks = np.flatnonzero(frame[:, :40].any(1))
    assert np.abs(np.diff(marks) - 5 / 0.25).max() <= 1  # whole pixels


def test_few_frames_cut_the_structure_and_clear_ones_never():
    def cut(p):
        x, y = p.shape.points(100).T
        return (p.image[np.clip(y, 0, 479).astype(int), np.clip(x, 0, 639).astype(int)] == 0).mean() > 0.1

    usual = [cut(draw("head", seed)) for seed in range(30)]
    assert np.mean(usual) < 0.4
    for seed in range(20):
        x, y = draw("head", seed, CLEAR).shape.points(100).T
        assert 0 < x.min() < x.max() < 320
        assert 0 < y.min() < y.max() < 240


def test_frame_without_structure_has_geometry_none():
    for plane in ("other", "thorax", "cervix"):
        made = example(plane, 5)
        assert (made["geometry"], made["plane"]) == ("none", plane)
        assert np.isnan(made["ellipse"]).all()


def test_a_third_of_large_has_no_measured_structure():
    assert sum(p in ("other", "thorax", "cervix") for p in PLANES["large"]) / len(PLANES["large"]) == pytest.approx(
        1 / 3
    )


def test_splits_share_no_seed():
    for counts in Builder.COUNTS.values():
        assert set(counts) == {"train", "validation", "calibration", "test"}
        seeds = [set(range(FIRST_SEED[s], FIRST_SEED[s] + n)) for s, n in counts.items()]
        assert sum(map(len, seeds)) == len(set.union(*seeds))
