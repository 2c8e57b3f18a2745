"""DICOM -> grey frames and millimetres per pixel. pydicom reads, GDCM decompresses (the `dicom` extra)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.errors import UserError
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.frame import PixelSize
from fetal_jax.reading.images import MAX_PIXELS

Array = NDArray[Any]

CENTIMETRES = 3
_UNITS = {0: "none or not applicable", 1: "percent", 2: "dB", 4: "seconds", 5: "hertz", 6: "dB/s", 7: "cm/s"}
_UNITS |= {8: "cm2", 9: "cm2/s", 10: "cm3", 11: "cm3/s", 12: "degrees"}
_TWO_D, _TISSUE = 1, 1
AGREE = 0.01
"""Relative: two statements of a spacing that differ by more contradict each other."""


class NoImage(UserError):
    """A sound DICOM object that holds no image, such as a report."""


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError:
        raise UserError("reading DICOM needs the dicom extra: pip install '.[dicom]'") from None
    return pydicom


def read_header(file: Path | BytesIO, name: str) -> Any:
    """The data set of a DICOM file without its pixels.

    Raises:
      UserError: it is no DICOM, or pydicom is not installed.
    """
    pydicom = _pydicom()
    try:
        header = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    except Exception as e:  # pydicom raises anything on a mutated file
        raise UserError(f"{name} is damaged DICOM ({_short(e)}): export it again") from None
    if "SOPClassUID" not in header:
        raise UserError(f"{name} is no DICOM object: give PNG, JPEG, TIFF, BMP or DICOM")
    return header


def read_frames(file: Path | BytesIO, name: str) -> Iterator[tuple[Array, PixelSize, int]]:
    """Grey frames (H, W) uint8 one at a time, each with the size of its pixels and how many there are.

    Grey of other than 8 bits goes through the stored window, or the whole range of its bits where there is none;
    MONOCHROME1 is turned over, so that bright is echo; palettes and YBR become RGB, then grey.

    Raises:
      NoImage: the object is no image.
      UserError: damaged, too large, or compressed in a way that is not decoded.
    """
    header = read_header(file, name)
    if "Rows" not in header or "Columns" not in header or "Segmentation" in header.SOPClassUID.name:
        raise NoImage(f"{name} holds no image ({header.SOPClassUID.name})")
    rows, columns = _integer(header, "Rows", name), _integer(header, "Columns", name)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise UserError(f"{name} says that it holds {rows} x {columns} pixels: export it again")
    size = pixel_size(header)
    count = _integer(header, "NumberOfFrames", name) if header.get("NumberOfFrames") else 1
    if isinstance(file, BytesIO):
        file.seek(0)
    frames = _decoded(file, name, header)
    for _ in range(count):
        try:
            pixels = next(frames)
        except StopIteration:
            raise UserError(f"{name} holds fewer frames than the {count} that it says: export it again") from None
        yield _grey(pixels, header, name), size, count


def _decoded(file: Path | BytesIO, name: str, header: Any) -> Iterator[Array]:
    syntax = getattr(header.file_meta, "TransferSyntaxUID", None)
    try:
        if syntax is None:  # an old file without the preamble: little endian, uncompressed
            whole = _pydicom().dcmread(file, force=True)
            whole.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
            file = whole
        yield from _pydicom().pixels.iter_pixels(file)
    except NotImplementedError:
        raise UserError(f"{name} is stored as {_syntax(syntax)}, which is not read: export it as JPEG or RLE") from None
    except Exception as e:  # a decoder raises anything on a mutated file
        said = str(e)
        if "missing dependencies" in said or "no available" in said.lower():
            raise UserError(
                f"{name} is stored as {_syntax(syntax)}, which no installed decoder reads: "
                "pip install '.[dicom]', or export it uncompressed"
            ) from None
        raise UserError(f"{name} has damaged pixels ({_short(e)}): export it again") from None


def _syntax(syntax: Any) -> str:
    return str(getattr(syntax, "name", syntax))


def _grey(pixels: Array, header: Any, name: str) -> Array:
    """Decoded pixels (H, W[, 3]) of any depth -> (H, W) uint8 as a screen shows them."""
    photometric = str(header.get("PhotometricInterpretation", ""))
    try:
        if photometric == "PALETTE COLOR":
            pixels = _pydicom().pixels.apply_color_lut(pixels, header)
            pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        elif photometric.startswith("MONOCHROME") and int(header.BitsStored) != 8:
            pixels = _windowed(pixels, header)
        elif pixels.dtype != np.uint8:
            pixels = (pixels.astype(float) * 255 / (2 ** int(header.BitsStored) - 1)).round().astype(np.uint8)
    except Exception as e:  # tables and windows of a mutated header
        raise UserError(f"{name} has a damaged palette or window ({_short(e)}): export it again") from None
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise UserError(f"{name} holds frames of shape {pixels.shape}: grey or RGB is read")
    return 255 - pixels if photometric == "MONOCHROME1" else to_grey(pixels)


def _windowed(pixels: Array, header: Any) -> Array:
    bits = int(header.BitsStored)
    low = -(2 ** (bits - 1)) if header.get("PixelRepresentation") else 0
    values, high = pixels.astype(float), low + 2**bits - 1
    if "WindowCenter" in header and header.get("WindowWidth"):
        modality = _pydicom().pixels.apply_modality_lut(pixels, header)
        values = _pydicom().pixels.apply_windowing(modality, header).astype(float)
        # the window's two ends, whatever rescale or table came before: what lies far under it, and far over it
        with np.errstate(over="ignore"):
            low, high = _pydicom().pixels.apply_windowing(np.array([-1e30, 1e30]), header)
    return np.clip((values - low) * 255 / (high - low), 0, 255).round().astype(np.uint8)


def _integer(header: Any, key: str, name: str) -> int:
    try:
        return int(header[key].value)
    except (TypeError, ValueError):
        raise UserError(f"{name} has a damaged {key}: export it again") from None


# ----------------------------------------------------------------------------------------------------- spacing


def pixel_size(header: Any) -> PixelSize:
    """Millimetres per pixel of a DICOM header.

    The calibrated 2-D tissue region decides (Sequence of Ultrasound Regions, PS3.3 C.8.5.5); Pixel Spacing where there
    is no such region. Units other than centimetres, regions of different scales, and a Pixel Spacing that says
    otherwise give none, with the reason.
    """
    try:
        return _pixel_size(header)
    except Exception as e:  # an element of another type than its tag's
        return PixelSize(reason=f"the DICOM header's spacing is damaged ({_short(e)})")


def _pixel_size(header: Any) -> PixelSize:
    regions = list(header.get("SequenceOfUltrasoundRegions") or ())
    tissue = [r for r in regions if (r.get("RegionSpatialFormat"), r.get("RegionDataType")) == (_TWO_D, _TISSUE)]
    plain = _plain_spacing(header)
    if not tissue:
        if plain:
            return PixelSize(plain, "dicom")
        kinds = "no 2-D tissue region among its ultrasound regions" if regions else "no ultrasound region"
        return PixelSize(reason=f"the DICOM header has {kinds} and no PixelSpacing")
    spacings = []
    for region in tissue:
        found = _region_spacing(region)
        if isinstance(found, str):
            return PixelSize(reason=found)
        spacings.append(found)
    if any(not agree(spacings[0], s) for s in spacings[1:]):
        told = ", ".join(f"{s[0]:.4f}" for s in spacings)
        return PixelSize(reason=f"the DICOM header has 2-D tissue regions of different scales ({told} mm)")
    if plain and not agree(plain, spacings[0]):
        told = f"{spacings[0][0]:.4f} mm in its ultrasound region, {plain[0]:.4f} mm in PixelSpacing"
        return PixelSize(reason=f"the DICOM header contradicts itself: {told}")
    if len(regions) == 1:
        return PixelSize(spacings[0], "dicom")
    left, top, right, bottom = zip(*map(_box, tissue), strict=True)
    return PixelSize(spacings[0], "dicom", region=(min(left), min(top), max(right), max(bottom)))


def agree(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two spacings (row, column) are the same but for rounding."""
    return all(abs(a / b - 1) <= AGREE for a, b in zip(one, other, strict=True))


