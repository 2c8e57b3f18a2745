"""Size and depth that a compressed image states itself."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames

from fetal_jax.reading import codestream
from fetal_jax.reading.codestream import Codestream
from tests.support.dicom_files import save, ultrasound


@pytest.mark.parametrize("syntax", ["jpeg_2000_lossless", "jpeg_ls_lossless", "jpeg_lossless"])
@pytest.mark.parametrize(
    ("shape", "dtype", "components", "bits"),
    [((40, 60), np.uint8, 1, 8), ((40, 60, 3), np.uint8, 3, 8), ((60, 40), np.uint16, 1, 16)],
)
def test_header_is_the_pictures_own(tmp_path, syntax, shape, dtype, components, bits):
    pixels = np.random.default_rng(0).integers(0, 2**bits, shape).astype(dtype)
    whole = dcmread(save(ultrasound(pixels), tmp_path / "a.dcm", syntax))
    (data,) = generate_frames(whole.PixelData, number_of_frames=1)
    assert codestream.begins(data)
    assert codestream.header(data) == Codestream(*shape[:2], components, bits)


def test_header_of_jpeg_2000_with_an_offset_and_a_sign():
    # ISO 15444-1, A.5.1: the picture reaches from (10, 5) to (70, 45); the top bit of the depth is its sign
    size = struct.pack(">HHHH8IHB", 0xFF4F, 0xFF51, 41, 0, 70, 45, 10, 5, 60, 40, 10, 5, 1, 0x80 | 11)
    assert codestream.header(size) == Codestream(40, 60, 1, 12)
    assert codestream.header(size[:-1] + b"\x0b") == Codestream(40, 60, 1, 12)
    assert codestream.header(size[:-2]) is None


def jpeg(**options: object) -> bytes:
    shade = np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)
    data = BytesIO()
    Image.fromarray(shade).save(data, "JPEG", quality=90, **options)
    return data.getvalue()


def broken(data: bytes) -> bytes:
    """Forty bytes of its coded data are lost."""
    return data[: len(data) // 2] + data[len(data) // 2 + 40 :]


@pytest.mark.parametrize("marker", [0xC0, 0xC1])
def test_damage_of_baseline_and_extended_jpeg_is_found(marker):
    data = jpeg().replace(b"\xff\xc0", bytes((0xFF, marker)), 1)
    assert codestream.header(data) == Codestream(120, 160, 1, 8)
    assert codestream.damage(data) == ""
    assert "damaged" in codestream.damage(broken(data))


def test_nothing_is_said_of_a_progressive_jpeg():
    assert codestream.damage(broken(jpeg(progressive=True))) == ""


@pytest.mark.parametrize("between", [b"\xff\x01", b"\xff", b"\xff\xff\xff\x01"], ids=["marker", "fill", "both"])
def test_markers_without_a_body_and_fill_bytes_are_passed_over(between):
    data = jpeg()
    padded = data[:2] + between + data[2:]
    assert codestream.header(padded) == Codestream(120, 160, 1, 8)
    assert codestream.damage(padded) == ""
    assert codestream.damage(broken(padded))
