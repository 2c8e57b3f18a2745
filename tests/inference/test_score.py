"""Inputs of the score on drawn maps, and the logistic model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fetal_jax import geometry
from fetal_jax.biometry import Measurement, measure
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.inference import score

SHAPE = (192, 288)
BOX = (0.0, 0.0, 288.0, 192.0)
ELLIPSE = Ellipse(144, 96, 70, 55, 0.3)
BRIGHT = np.full(SHAPE, 120, np.uint8)


def drawn(shape, blur: float = 1.0) -> np.ndarray:
    """A map of a shape with a soft border."""
    fine = geometry.mask(shape, *SHAPE).astype(np.float32)
    return np.clip(gaussian_filter(fine, blur), 0, 1)


def inputs_of(probability, found, plane=1.0) -> dict[str, float]:
    return score.inputs(probability, found, plane, BOX, np.zeros(SHAPE, np.uint8))


CLEAN = inputs_of(drawn(ELLIPSE), Measurement("head", ELLIPSE))


def test_perfect_outline_has_next_to_no_doubt():
    assert set(CLEAN) == set(score.INPUTS)
    assert CLEAN["residual"] < 0.003
    assert CLEAN["width"] == pytest.approx(2.5 / 125, rel=0.3)  # a Gaussian step of 1 px rises over sqrt(2 pi) px
    for name in ("unseen", "plane"):
        assert CLEAN[name] == 0
    assert CLEAN["outside"] < 0.02


@pytest.mark.parametrize("plane", ["head", "abdomen", "femur"])
def test_inputs_of_a_plane_are_those_that_its_model_reads(plane):
    shape = Shaft(80.5, 96.5, 200.5, 110.5, 12) if plane == "femur" else ELLIPSE
    found = Measurement(plane, shaft=shape) if plane == "femur" else Measurement(plane, shape)
    assert set(inputs_of(drawn(shape), found)) == set(score.INPUTS_OF[plane])


def test_border_of_a_flat_map_has_a_finite_width():
    y, x = np.mgrid[:192, :288] + 0.5
    flat = 0.5 - 1e-4 * (np.hypot(x - 144, y - 96) - 60)
    around = score.rim(flat, Ellipse(144, 96, 60, 60, 0), BOX)
    np.testing.assert_allclose(around.width, 0.01 / 0.02)  # a step of the line over the least drop


def test_inputs_do_not_depend_on_scale():
    small = Ellipse(144, 96, 35, 27.5, 0.3)
    half = inputs_of(drawn(small, 0.5), Measurement("head", small))
    for name in ("residual", "width", "outside"):
        assert half[name] == pytest.approx(CLEAN[name], abs=0.02)


@pytest.mark.parametrize(
    ("name", "probability"),
    [
        ("width", drawn(ELLIPSE, 6)),
        ("residual", drawn(replace(ELLIPSE, a=80))),
        ("outside", np.maximum(drawn(ELLIPSE), drawn(Ellipse(20, 20, 15, 15, 0)))),
    ],
)
def test_each_fault_raises_its_input(name, probability):
    assert inputs_of(probability, Measurement("head", ELLIPSE))[name] > max(2 * CLEAN[name], 0.02)


def test_plane_and_picture_edge_raise_their_inputs():
    assert inputs_of(drawn(ELLIPSE), Measurement("head", ELLIPSE), plane=0.7)["plane"] == pytest.approx(0.3)
    outside = replace(ELLIPSE, cx=20)
    assert 0.2 < inputs_of(drawn(outside), Measurement("head", outside))["unseen"] < 0.5


def test_femur_is_scored_at_its_ends():
    shaft = Shaft(80.5, 96.5, 200.5, 110.5, 12)
    clean = inputs_of(drawn(shaft), Measurement("femur", shaft=shaft))
    assert clean["residual"] < 0.01
    longer = Shaft(70.5, 95.3, 200.5, 110.5, 12)
    assert inputs_of(drawn(shaft), Measurement("femur", shaft=longer))["residual"] > 0.03
    soft = np.where(np.arange(288) < 100, gaussian_filter(drawn(shaft), 6), drawn(shaft))
    assert inputs_of(soft, Measurement("femur", shaft=shaft))["width"] > 2 * clean["width"]


BONE = Shaft(80.5, 96.5, 200.5, 110.5, 10)


def femur_frame(angle: float = 0.0, dark: float = 1.0) -> np.ndarray:
    """A bright bone in tissue; beyond x = 150, on a line turned by `angle`, all is `dark` times as bright."""
    tissue = gaussian_filter(np.random.default_rng(0).uniform(0, 120, SHAPE), 2)
    frame = np.where(drawn(BONE) > 0.5, 200.0, tissue)
    x, y = np.arange(SHAPE[1]), np.arange(SHAPE[0])[:, None]
    return np.where(x > 150 + np.tan(angle) * (y - 104), dark * frame, frame).astype(np.uint8)


def continues(frame: np.ndarray, shaft: Shaft) -> float:
    found = Measurement("femur", shaft=shaft)
    return score.inputs(drawn(shaft), found, 1.0, BOX, frame)["continues"]


@pytest.mark.parametrize("angle", [0.0, 0.2, -0.2])
@pytest.mark.parametrize("dark", [0.1, 0.3])
def test_bone_that_goes_on_in_a_shadow_raises_its_input(angle, dark):
    (x1, y1), (x2, y2) = BONE.ends
    seen = (150 - x1) / (x2 - x1)  # what the network would draw: the bone up to the shadow
    cut = Shaft(x1, y1, x1 + seen * (x2 - x1), y1 + seen * (y2 - y1), 10)
    whole = continues(femur_frame(), BONE)
    assert whole < 3
    assert continues(femur_frame(angle, dark), cut) > 4 * whole
    assert continues(femur_frame(angle, dark), BONE) < 3  # a shadow on the way, with both ends found
    half = continues((0.5 * femur_frame(angle, dark)).astype(np.uint8), cut)  # half the gain
    assert half > 3 * whole


@pytest.mark.parametrize(
    ("x", "y", "counts"),
    [
        *((203, 96, False), (207, 96, True), (217, 96, True), (221, 96, False)),  # 4 to 15 % of the length beyond
        *((198, 96, False), (194, 96, True), (184, 96, True), (180, 96, False)),  # and before the end
        *((210, 126, True), (210, 128, False), (210, 66, True), (210, 64, False)),  # 25 % to either side
    ],
)
def test_bone_is_looked_for_near_its_ends_only(x, y, counts):
    shaft = Shaft(80.5, 96.5, 200.5, 96.5, 10)
    frame = np.random.default_rng(1).uniform(40, 120, SHAPE)
    frame[92:102, 80:] += 80  # the bone goes on to the right
    spot = frame.copy()
    spot[y, x] = 255
    change = continues(spot.astype(np.uint8), shaft) - continues(frame.astype(np.uint8), shaft)
    assert (change != 0) == counts


def test_faint_pattern_is_hardly_like_itself():
    stripes = 100 + 2 * (np.arange(192)[:, None] // 4 % 2) + np.zeros(SHAPE)
    assert 1.05 < continues(stripes.astype(np.uint8), Shaft(80.5, 96.5, 200.5, 96.5, 10)) < 2


def test_femur_at_the_edge_of_the_picture_and_in_a_black_frame_has_finite_inputs():
    assert np.isfinite(continues(femur_frame(), Shaft(0.5, 50.5, 287.5, 60.5, 10)))
    assert continues(np.zeros(SHAPE, np.uint8), BONE) == pytest.approx(1)


def test_one_pixel_elsewhere_is_all_outside():
    single = np.zeros(SHAPE)
    single[20, 20] = 1
    assert inputs_of(single, Measurement("head", ELLIPSE))["outside"] == 1
    assert inputs_of(np.zeros(SHAPE), Measurement("head", ELLIPSE))["outside"] == 0


def test_ends_of_a_femur_are_looked_at_within_the_middle_of_the_bone():
    shaft = Shaft(80.5, 96.5, 200.5, 96.5, 10)  # three points an end: 2 px above the axis, on it, 2 px below
    for box, count in (((0, 93, 288, 100), 6), ((0, 94, 288, 100), 4), ((0, 93, 288, 99), 4), ((100, 93, 288, 100), 3)):
        around = score.rim(drawn(shaft), shaft, box)
        assert around.seen.sum() == count
    assert set(around.side) == {"left", "right"}


@pytest.mark.parametrize(
    ("side", "just", "short"),
    [(0, 79.4, 79.6), (1, 93.4, 93.6), (2, 201.6, 201.4), (3, 99.6, 99.4)],
)
def test_points_within_a_pixel_of_the_edge_were_not_seen(side, just, short):
    shaft = Shaft(80.5, 96.5, 200.5, 96.5, 10)
    for edge, whole in ((just, True), (short, False)):
        box = list(BOX)
        box[side] = edge
        assert score.rim(drawn(shaft), shaft, box).seen.all() == whole


def test_nothing_found_cannot_be_scored():
    with pytest.raises(ValueError, match="nothing was found"):
        inputs_of(np.zeros(SHAPE), measure(np.zeros(SHAPE), "head", None))


def test_soft_and_dark_sides_are_named():
    left = np.arange(288) < 115
    soft = np.where(left, gaussian_filter(drawn(ELLIPSE), 8), drawn(ELLIPSE)).astype(np.float32)
    words = score.sides_in_words(soft, BRIGHT, ELLIPSE, BOX)
    assert words["low confidence"] == " on the left side"
    shadow = np.where(left, 5, BRIGHT).astype(np.uint8)
    words = score.sides_in_words(soft, shadow, ELLIPSE, BOX)
    assert words["low confidence"] == " on the left side (in shadow)"
    assert score.sides_in_words(drawn(ELLIPSE), BRIGHT, ELLIPSE, BOX) == {}
    everywhere = score.sides_in_words(drawn(ELLIPSE, 12), BRIGHT, ELLIPSE, BOX)
    assert "low confidence" not in everywhere


def test_a_side_of_which_one_point_is_seen_is_named():
    shaft = Shaft(80.5, 96.5, 200.5, 96.5, 10)
    soft = np.where(np.arange(288) < 110, gaussian_filter(drawn(shaft), 6), drawn(shaft))
    words = score.sides_in_words(soft, BRIGHT, shaft, (0, 95, 288, 98))
    assert words["low confidence"] == " on the left side"


# -------------------------------------------------------------------------------------------------------- model


def test_stored_model_is_evaluated_as_written():
    model = {"inputs": ["residual"], "weights": [2.0], "bias": 8.0}
    expected = 1 / (1 + np.exp(-(2 * np.log(0.011) + 8)))
    assert score.error_probability(model, {"residual": 0.01, "width": 9.0}) == pytest.approx(expected)
    with pytest.raises(UserError, match="needs speckle: update"):
        score.error_probability(model | {"inputs": ["speckle"]}, {"residual": 0.01})
