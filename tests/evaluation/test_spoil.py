"""Spoilt copies of frames: the structure keeps its truth."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax import geometry
from fetal_jax.data.source import Frame
from fetal_jax.evaluation.spoil import SPOILERS, spoil
from fetal_jax.geometry import Ellipse, Shaft

HEAD = Ellipse(150, 110, 60, 45, 0.3)
FEMUR = Shaft(90, 100, 200, 120, 10)


def frame(shape, plane: str, grey: int) -> Frame:
    image = np.where(geometry.mask(shape, 220, 300), grey, 60).astype(np.uint8)
    return Frame(image, plane, "ellipse" if plane == "head" else "shaft", shape, 0.5, {}, "s", "f.png")


FRAMES = {"head": frame(HEAD, "head", 160), "femur": frame(FEMUR, "femur", 250)}


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("plane", FRAMES)
def test_each_kind_changes_the_picture_and_is_repeatable(kind, plane):
    own, other = FRAMES[plane], FRAMES["femur" if plane == "head" else "head"]
    before = own.image.copy()
    spoilt, again = (spoil(own, kind, other, seed=3) for _ in range(2))
    assert spoilt.image.dtype == np.uint8
    assert spoilt.image.shape != own.image.shape or (spoilt.image != own.image).mean() > 0.005
    np.testing.assert_array_equal(spoilt.image, again.image)
    np.testing.assert_array_equal(own.image, before)
    if kind != "cut":
        assert spoilt.shape == own.shape


@pytest.mark.parametrize("seed", range(8))
def test_cut_moves_the_truth_with_the_pixels(seed):
    cut = spoil(FRAMES["head"], "cut", FRAMES["femur"], seed)
    assert cut.shape.perimeter == pytest.approx(HEAD.perimeter)
    inside = geometry.mask(cut.shape, *cut.image.shape)
    np.testing.assert_array_equal(cut.image > 100, inside)
    assert 0.4 < inside.sum() / geometry.mask(HEAD, 220, 300).sum() < 0.99


@pytest.mark.parametrize("seed", range(8))
def test_structure_beside_leaves_the_structure_itself(seed):
    for kind in ("two structures", "body"):
        spoilt = spoil(FRAMES["head"], kind, FRAMES["femur"], seed)
        deep = geometry.mask(Ellipse(150, 110, 55, 40, 0.3), 220, 300)
        np.testing.assert_array_equal(spoilt.image[deep], 160)
        assert (spoilt.image > 100).sum() > (FRAMES["head"].image > 100).sum() + 50
