"""A margin around the scanner's picture is noticed on screenshots and on no real frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fetal_jax.inference.margin import BLACK, MARGIN, depth, has_margin
from fetal_jax.preprocess import to_grey
from tests.support.drawn_heads import PREDICTOR, SPACING_MM, head

CALIBRATED = replace(PREDICTOR, info=replace(PREDICTOR.info, acceptance={"head": {"data": "drawn heads"}}))
FRAME = head(0).image


def test_a_value_of_a_frame_with_a_margin_is_to_be_reviewed():
    assert CALIBRATED.measure(FRAME, SPACING_MM).status == "measured"
    # a light grey would be a part of the drawn network's head
    result = CALIBRATED.measure(np.pad(FRAME, 30, constant_values=BLACK + 1), SPACING_MM)
    assert (result.status, result.reason) == ("review", MARGIN)
    assert result.hc_mm is not None


@pytest.mark.parametrize("sides", [((9, 0), (0, 0)), ((0, 9), (0, 0)), ((0, 0), (9, 0)), ((0, 0), (0, 9))])
def test_one_side_is_enough(sides):
    for grey in (60, 255):
        assert has_margin(np.pad(FRAME, sides, constant_values=grey))


def test_noise_and_a_bar_across_it_do_not_hide_a_margin():
    noisy = np.pad(FRAME, 30, constant_values=60) + np.random.default_rng(0).integers(0, 4, (260, 260)).astype(np.uint8)
    noisy[5:20] = 200
    assert has_margin(noisy)


def test_black_a_thin_line_and_a_frame_of_one_colour_are_no_margins():
    assert not has_margin(FRAME)
    assert not has_margin(np.pad(FRAME, 50, constant_values=BLACK))
    assert not has_margin(np.pad(FRAME, 2, constant_values=255))
    assert not has_margin(np.full((200, 300), 77, np.uint8))


def test_the_depth_is_that_of_the_deepest_side():
    assert depth(FRAME) == depth(np.full((200, 300), 77, np.uint8)) == 0.0
    high, wide = FRAME.shape
    assert depth(np.pad(FRAME, ((0, 40), (0, 0)), constant_values=255)) == 40 / (high + 40)
    assert depth(np.pad(FRAME, ((0, 0), (2, 0)), constant_values=255)) == 2 / (wide + 2)


@pytest.mark.parametrize(
    "pattern", ["hc18/training_set/*HC.png", "fetal_planes*/**/*.png", "sononet_examples/**/*.png"]
)
def test_no_real_frame_has_a_margin(data_dir, pattern):
    files = sorted(data_dir.glob(pattern))
    assert files
    step = max(1, len(files) // 100)  # all of them were looked at once
    assert not [file.name for file in files[::step] if has_margin(to_grey(np.asarray(Image.open(file).convert("RGB"))))]
