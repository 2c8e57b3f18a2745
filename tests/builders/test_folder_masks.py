"""Filled masks beside own frames: shapes, orientation, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft, mask, stretch
from tests.builders.own_folder import SIZE, TABLE, prepare, write_home
from tests.support.folders import spoil
from tfds_builders.folder import table
from tfds_builders.folder.folder_dataset_builder import shape_of_mask


@pytest.fixture
def home(tmp_path) -> Path:
    return write_home(tmp_path / "mine")


def fitted(path, plane, size, note=pytest.fail):
    return shape_of_mask(path, plane, size, note)


def write_mask(path, array):
    cv2.imwrite(str(path), array)
    return path


ELLIPSE = Ellipse(80.0, 60.0, 50.0, 40.0, 0.3)


def test_mask_cut_by_the_frame_keeps_its_whole_ellipse(tmp_path):
    shape = Ellipse(30.0, 60.0, 50.0, 40.0, 0.1)  # a fifth of it is left of the frame
    path = write_mask(tmp_path / "m.png", 255 * mask(shape, *SIZE).astype(np.uint8))
    np.testing.assert_allclose(np.asarray(fitted(path, "head", SIZE)), np.asarray(shape), atol=0.3)


@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_1_and_of_255_are_read(tmp_path, value):
    path = write_mask(tmp_path / "m.png", value * mask(ELLIPSE, *SIZE).astype(np.uint8))
    np.testing.assert_allclose(np.asarray(fitted(path, "head", SIZE)), np.asarray(ELLIPSE), atol=0.1)


def test_mask_of_a_femur_gives_its_shaft(tmp_path):
    shaft = Shaft(40.0, 50.0, 120.0, 65.0, 10.0)
    path = write_mask(tmp_path / "m.png", 255 * mask(shaft, *SIZE).astype(np.uint8))
    np.testing.assert_allclose(np.asarray(fitted(path, "femur", SIZE)), np.asarray(shaft), atol=0.7)


def test_femur_mask_cut_by_the_frame_has_no_length(home, tmp_path):
    """80 of 110 pixels are inside: as the bone's length they would count a right answer as wrong."""
    text = (home / TABLE).read_text()
    (home / TABLE).write_text(
        text.replace("f0.png,femur,0.5,s0,train,,,,,,40,60,120,60", "f0.png,femur,0.5,s0,train" + "," * 9)
    )
    write_mask(home / "f0_mask.png", 255 * mask(Shaft(80.0, 50.0, 190.0, 60.0, 10.0), *SIZE).astype(np.uint8))
    prepare(home, tmp_path / "data")
    split = Split("folder/mine", "train", tmp_path / "data")
    (frame,) = (f for f in map(split.__getitem__, range(len(split))) if f.filename == "f0.png")
    assert frame.geometry == "shaft"
    assert "fl_mm" not in frame.truth_mm


def test_masks_that_hold_no_filled_shape_are_refused(tmp_path):
    good = 255 * mask(ELLIPSE, *SIZE).astype(np.uint8)
    two = good.copy()
    two[:, 70:90] = 0
    square = np.zeros(SIZE, np.uint8)
    square[20:100, 30:130] = 255
    for array, message in [
        (good[:-1], "is 160x119, its frame 160x120"),
        (good * 0, "holds 0 pixels"),
        (two, r"not a filled ellipse \(several structures"),
        (square, r"not a filled ellipse \(poor fit"),
        *(
            (cv2.morphologyEx(good, cv2.MORPH_GRADIENT, np.ones((n, n))), "is an outline: fill it, to the middle")
            for n in (2, 3, 9)
        ),
    ]:
        with pytest.raises(UserError, match=message):
            fitted(write_mask(tmp_path / "m.png", array), "head", SIZE)
    with pytest.raises(UserError, match="not empty, but the plane cervix is not measured"):
        fitted(write_mask(tmp_path / "m.png", good), "cervix", SIZE)
    assert fitted(write_mask(tmp_path / "m.png", good * 0), "cervix", SIZE) is None


@pytest.mark.parametrize(
    ("thickness", "why"), [(1, "several structures"), (2, r"40\.5 widths long; 3 to 30 are taken")]
)
def test_a_femur_drawn_as_a_line_is_refused_with_the_rule(tmp_path, thickness, why):
    line = cv2.line(np.zeros(SIZE, np.uint8), (20, 50), (140, 65), 255, thickness)
    remedy = r"draw the bone's thickness, or give x1,y1,x2,y2 in frames.csv"
    with pytest.raises(UserError, match=rf"not a filled shaft \({why}\): {remedy}"):
        fitted(write_mask(tmp_path / "m.png", line), "femur", SIZE)


