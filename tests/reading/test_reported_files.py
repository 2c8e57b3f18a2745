"""Files that users of other readers reported: the right pixels, or a refusal that names the cause."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from scipy import ndimage

from fetal_jax.reading.frame import Failure
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import Source
from tests.support.dicom_files import as_ultrasound, region, save, ultrasound

GREY = ndimage.gaussian_filter(np.random.default_rng(3).uniform(0, 255, (96, 128)), 2)
GREY = ((GREY - GREY.min()) * 255 / np.ptp(GREY)).astype(np.uint8)
RGB = np.stack([GREY] * 3, -1)


def dicom(pixels: np.ndarray = GREY, photometric: str | None = None, /, **tags: object) -> FileDataset:
    ds = ultrasound(pixels, [region(0.3, 0.3)], photometric)
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    data = BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=97, **options)
    return data.getvalue()


def jpeg_dicom(data: bytes, pixels: np.ndarray = GREY, photometric: str | None = None) -> FileDataset:
    ds = dicom(pixels, photometric)
    ds.PixelData, ds.file_meta.TransferSyntaxUID = encapsulate([data]), JPEGBaseline8Bit
    return ds


def planar_colour() -> FileDataset:
    return dicom(RGB, PlanarConfiguration=1, PixelData=np.moveaxis(RGB, -1, 0).tobytes())


def overlay_in_unused_bits() -> FileDataset:
    deep = GREY.astype(np.uint16) * 16 | 0x4000
    return dicom(deep, BitsStored=12, HighBit=11)


def lookup_table() -> FileDataset:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 8], (np.arange(4096) // 16).astype(np.uint16).tolist()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    return dicom(GREY.astype(np.uint16) * 16, BitsStored=12, HighBit=11, VOILUTSequence=[table])


def fragments_of_one_frame() -> FileDataset:
    data = jpeg(GREY)
    data += b"\0" * (len(data) % 2)
    ds, half = jpeg_dicom(data), len(data) // 4 * 2
    ds.PixelData = encapsulate([data], fragments_per_frame=2, has_bot=False) if half else b""
    return ds


def png16(path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(path)


def png_with_junk(path: Path) -> None:
    data = BytesIO()
    Image.fromarray(GREY).save(data, "PNG")
    path.write_bytes(data.getvalue() + b"junk" * 50)


def png_with_bad_checksum(path: Path) -> None:
    data = BytesIO()
    Image.fromarray(GREY).save(data, "PNG")
    spoilt = bytearray(data.getvalue())
    at = spoilt.index(b"IDAT") + 40
    spoilt[at] ^= 0x10
    path.write_bytes(bytes(spoilt))


def png_interlaced(path: Path) -> None:
    """Adam7: seven passes over the picture."""
    rows = []
    for x0, y0, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += [b"\0" + row.tobytes() for row in GREY[y0::dy, x0::dx]]
    head = b"IHDR" + struct.pack(">IIBBBBB", GREY.shape[1], GREY.shape[0], 8, 0, 0, 0, 1)
    chunks = (head, b"IDAT" + zlib.compress(b"".join(rows)), b"IEND")
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def top_down_bmp(path: Path) -> None:
    head = struct.pack("<IiiHHIIiiII", 40, GREY.shape[1], -GREY.shape[0], 1, 24, 0, RGB.size, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54 + RGB.size, 0, 0, 54) + head + RGB.tobytes())


def cmyk(path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(path, quality=97)


def tif(**options: object) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, options.pop("data", GREY), **options)


def pil(pixels: np.ndarray, mode: str | None = None, **options: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(path, **options)

    return write


def in_dicom(ds: Callable[[], FileDataset] | FileDataset) -> Callable[[Path], None]:
    return lambda path: save(ds() if callable(ds) and not isinstance(ds, FileDataset) else ds, path) and None


def copied(name: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(as_ultrasound(Path(get_testdata_file(name)).read_bytes())) and None


SAME = ""
CASES: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("cornerstone3D #1440, pydicom #151, dicom-rs #129", "RGB by planes", in_dicom(planar_colour), SAME),
    ("pydicom", "overlay in the bits above BitsStored", in_dicom(overlay_in_unused_bits), SAME),
    ("PS3.3 C.11.2", "VOI LUT Sequence without a window", in_dicom(lookup_table), SAME),
    ("pydicom-data", "big endian", copied("MR_small_bigendian.dcm"), "read"),
    ("pydicom", "one frame in two fragments", in_dicom(fragments_of_one_frame), SAME),
    ("pydicom/deid #240", "RGB pixels under YBR_FULL_422",
     in_dicom(lambda: dicom(RGB, "YBR_FULL_422")), "YBR_FULL_422"),
    ("pydicom", "NumberOfFrames 0", in_dicom(lambda: dicom(NumberOfFrames=0)), SAME),
    ("pydicom", "NumberOfFrames empty", in_dicom(lambda: dicom(NumberOfFrames=None)), SAME),
    ("dcmjs", "PhotometricInterpretation empty", in_dicom(lambda: dicom(PhotometricInterpretation="")), "|"),
    ("cornerstoneWADO #533", "RGB JPEG under YBR_FULL_422",
     in_dicom(lambda: jpeg_dicom(jpeg(RGB), RGB, "YBR_FULL_422")), SAME),
    ("fo-dicom", "colour JPEG without subsampling",
     in_dicom(lambda: jpeg_dicom(jpeg(RGB, subsampling=0), RGB, "YBR_FULL")), SAME),
    ("pydicom", "progressive JPEG in a baseline syntax",
     in_dicom(lambda: jpeg_dicom(jpeg(GREY, progressive=True))), "|"),
    ("pydicom-data, JPEG-LS", "near-lossless JPEG-LS has no damage", copied("JPEGLSNearLossless_08.dcm"), "read"),
    ("pydicom-data, JPEG-LS", "lossless JPEG-LS has no damage", copied("MR_small_jpeg_ls_lossless.dcm"), "read"),
    ("pydicom-data, JPEG-LS", "colour JPEG-LS by line", copied("SC_rgb_jls_lossy_line.dcm"), "read"),
    ("pydicom-data", "segmentation is no frame", copied("liver_1frame.dcm"), "holds no image"),
    ("pydicom-data", "truncated pixels", copied("MR_truncated.dcm"), "damaged pixels"),
    ("pydicom-data", "padding after the pixels", copied("MR_small_padded.dcm"), "read"),
    ("pydicom-data", "32-bit samples", copied("SC_rgb_rle_32bit.dcm"), "read"),
    ("pydicom-data", "odd sizes", copied("SC_rgb_small_odd.dcm"), "read"),
    ("pydicom-data", "colour transform off (APP14)", copied("SC_rgb_jpeg_app14_dcmd.dcm"), "read"),
    ("pydicom-data", "palette, cropped after the calibration", copied("examples_palette.dcm"), "read"),
    ("Pillow #5655, TwelveMonkeys #637", "TIFF, white is zero", tif(data=255 - GREY, photometric="miniswhite"), SAME),
    ("Pillow #5364", "TIFF by planes",
     tif(data=np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"), SAME),
    ("Pillow", "BigTIFF", tif(bigtiff=True), SAME),
    ("tifffile", "big-endian TIFF", tif(byteorder=">"), SAME),
    ("tifffile", "TIFF in tiles", tif(tile=(32, 32)), SAME),
    ("tifffile", "TIFF in strips of 5 rows, deflated, predictor",
     tif(rowsperstrip=5, compression="zlib", predictor=2), SAME),
    ("tifffile", "16-bit TIFF", tif(data=GREY.astype(np.uint16) * 257), "has 16 bits per channel: save"),
    ("tifffile", "float TIFF", tif(data=GREY.astype(np.float32)), "holds floating-point values: save"),
    ("Pillow #1270", "TIFF with JPEG inside, YCbCr", pil(RGB, compression="jpeg", quality=97), SAME),
    ("imageio", "PNG of 16 bits", png16, "has 16 bits per channel: save"),
    ("Pillow", "PNG with a transparent grey level", pil(GREY, transparency=7), SAME),
    ("Pillow", "PNG of 8-bit palette", pil(GREY, "P"), SAME),
    ("Pillow", "PNG with alpha", pil(RGB, "RGBA"), SAME),
    ("libpng", "interlaced PNG", png_interlaced, SAME),
    ("Pillow", "PNG with bytes after its end", png_with_junk, SAME),
    ("Pillow", "PNG with a wrong checksum", png_with_bad_checksum, "damaged"),
    ("Pillow", "BMP from the top down", top_down_bmp, SAME),
    ("Pillow", "BMP of 32 bits", pil(RGB, "RGBA"), SAME),
    ("Pillow", "CMYK JPEG", cmyk, SAME),
    ("Pillow", "progressive JPEG", pil(GREY, quality=97, progressive=True), SAME),
    ("Pillow", "JPEG with restart markers", pil(GREY, quality=97, restart_marker_blocks=3), SAME),
    ("libjpeg", "JPEG cut in the middle", lambda path: path.write_bytes(jpeg(GREY)[:3000]) and None, "damaged"),
]  # fmt: skip
SUFFIX = {"TIFF": ".tif", "BigTIFF": ".tif", "PNG": ".png", "BMP": ".bmp", "JPEG": ".jpg"}


def suffix(title: str, write: Callable[[Path], None]) -> str:
    if "dicom" in write.__qualname__ or "copied" in write.__qualname__:
        return ".dcm"
    return next(s for word, s in SUFFIX.items() if word in title)


def result(path: Path) -> str:
    """Outcome of reading a file, compared with the picture that it should hold."""
    first = next(iter(read(Source(path))))
    if isinstance(first, Failure):
        return first.reason.replace(str(path), path.name)
    if getattr(first, "warnings", ()):
        return f"read, with {first.warnings[0]}"
    if first.pixels.shape != GREY.shape:
        return "read"
    worst = np.abs(first.pixels.astype(int) - GREY).max()
    return SAME if worst <= 8 else f"off by up to {worst} grey levels"


@pytest.mark.filterwarnings("ignore")  # pydicom's, of the values
@pytest.mark.parametrize(("source", "title", "write", "right"), CASES, ids=[f"{c[1]} ({c[0]})" for c in CASES])
def test_reported_files(tmp_path, source, title, write, right):
    path = tmp_path / f"a{suffix(title, write)}"
    write(path)
    found = result(path)
    if right == "|":  # either the right pixels or a refusal
        assert found == SAME or "off by" not in found, source
    else:
        assert (right in found) if right else found == SAME, (source, found)