def _region_spacing(region: Any) -> tuple[float, float] | str:
    """(row, column) in mm, or why not."""
    spacing = []
    for axis in "YX":
        unit, delta = region.get(f"PhysicalUnits{axis}Direction"), region.get(f"PhysicalDelta{axis}")
        if unit is None:
            return f"PhysicalUnits{axis}Direction of the DICOM header's ultrasound region is missing"
        if unit != CENTIMETRES:
            named = _UNITS.get(unit, "unknown")
            return f"PhysicalUnits{axis}Direction of the DICOM header is {unit} ({named}), not {CENTIMETRES} (cm)"
        if delta is None or not (np.isfinite(delta) and delta != 0):
            return f"PhysicalDelta{axis} of the DICOM header's ultrasound region is {delta}, not a length"
        spacing.append(10 * abs(float(delta)))  # negative where the axis runs the other way
    return spacing[0], spacing[1]


def _plain_spacing(header: Any) -> tuple[float, float] | None:
    values = header.get("PixelSpacing")
    if not values or len(values) != 2:
        return None
    row, column = (float(v) for v in values)
    if not (np.isfinite([row, column]).all() and row > 0 and column > 0):
        return None
    return row, column


def _box(region: Any) -> tuple[float, float, float, float]:
    x0, y0 = region.get("RegionLocationMinX0", 0), region.get("RegionLocationMinY0", 0)
    x1, y1 = region.get("RegionLocationMaxX1", -1), region.get("RegionLocationMaxY1", -1)
    return float(x0), float(y0), float(x1) + 1, float(y1) + 1


def _short(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:80]}"
