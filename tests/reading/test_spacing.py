"""Millimetres per pixel: which evidence counts, where it holds, and what contradicts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.reading import spacing
from fetal_jax.reading.spacing import PixelSize, Region, of_dicom, with_aspect, with_given
from tests.support.dicom_files import region, ultrasound

FRAME = np.zeros((540, 800), np.uint8)
HEADER = PixelSize((0.2, 0.2), "dicom")


def header(*regions: Dataset, shape: tuple[int, int] = (540, 800), **tags: object) -> Dataset:
    ds = ultrasound(np.zeros(shape, np.uint8), list(regions))
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


@pytest.mark.parametrize(
    ("box", "tag"),
    [
        ({"RegionLocationMaxX1": 801}, "RegionLocationMaxX1"),
        ({"RegionLocationMaxY1": 900}, "RegionLocationMaxY1"),
        ({"RegionLocationMinX0": 4, "RegionLocationMaxX1": 1599, "RegionLocationMaxY1": 1079}, "RegionLocationMaxX1"),
    ],
)
def test_region_beyond_the_frame_is_refused(box, tag):
    size = of_dicom(header(region(**box)))
    assert size.mm is None
    assert tag in size.reason
    assert "resized after the calibration" in size.reason
    assert with_given(size, 0.4, "flag").mm == (0.4, 0.4)


def test_region_that_counts_one_pixel_too_many_is_accepted():
    size = of_dicom(header(region(RegionLocationMaxX1=800, RegionLocationMaxY1=540)))
    assert size.mm == pytest.approx((0.2, 0.2))


def test_frame_enlarged_after_the_calibration_is_refused():
    original = region(RegionLocationMaxX1=799, RegionLocationMaxY1=539)
    size = of_dicom(header(original, shape=(810, 1200)))
    assert size.mm is None
    assert "enlarged after the calibration" in size.reason
    lower = region(RegionLocationMaxX1=799, RegionLocationMaxY1=539)  # a scanner's own box: other proportions
    assert of_dicom(header(lower, shape=(560, 1200))).mm == pytest.approx((0.2, 0.2))


def test_box_of_the_frames_proportions_away_from_its_corner_is_a_scanners_own():
    item = region(RegionLocationMinX0=100, RegionLocationMaxX1=399, RegionLocationMinY0=75, RegionLocationMaxY1=299)
    assert of_dicom(header(item, shape=(600, 800))).mm == pytest.approx((0.2, 0.2))


def test_resampled_derivation_is_refused():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113085", "DCM", "Spatial resampling"
    for tags in ({"DerivationCodeSequence": [code]}, {"DerivationDescription": "Resized by 1.5"}):
        size = of_dicom(header(region(RegionLocationMinX0=90), **tags))
        assert size.mm is None
        assert "resampled" in size.reason


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        *((0, "none or not applicable"), (1, "percent"), (2, "dB"), (4, "seconds"), (5, "hertz"), (6, "dB/s")),
        *((7, "cm/s"), (8, "cm2"), (9, "cm2/s"), (10, "cm3"), (11, "cm3/s"), (12, "degrees"), (13, "unknown")),
    ],
)
def test_units_that_are_no_length_are_named(unit, name):  # PS3.3 C.8.5.5.1.15
    size = of_dicom(header(region(units=unit)))
    assert size.mm is None
    assert f"{unit} ({name}), not 3 (cm)" in size.reason


def test_region_without_a_box_is_refused():
    item = region()
    ds = header(item)
    del item.RegionLocationMaxX1
    assert "RegionLocationMaxX1" in of_dicom(ds).reason
    assert "not beyond" in of_dicom(header(region(RegionLocationMinX0=700, RegionLocationMaxX1=100))).reason


HEAD = Ellipse(200, 270, 120, 90, 0.4)


@pytest.mark.parametrize(
    ("shape", "inside"),
    [
        (HEAD, True),
        (replace(HEAD, cx=600), False),
        (replace(HEAD, cx=330), False),
        (replace(HEAD, cx=400), False),
        (replace(HEAD, cx=50), True),  # leaves the frame itself: what is outside was never seen
        (Shaft(20, 20, 380, 200, 10), True),
        (Shaft(20, 20, 500, 200, 10), False),
    ],
)
def test_whole_outline_must_lie_in_one_region(shape, inside):
    left = region(RegionLocationMaxX1=389)
    right = region(RegionLocationMinX0=410, RegionLocationMinY0=300)
    assert of_dicom(header(left)).covers(shape) == inside
    assert of_dicom(header(left, right)).covers(shape) == inside
    assert of_dicom(header(region())).covers(shape)
    assert PixelSize((1.0, 1.0), "flag").covers(shape)


def test_covers_bounds_a_turned_ellipse_by_its_extremes():
    turned = Ellipse(100, 100, 50, 10, np.pi / 4)
    half = float(np.hypot(50, 10) / np.sqrt(2))
    for slack, inside in ((0.1, True), (-1.1, False)):
        box = (100 - half - slack, 0, 400, 400)
        assert PixelSize((1.0, 1.0), "dicom", regions=(Region(box, (1.0, 1.0)),)).covers(turned) == inside


@pytest.mark.parametrize("side", range(4))
def test_covers_bounds_a_shaft_by_its_ends(side):
    shaft, box = Shaft(10, 80, 90, 85, 4), [10.0, 80.0, 90.0, 85.0]
    for slack, inside in ((0.9, True), (1.1, False)):
        cut = list(box)
        cut[side] += slack if side < 2 else -slack
        assert PixelSize((1.0, 1.0), "dicom", regions=(Region(tuple(cut), (1.0, 1.0)),)).covers(shaft) == inside


def test_placeholder_pixel_spacing_is_no_spacing_and_blocks_no_region():
    size = of_dicom(header(PixelSpacing=[1, 1]))
    assert size.mm is None
    assert "placeholder" in size.reason
    assert with_given(size, 0.2, "flag").mm == (0.2, 0.2)
    assert of_dicom(header(region(), PixelSpacing=[1, 1])).mm == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(
    ("text", "inch"), [("0.264583", 96), ("0.2646", 96), ("0.35277778", 72), ("0.0847", 300), ("0.1270", 200)]
)
def test_the_pixel_spacing_of_a_screen_or_printer_is_not_the_patients(text, inch):
    size = of_dicom(header(PixelSpacing=[text, text]))
    assert size.mm is None
    assert f"a PixelSpacing of {inch} pixels to the inch" in size.reason
    assert with_given(size, 0.2, "flag").mm == (0.2, 0.2)
    assert with_given(size, float(text), "flag").mm == (float(text), float(text))
    assert of_dicom(header(region(), PixelSpacing=[text, text])).mm == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("mm", [0.2644, 0.2648, 0.2, 0.1, 0.25])
def test_a_pixel_spacing_near_that_of_a_screen_is_taken(mm):
    assert of_dicom(header(PixelSpacing=[mm, mm])).mm == (mm, mm)


def test_a_pixel_spacing_that_was_never_calibrated_is_that_of_the_film():
    film = {"PixelSpacing": [0.21, 0.21], "NominalScannedPixelSpacing": [0.21, 0.21]}
    size = of_dicom(header(**film))
    assert size.mm is None
    assert "NominalScannedPixelSpacing" in size.reason
    assert of_dicom(header(**film | {"PixelSpacing": [0.15, 0.15]})).mm == (0.15, 0.15)  # calibrated
    assert of_dicom(header(**film | {"NominalScannedPixelSpacing": [0, 0]})).mm == (0.21, 0.21)
    assert of_dicom(header(region(), **film)).mm == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("pair", [[0.2, 0], [0, 0.2], [-0.2, 0.2], [0.2, -0.2]])
def test_pixel_spacing_that_is_no_length_is_none(pair):
    size = of_dicom(header(PixelSpacing=pair))
    assert size.mm is None
    assert "no PixelSpacing" in size.reason
    assert of_dicom(header(region(), PixelSpacing=pair)).mm == pytest.approx((0.2, 0.2))


def test_pixel_spacing_shared_by_all_frames_is_read():
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [0.25, 0.25]
    group.PixelMeasuresSequence = [measures]
    assert of_dicom(header(SharedFunctionalGroupsSequence=[group])).mm == (0.25, 0.25)


def test_a_frame_with_a_pixel_spacing_of_its_own_has_none():
    """That of all frames was taken for this one, too: its millimetres were twice the true ones."""
    shared, own = Dataset(), Dataset()
    for group, mm in ((shared, 0.25), (own, 0.125)):
        measures = Dataset()
        measures.PixelSpacing = [mm, mm]
        group.PixelMeasuresSequence = [measures]
    for more in ({"SharedFunctionalGroupsSequence": [shared]}, {"PixelSpacing": [0.25, 0.25]}):
        size = of_dicom(header(**more, PerFrameFunctionalGroupsSequence=[Dataset(), own]))
        assert size.mm is None
        assert size.final
        assert "0.2500 x 0.2500 mm for all frames and 0.1250 x 0.1250 mm for one of them" in size.reason
        assert of_dicom(header(**more, PerFrameFunctionalGroupsSequence=[Dataset(), shared])).mm == (0.25, 0.25)


@pytest.mark.parametrize(("ratio", "aspect"), [([1, 2], 0.5), ([3, 4], 0.75)])
def test_aspect_refuses_one_number_and_takes_two(ratio, aspect):
    size = of_dicom(header(PixelAspectRatio=ratio))
    one = with_given(size, 0.2, "flag")
    assert one.mm is None
    assert "PixelAspectRatio" in one.reason
    assert "column_spacing_mm" in one.reason
    assert with_given(size, (0.2 * aspect, 0.2), "csv").mm == (0.2 * aspect, 0.2)
    assert with_given(size, (0.2, 0.2 * aspect), "csv").mm is None


def test_aspect_that_contradicts_a_spacing_is_refused():
    assert "contradicts itself" in of_dicom(header(PixelSpacing=[0.2, 0.2], PixelAspectRatio=[1, 2])).reason
    assert of_dicom(header(PixelSpacing=[0.2, 0.4], PixelAspectRatio=[1, 2])).mm == (0.2, 0.4)
    assert of_dicom(header(region(0.2, 0.2), PixelAspectRatio=[1, 1])).mm == pytest.approx((0.2, 0.2))
    assert "contradicts itself" in of_dicom(header(region(0.2, 0.2), PixelAspectRatio=[3, 4])).reason


def test_caller_who_contradicts_the_header_is_refused():
    assert with_given(HEADER, 0.201, "flag") is HEADER
    size = with_given(HEADER, 0.3, "csv")
    assert size.mm is None
    assert "0.2000" in size.reason
    assert "csv 0.3000" in size.reason


def test_number_for_regions_of_two_scales_holds_in_the_one_it_agrees_with():
    two = of_dicom(header(region(0.2, 0.2, RegionLocationMaxX1=389), region(0.3, 0.3, RegionLocationMinX0=410)))
    assert "different scales" in two.reason
    size = with_given(two, 0.3, "flag")
    assert size.mm == (0.3, 0.3)
    assert size.covers(replace(HEAD, cx=600))
    assert not size.covers(HEAD)
    assert with_given(two, 0.25, "flag").mm is None


def test_pages_of_different_sizes_take_no_number():
    size = PixelSize(reason="pages of different sizes", final=True)
    assert with_given(size, 0.2, "flag").mm is None
    assert spacing.with_ruler(size, PixelSize((0.2, 0.2), "ruler"), PixelSize()).mm is None


def test_ruler_does_not_replace_a_header_and_takes_a_stated_aspect():
    down, none = PixelSize((0.2, 0.2), "ruler", confidence=0.9), PixelSize(reason="no ruler was found")
    assert spacing.with_ruler(replace(HEADER, mm=(0.5, 0.5)), down, none).mm == (0.5, 0.5)
    assert spacing.with_ruler(with_aspect(PixelSize(), 2.0, "PNG pHYs"), down, none).mm == pytest.approx((0.2, 0.1))
    squeezed = spacing.with_ruler(with_aspect(PixelSize(), 2.0, "PNG pHYs"), down, down)
    assert "contradicts itself" in squeezed.reason


def test_ruler_holds_only_in_the_regions_of_its_scale():
    two = of_dicom(header(region(0.2, 0.2, RegionLocationMaxX1=389), region(0.3, 0.3, RegionLocationMinX0=410)))
    size = spacing.with_ruler(two, PixelSize((0.3, 0.3), "ruler", confidence=0.9), PixelSize())
    assert size.mm == (0.3, 0.3)
    assert size.covers(replace(HEAD, cx=600))
    assert not size.covers(HEAD)
    other = spacing.with_ruler(two, PixelSize((0.25, 0.25), "ruler", confidence=0.9), PixelSize())
    assert other.mm is None
    assert "agrees with none" in other.reason
