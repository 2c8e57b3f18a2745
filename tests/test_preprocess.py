"""Pixels and geometry go through the same map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset

from fetal_jax import geometry
from fetal_jax.biometry import measure
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.preprocess import Letterbox, close_up, to_grey, warp


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


@given(st.floats(20, 180), st.floats(20, 280), st.floats(8, 60), st.floats(0.3, 1), st.floats(-1.5, 1.5), st.booleans())
def test_close_up_centres_a_structure_and_fills_its_share(cy, cx, a, ratio, theta, bone):
    seen = Ellipse(cx, cy, a, a * ratio, theta)
    if bone:
        seen = Shaft.from_ends(seen.ends[:2], 1e-6)
    to_frame = geometry.affine(0.7, shift=(11, -3))  # from a frame's pixels to the canvas that shows it whole
    closer = close_up(to_frame, seen, (192, 288), 0.5)
    shown = seen.transform(geometry.compose(closer, geometry.invert(to_frame)))
    points = shown.corners() if bone else shown.points(720)
    low, high = points.min(0), points.max(0)
    np.testing.assert_allclose((low + high) / 2, (144, 96), atol=0.1)
    zoom = closer[0, 0] / to_frame[0, 0]
    assert zoom == 4 or max((high - low) / (288, 192)) == pytest.approx(0.5, rel=0.01)


def test_to_grey_of_colour_grey_and_alpha():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for frame in (grey, grey[..., None], np.repeat(grey[..., None], 3, 2), np.repeat(grey[..., None], 4, 2)):
        np.testing.assert_array_equal(to_grey(frame), grey)
    np.testing.assert_array_equal(to_grey(np.array([[[255, 0, 0]]], np.uint8)), [[76]])


@pytest.mark.parametrize(
    ("bad", "remedy"),
    [
        (np.zeros((3, 4)), r"0 to 255, then give frame\.astype\(np\.uint8\)"),
        (np.zeros((3, 4), np.uint16), r"0 to 255, then give frame\.astype\(np\.uint8\)"),
        (np.zeros((3, 4, 2), np.uint8), "last axis, .* give one frame"),
        (np.zeros((5, 3, 4, 3), np.uint8), "of a cine one after the other"),
        (np.zeros((5, 30, 40), np.uint8), r"not \(5, 30, 40\): .* of a cine one after the other"),
        (np.zeros(3, np.uint8), "give one frame"),
        (np.zeros((0, 4), np.uint8), "give one frame"),
        (np.ma.masked_array(np.zeros((2, 4), np.uint8), mask=[[1, 0, 0, 0]] * 2), r"give frame\.filled\(0\)"),
    ],
)
def test_an_array_that_is_no_frame_is_refused_with_what_to_do(bad, remedy):
    with pytest.raises(ValueError, match=f"a frame.*{remedy}"):
        to_grey(bad)


@pytest.mark.parametrize(
    ("bad", "name"),
    [("frame.png", "str"), (Path("frame.png"), r"\w*Path"), ([[1, 2]], "list"), (Dataset(), "Dataset")],
)
def test_a_file_or_a_list_in_place_of_an_array_is_named_with_what_reads_files(bad, name):
    with pytest.raises(
        ValueError, match=rf"uint8 array .*, not {name}: .*DICOM too, by fetal_jax\.reading\.isolated\.read"
    ):
        to_grey(bad)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_pillow_image_is_the_grey_that_it_shows(mode):
    grey = np.arange(0, 240, 20, np.uint8).reshape(3, 4)
    image = Image.fromarray(grey).convert("RGB").convert(mode, palette=Image.Palette.ADAPTIVE)
    assert mode != "P" or (np.asarray(image) != grey).any()
    np.testing.assert_array_equal(to_grey(image), grey)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_a_pillow_image_of_more_than_eight_bits_is_refused(mode):
    with pytest.raises(ValueError, match=f"8 bits per channel, not Pillow's mode {mode}: bring its grey levels"):
        to_grey(Image.new(mode, (4, 3)))
