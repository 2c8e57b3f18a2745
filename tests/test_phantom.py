"""Drawn frames: one seed, one frame; pixels, spacing and millimetres agree."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import FIRST_SEED, Builder, example
from tfds_builders.fetal_phantom.phantom import draw


@pytest.mark.parametrize("plane", ["head", "abdomen", "femur", "other"])
def test_one_seed_one_frame(plane):
    one, same, other = draw(plane, 3), draw(plane, 3), draw(plane, 4)
    np.testing.assert_array_equal(one.image, same.image)
    assert one.shape == same.shape
    assert (one.image != other.image).mean() > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_millimetres_are_pixels_times_spacing(seed):
    head, abdomen, femur = (draw(p, seed) for p in ("head", "abdomen", "femur"))
    assert head.shape.perimeter * head.spacing_mm == pytest.approx(head.millimetres["hc_mm"])
    assert 2 * head.shape.b * head.spacing_mm == pytest.approx(head.millimetres["bpd_mm"])
    assert abdomen.shape.perimeter * abdomen.spacing_mm == pytest.approx(abdomen.millimetres["ac_mm"])
    assert femur.shape.length * femur.spacing_mm == pytest.approx(femur.millimetres["fl_mm"])


def test_the_skull_is_bright_where_the_geometry_says():
    brighter = []
    for seed in range(6):
        p = draw("head", seed)

        def ring(factor, p=p):
            e = Ellipse(p.shape.cx, p.shape.cy, p.shape.a * factor, p.shape.b * factor, p.shape.theta)
            x, y = np.floor(e.points(300)).astype(int).T
            inside = (x >= 0) & (x < p.image.shape[1]) & (y >= 0) & (y < p.image.shape[0])
            return p.image[y[inside], x[inside]].mean()

        brighter.append(ring(0.98) > 1.2 * ring(0.9))
    assert all(brighter)


def test_the_bone_is_bright_and_its_shadow_dark():
    for seed in range(6):
        p = draw("femur", seed)
        assert isinstance(p.shape, Shaft)
        middle = p.shape.ends.mean(0)
        x, y = middle.astype(int)
        depth = int(2.5 * p.shape.width)
        on_bone, below = p.image[y - 2 : y + 3, x - 8 : x + 9].mean(), p.image[y + depth, x - 8 : x + 9].mean()
        assert on_bone > 1.5 * below


def test_a_frame_without_structure_trains_an_empty_map():
    made = example("other", 5)
    assert (made["geometry"], made["plane"]) == ("none", "other")
    assert np.isnan(made["ellipse"]).all()


def test_splits_share_no_seed():
    for counts in Builder.COUNTS.values():
        seeds = [set(range(FIRST_SEED[s], FIRST_SEED[s] + n)) for s, n in counts.items()]
        assert sum(map(len, seeds)) == len(set.union(*seeds))
