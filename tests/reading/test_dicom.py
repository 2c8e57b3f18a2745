"""DICOM pixels -> grey: every depth in full, and what is damaged refused by name."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from fetal_jax.errors import UserError
from fetal_jax.reading.dicom import read_frames
from tests.support.dicom_files import save, ultrasound

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def grey(ds: FileDataset, folder: Path) -> np.ndarray:
    return next(read_frames(save(ds, folder / "a.dcm"), "a.dcm")).pixels


def palette(pixels: np.ndarray, *names: str) -> FileDataset:
    ds = ultrasound(pixels, None, "PALETTE COLOR")
    for name in names:
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{name}PaletteColorLookupTableData", (np.arange(256) * 257).astype("<u2").tobytes())
    return ds


@pytest.mark.parametrize("stored", [9, 10, 12, 16])
def test_eight_bits_of_more_stay_as_they_are(tmp_path, stored):
    ds = ultrasound(RAMP)
    ds.BitsStored, ds.HighBit = stored, stored - 1
    np.testing.assert_array_equal(grey(ds, tmp_path), RAMP)
    ds.WindowCenter = 40  # a window without a width is none
    np.testing.assert_array_equal(grey(ds, tmp_path), RAMP)


@pytest.mark.parametrize("high", [15, 7])
def test_bits_in_use_that_are_not_the_lowest_are_refused(tmp_path, high):
    """They were read as if they were: the low bits of an echo, which are noise."""
    ds = ultrasound(RAMP << 8)
    ds.BitsStored, ds.HighBit = 12, high
    with pytest.raises(UserError, match=rf"a\.dcm says HighBit {high} beside BitsStored 12, where only 11 is valid"):
        grey(ds, tmp_path)
    ds = ultrasound(RAMP.astype(np.uint8))
    ds.HighBit = high  # whole samples leave no doubt
    np.testing.assert_array_equal(grey(ds, tmp_path), RAMP)


@pytest.mark.parametrize("frames", [2, 9, 17])
def test_every_frame_of_an_uncompressed_cine_is_read(tmp_path, frames):
    cine = np.stack([RAMP.astype(np.uint8) // 2 + i for i in range(frames)])
    pages = list(read_frames(save(ultrasound(cine), tmp_path / "a.dcm"), "a.dcm"))
    np.testing.assert_array_equal([page.pixels for page in pages], cine)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_frame_of_a_cine_of_two_bytes_a_pixel_is_its_own(tmp_path, syntax):
    """pydicom takes each frame but the first from the wrong place: they were mixed, and the last ones missing."""
    cine = np.random.default_rng(0).integers(0, 256, (5, 40, 60), dtype=np.uint8)
    ds = ultrasound(np.stack([cine] * 3, -1), None, "YBR_FULL_422")
    pairs = np.full((*cine.shape[:2], 30, 4), 128, np.uint8)  # two of grey, and the colour of both
    pairs[..., 0], pairs[..., 1] = cine[..., ::2], cine[..., 1::2]
    ds.PixelData, ds.file_meta.TransferSyntaxUID = pairs.tobytes(), syntax
    path = save(ds, tmp_path / "a.dcm")
    for file in (path, BytesIO(path.read_bytes())):
        found = list(read_frames(file, "a.dcm"))
        assert len(found) == 5
        for page, frame in zip(found, cine, strict=True):
            assert np.array_equal(page.pixels, frame)


def test_sixteen_bit_colour_takes_the_whole_range(tmp_path):
    colour = np.repeat((RAMP * 257)[..., None], 3, -1)
    np.testing.assert_array_equal(grey(ultrasound(colour), tmp_path), RAMP)


@pytest.mark.parametrize(
    ("least", "most", "bits"),
    [
        (-1, 100, 8),
        (-1, 128, 10),
        (-128, 127, 8),
        (-129, 127, 10),
        (-5, 511, 10),
        (-5, 512, 12),
        (-32768, 32767, 16),
    ],
)
def test_signed_pixels_take_the_bits_that_hold_them(tmp_path, least, most, bits):
    signed = np.array([[least, 0], [most, 0]], np.int16)
    ds = ultrasound(signed.view(np.uint16))
    ds.PixelRepresentation = 1
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = np.round((signed.astype(float) - low) * 255 / (high - low))
    np.testing.assert_array_equal(grey(ds, tmp_path), expected)


@pytest.mark.parametrize("key", ["NumberOfFrames", "Rows"])
def test_a_number_that_is_several_is_named(tmp_path, key):
    ds = ultrasound(np.zeros((16, 16), np.uint8))
    setattr(ds, key, [16, 17])
    with pytest.raises(UserError, match=f"a.dcm has a damaged {key}"):
        grey(ds, tmp_path)


def test_a_negative_number_of_frames_is_named(tmp_path):
    ds = ultrasound(np.zeros((16, 16), np.uint8))
    ds.NumberOfFrames = -3
    with pytest.raises(UserError, match=r"a\.dcm says -3 in NumberOfFrames: export it again"):
        grey(ds, tmp_path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", None])
def test_image_without_pixel_data_is_refused_as_that(tmp_path, syntax):
    """Uncompressed, deflated, JPEG, and an old file that does not say."""
    ds = ultrasound(np.zeros((16, 16), np.uint8))
    del ds.PixelData
    if syntax:
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        del ds.file_meta.TransferSyntaxUID
    with pytest.raises(UserError, match=r"a\.dcm has no picture \(no PixelData\): export it with its pixels"):
        grey(ds, tmp_path)


def test_palette_without_its_tables_is_refused(tmp_path):
    with pytest.raises(UserError, match="damaged palette"):
        grey(palette(RAMP.astype(np.uint8), "Red", "Green"), tmp_path)


def test_palette_with_transparency_is_refused(tmp_path):
    ds = palette(RAMP.astype(np.uint8), "Red", "Green", "Blue")
    np.testing.assert_array_equal(grey(ds, tmp_path), RAMP)
    ds.AlphaPaletteColorLookupTableData = (np.arange(256) * 257).astype("<u2").tobytes()
    with pytest.raises(UserError, match=r"shape \(16, 16, 4\)"):
        grey(ds, tmp_path)