def test_a_folder_of_outlines_is_refused_with_the_remedy_first(home, tmp_path):
    rows = [line.split(",")[:5] for line in (home / TABLE).read_text().splitlines()]
    heads = [row for row in rows if row[1] == "head"]
    (home / TABLE).write_text("\n".join(",".join(row) for row in [rows[0], *heads]))
    outline = cv2.morphologyEx(255 * mask(ELLIPSE, *SIZE).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))
    for name in {row[0] for row in rows[1:]} - {row[0] for row in heads}:
        (home / name).unlink()
    for name, *_ in heads:
        write_mask(home / name.replace(".png", "_mask.png"), outline)
    with pytest.raises(UserError, match=rf"all {len(heads)} frames are bad, .*_mask.png is an outline: fill it"):
        prepare(home, tmp_path / "data")


def test_two_masks_or_numbers_and_a_mask_are_refused(home):
    good = 255 * mask(ELLIPSE, *SIZE).astype(np.uint8)
    write_mask(home / "h0_mask.png", good)
    with pytest.raises(UserError, match=r"line 2: h0.png has numbers here and h0_mask.png: keep one"):
        table.read(home, allow_partial=False)
    (home / "masks").mkdir()
    write_mask(home / "masks" / "h0.png", good)
    with pytest.raises(UserError, match=r"h0.png has two masks, .*h0_mask.png and .*masks/h0.png: keep one"):
        table.read(home, allow_partial=False)


@pytest.mark.parametrize("wrong", ["labels/h0.png", "h0_mask.jpg"])
def test_a_mask_in_a_wrong_place_or_format_is_refused_with_the_right_name(home, wrong):
    spoil(home / TABLE, "h0.png,head,1.0,s0,train,80,60,50,40,0.3", "h0.png,head,1.0,s0,train,,,,,")
    (home / wrong).parent.mkdir(exist_ok=True)
    write_mask(home / wrong, 255 * mask(ELLIPSE, *SIZE).astype(np.uint8))
    hint = rf"{wrong} \(if it is the mask of h0.png, save it as h0_mask.png or masks/h0.png\)"
    with pytest.raises(UserError, match=f"lacks a row of frames.csv for {hint}: add it, or"):
        table.read(home, allow_partial=False)
    (missing,) = table.read(home, allow_partial=True)[1]
    assert missing.endswith("masks/h0.png)")


def test_an_image_beside_a_frame_with_numbers_is_taken_for_no_mask(home):
    (home / "other").mkdir()
    write_mask(home / "other" / "h0.png", np.zeros(SIZE, np.uint8))
    assert table.read(home, allow_partial=True)[1] == ["a row of frames.csv for other/h0.png"]


def test_masks_with_areas_of_several_grey_levels_are_refused(tmp_path):
    """Half of the brightest level would keep the inner area alone: 100 around 250 lost half of the HC."""
    inner = Ellipse(80.0, 60.0, 30.0, 24.0, 0.3)
    for head, inside in ((100, 250), (1, 2), (255, 60)):
        labels = np.where(mask(inner, *SIZE), inside, head * mask(ELLIPSE, *SIZE)).astype(np.uint8)
        levels = f"{min(head, inside)}, {max(head, inside)}"
        with pytest.raises(UserError, match=f"areas of the grey levels {levels}: give a mask of one level"):
            fitted(write_mask(tmp_path / "m.png", labels), "head", SIZE)


def test_soft_edges_and_jpeg_are_one_grey_level(tmp_path):
    filled = 255 * mask(ELLIPSE, *SIZE).astype(np.uint8)
    fine = 255 * mask(ELLIPSE.transform(stretch(4, 4)), 4 * SIZE[0], 4 * SIZE[1]).astype(np.uint8)
    for name, array in (
        ("blurred.png", cv2.GaussianBlur(filled, (0, 0), 1.5)),
        ("shrunk.png", cv2.resize(fine, SIZE[::-1], interpolation=cv2.INTER_AREA)),
        ("m.jpg", filled),
    ):
        found = fitted(write_mask(tmp_path / name, array), "head", SIZE)
        np.testing.assert_allclose(np.asarray(found), np.asarray(ELLIPSE), atol=0.5)


