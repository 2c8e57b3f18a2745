"""Pixels and geometry go through the same map."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fetal_jax import geometry
from fetal_jax.biometry import measure
from fetal_jax.geometry import Ellipse
from fetal_jax.preprocess import Letterbox, to_grey, warp


def disc(shape: tuple[int, int], ellipse: Ellipse, factor: int = 4) -> np.ndarray:
    """A frame with a bright ellipse with a soft border."""
    fine = geometry.mask(ellipse.transform(geometry.stretch(factor, factor)), shape[0] * factor, shape[1] * factor)
    mean = fine.reshape(shape[0], factor, shape[1], factor).mean((1, 3))
    return np.round(255 * mean).astype(np.uint8)


@pytest.mark.parametrize("shape", [(540, 800), (541, 799), (100, 90), (700, 300)])
def test_letterboxed_pixels_match_the_geometry(shape):
    ellipse = Ellipse(0.48 * shape[1], 0.53 * shape[0], 0.4 * min(shape), 0.3 * min(shape), 0.4)
    letterbox = Letterbox(192, 288)
    seen = measure(letterbox(disc(shape, ellipse)) / 255, "head", 1.0).ellipse
    mapped = ellipse.transform(letterbox.to_network(shape))
    np.testing.assert_allclose(np.asarray(seen), np.asarray(mapped), atol=0.05)  # half a pixel off is 0.5


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.0, 1.7])
def test_warp_at_any_scale(scale):
    ellipse = Ellipse(150, 140, 90, 70, -0.5)
    m = geometry.affine(scale, 0.3, (40, 5))
    shape = (int(400 * scale) + 60, int(400 * scale) + 60)
    seen = measure(warp(disc((300, 300), ellipse), m, shape) / 255, "head", 1.0).ellipse
    np.testing.assert_allclose(np.asarray(seen)[:4], np.asarray(ellipse.transform(m))[:4], atol=0.08)


def test_anisotropic_frames_become_square_millimetres():
    # rows twice as far apart as columns: a circle in millimetres is flat in pixels, and round again after
    flat = Ellipse(150, 100, 80, 40, 0.0)
    letterbox, spacing = Letterbox(192, 288), (0.4, 0.2)
    seen = measure(letterbox(disc((200, 300), flat), spacing) / 255, "head", 1.0).ellipse
    assert seen.b / seen.a == pytest.approx(1, abs=0.01)


def test_frame_box_is_the_frame_in_the_canvas():
    assert Letterbox(192, 288).frame_box((96, 96)) == pytest.approx((48, 0, 240, 192))


def test_to_grey_of_colour_grey_and_alpha():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for frame in (grey, grey[..., None], np.repeat(grey[..., None], 3, 2), np.repeat(grey[..., None], 4, 2)):
        np.testing.assert_array_equal(to_grey(frame), grey)
    np.testing.assert_array_equal(to_grey(np.array([[[255, 0, 0]]], np.uint8)), [[76]])


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 4)), np.zeros((3, 4, 2), np.uint8), np.zeros(3, np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_an_array_that_is_no_frame_is_refused(bad):
    with pytest.raises(ValueError, match="a frame"):
        to_grey(bad)


def test_a_picture_or_a_path_in_place_of_an_array_is_named():
    for bad, name in ((Image.new("P", (4, 3)), "Image"), ("frame.png", "str"), ([[1, 2]], "list")):
        with pytest.raises(ValueError, match=rf"uint8 array .*, not {name}$"):
            to_grey(bad)