def test_inverted_masks_are_refused_with_the_remedy(tmp_path):
    cut = Ellipse(0.0, 0.0, 50.0, 40.0, 0.3)  # a quarter of it in a corner
    for plane, shape in (("head", ELLIPSE), ("head", cut), ("femur", Shaft(40.0, 50.0, 120.0, 65.0, 10.0))):
        path = write_mask(tmp_path / "m.png", 255 * ~mask(shape, *SIZE).astype(bool))
        with pytest.raises(
            UserError, match=f"m.png is bright in the corners .*: invert it, or give the {plane} white on"
        ):
            fitted(path, plane, SIZE)
    path = write_mask(tmp_path / "m.png", np.full(SIZE, 255, np.uint8))
    with pytest.raises(UserError, match="invert it, or give an empty mask, which is black, or none"):
        fitted(path, "cervix", SIZE)


@pytest.mark.parametrize(("colour", "around"), [(255, 255), (0, 0), (76, 255), (0, 255)])
def test_masks_in_the_transparency_are_refused_with_the_remedy(tmp_path, colour, around):
    inside = mask(ELLIPSE, *SIZE).astype(bool)
    grey = np.where(inside, colour, around)
    pixels = np.stack([grey, grey, grey, 255 * inside], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(UserError, match=r"m.png shows its structure by transparent pixels.*: save it without them"):
        fitted(tmp_path / "m.png", "head", SIZE)


@pytest.mark.parametrize(("inner", "outer"), [(255, 0), (255, 255), (90, 0)])
def test_transparency_that_says_the_same_as_the_colour_is_no_matter(tmp_path, inner, outer):
    inside = mask(ELLIPSE, *SIZE).astype(bool)
    pixels = np.stack([255 * inside] * 3 + [np.where(inside, inner, outer)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_allclose(np.asarray(fitted(tmp_path / "m.png", "head", SIZE)), np.asarray(ELLIPSE), atol=0.1)


@pytest.mark.parametrize(("side", "kept"), [(3, True), (7, True), (9, False), (20, False)])
def test_a_second_area_is_noted_as_a_speck_and_refused_otherwise(tmp_path, side, kept):
    """The largest area alone is measured: the other was left out without a word up to a tenth of the mask."""
    array = 255 * mask(ELLIPSE, *SIZE).astype(np.uint8)
    array[2 : 2 + side, 3 : 3 + side] = 255
    path, notes = write_mask(tmp_path / "m.png", array), []
    told = f"{path} has {side**2} pixels beside its largest area"
    if kept:
        found = fitted(path, "head", SIZE, notes.append)
        np.testing.assert_allclose(np.asarray(found), np.asarray(ELLIPSE), atol=0.1)
        assert notes == [f"{told}: left out"]
    else:
        with pytest.raises(UserError, match=f"^{re.escape(told)}: draw the head alone, as one area$"):
            fitted(path, "head", SIZE)


def write_turned(path, upright, orientation):
    """An image file whose pixels are stored turned, with the EXIF orientation that turns them upright."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(upright).transpose(back).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_turns_frame_and_mask_alike(home, tmp_path, orientation):
    """Numbers and masks are those of the upright frame."""
    shape = Ellipse(60.0, 50.0, 45.0, 33.0, 0.4)
    upright = np.where(mask(shape, *SIZE), 180, 20).astype(np.uint8)
    write_turned(home / "h0.png", upright, orientation)
    numbers = "h0.png,head,1.0,s0,train,80,60,50,40,0.3"
    spoil(home / TABLE, numbers, "h0.png,head,1.0,s0,train,60,50,45,33,0.4")
    spoil(home / TABLE, "h1.png,head,1.0,s1,validation,80,60,50,40,0.3", "h1.png,head,1.0,s1,validation,,,,,")
    write_turned(home / "h1.png", upright, orientation)
    write_turned(home / "h1_mask.png", 255 * mask(shape, *SIZE).astype(np.uint8), orientation)
    prepare(home, tmp_path / "data")
    for split, name in (("train", "h0.png"), ("validation", "h1.png")):
        frames = Split("folder/mine", split, tmp_path / "data")
        (frame,) = (f for f in map(frames.__getitem__, range(len(frames))) if f.filename == name)
        np.testing.assert_array_equal(frame.image[..., 0] if frame.image.ndim == 3 else frame.image, upright)
        np.testing.assert_allclose(np.asarray(frame.shape), np.asarray(shape), atol=0.2)
