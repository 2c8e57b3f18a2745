"""DICOM -> grey frames and millimetres per pixel. pydicom reads, GDCM decompresses (the `dicom` extra)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.errors import UserError, amount
from fetal_jax.preprocess import to_grey
from fetal_jax.reading import codestream, spacing, study
from fetal_jax.reading.images import MAX_PIXELS, Page

Array = NDArray[Any]


MODALITIES = ("US", "OT", "SC")
"""Modality of what is measured: ultrasound, and captures that do not say what they are of. So is an object without."""


class NoImage(UserError):
    """A sound DICOM object that holds no ultrasound image, such as a report or a CT slice."""


def _pydicom(name: str = "") -> Any:
    """The package; `name` is that of the file in the message where it is missing."""
    try:
        import pydicom
        import pydicom.encaps
        import pydicom.pixels
    except ImportError:
        before = f"{name}: " if name else ""
        raise UserError(f"{before}reading DICOM needs the dicom extra: pip install '.[dicom]'") from None
    return pydicom


def read_header(file: Path | BytesIO, name: str) -> Any:
    """Read the data set of a DICOM file without its pixels.

    Raises:
      UserError: the file is not DICOM, or pydicom is not installed.
    """
    pydicom = _pydicom(name)
    try:
        header = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    except Exception as e:  # pydicom raises anything on a mutated file
        raise UserError(f"{name} is damaged DICOM ({_short(e)}): export it again") from None
    if "SOPClassUID" not in header:
        raise UserError(f"{name} is not a DICOM object: give PNG, JPEG, TIFF, BMP or DICOM")
    return header


def read_frames(file: Path | BytesIO, name: str) -> Iterator[Page]:
    """Yield grey frames (H, W) uint8 one at a time, each with its pixel size and the number of frames.

    Grey of other than 8 unsigned bits goes through the stored window, or the range of the bits in use if there is none;
    MONOCHROME1 is inverted, so that echoes are bright; palettes and YBR become RGB, then grey.

    Raises:
      NoImage: the object is no image, or of another modality than `MODALITIES`.
      UserError: damaged, too large, compressed in a way that is not decoded, or a header that does not fit its pixels.
    """
    header = read_header(file, name)
    if "Rows" not in header or "Columns" not in header or "Segmentation" in header.SOPClassUID.name:
        raise NoImage(f"{name} holds no image ({header.SOPClassUID.name})")
    modality = str(header.get("Modality") or "").strip()
    if modality and modality not in MODALITIES:
        taken = f"{', '.join(MODALITIES)} or none"
        raise NoImage(f"{name}: Modality {modality[:16]} is not ultrasound: only Modality {taken} is measured")
    rows, columns = _integer(header, "Rows", name), _integer(header, "Columns", name)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise UserError(f"{name} claims to hold {rows} x {columns} pixels: export it again")
    size, of_study = spacing.of_dicom(header), study.of_dicom(header)
    count = _integer(header, "NumberOfFrames", name) if header.get("NumberOfFrames") else 1
    if count < 1:
        raise UserError(f"{name} says {count} in NumberOfFrames: export it again")
    if isinstance(file, BytesIO):
        file.seek(0)
    frames = _decoded(file, name, header, count)
    for _ in range(count):
        try:
            pixels, warning = next(frames)
        except StopIteration:
            raise UserError(f"{name} holds fewer frames than the {count} that it says: export it again") from None
        yield Page(_grey(pixels, header, name), size, count, warning, of_study)


def _decoded(file: Path | BytesIO, name: str, header: Any, count: int) -> Iterator[tuple[Array, tuple[str, ...]]]:
    """Decode each frame: its pixels, and warnings of damage that the decoder ignored."""
    pydicom = _pydicom()
    syntax = getattr(header.file_meta, "TransferSyntaxUID", None)
    try:
        _refuse_high_bits(header, name)
        if syntax is not None and not (syntax.is_encapsulated or syntax.is_deflated):
            held = _native_frames(file, header)
            _refuse_more(held, count, name)
            if held == count and str(header.PhotometricInterpretation) == "YBR_FULL_422":  # which takes two thirds
                says = "three bytes per pixel under PhotometricInterpretation YBR_FULL_422, which has two"
                raise UserError(f"{name} holds {says}: export it as RGB")
            yield from _uncompressed(file, header, count)
            return
        whole = pydicom.dcmread(file, force=True)
        if syntax is None:  # an old file without the preamble: little endian, uncompressed
            whole.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
        if syntax is None or not syntax.is_encapsulated:  # pydicom seeks in a deflated file as if it were not
            _refuse_more(_whole_frames(len(whole.PixelData), header), count, name)
            yield from _uncompressed(whole, header, count)
            return
        yield from _decompressed(whole, name, count)
    except UserError:
        raise
    except NotImplementedError:
        raise UserError(f"{name} is stored as {_syntax(syntax)}, which is not read: export it as JPEG or RLE") from None
    except Exception as e:  # a decoder raises anything on a mutated file
        said = str(e)
        if isinstance(e, AttributeError) and "pixeldata" in said.lower().replace(" ", ""):
            raise UserError(f"{name} has no picture (no PixelData): export it with its pixels") from None
        if "does not support" in said:  # 12 bits of JPEG Extended
            kind = f"{_syntax(syntax)} of a kind that no decoder here reads"
            raise UserError(f"{name} is stored as {kind}: export it uncompressed, or as 8-bit JPEG") from None
        if "missing dependencies" in said or "no available" in said.lower():
            raise UserError(
                f"{name} is stored as {_syntax(syntax)}, which no installed decoder reads: "
                "pip install '.[dicom]', or export it uncompressed"
            ) from None
        raise UserError(f"{name} has damaged pixels ({_short(e)}): export it again") from None


def _decompressed(whole: Any, name: str, count: int) -> Iterator[tuple[Array, tuple[str, ...]]]:
    """The frames of a compressed data set, each compared with its header and decoded by itself."""
    pydicom = _pydicom()
    data, rle = whole.PixelData, whole.file_meta.TransferSyntaxUID.name.startswith("RLE")
    fragments = pydicom.encaps.generate_fragments(data)
    next(fragments, None)  # the offset table
    _refuse_more(sum(rle or codestream.begins(f) for f in fragments), count, name)
    for key in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if key in whole:
            del whole[key]
    for coded in pydicom.encaps.generate_frames(data, number_of_frames=count):
        stream = None if rle else codestream.header(coded)
        says = (int(whole.Rows), int(whole.Columns), int(whole.SamplesPerPixel))
        if stream and (stream.rows, stream.columns, stream.components) != says:
            holds = f"{stream.columns}x{stream.rows} of {stream.components} channel(s)"
            header = f"{says[1]}x{says[0]} of {says[2]} (Rows, Columns, SamplesPerPixel)"
            raise UserError(f"{name} holds a picture of {holds} under a header of {header}: export it again")
        if stream and stream.bits > int(whole.BitsAllocated):
            raise UserError(
                f"{name} holds {stream.bits} bits, BitsAllocated says {whole.BitsAllocated}: export it again"
            )
        whole.PixelData, whole.NumberOfFrames = pydicom.encaps.encapsulate([coded]), 1
        damage = codestream.damage(coded)
        yield pydicom.pixels.pixel_array(whole), (damage,) if damage else ()


def _uncompressed(file: Any, header: Any, count: int) -> Iterator[tuple[Array, tuple[str, ...]]]:
    """Decode the frames of an uncompressed file or data set."""
    iterate = _pydicom().pixels.iter_pixels
    if str(header.PhotometricInterpretation) == "YBR_FULL_422":
        # one by one: pydicom would look for those after the first as if they had three bytes per pixel
        frames = (pixels for index in range(count) for pixels in iterate(file, indices=[index]))
    else:
        frames = iterate(file)
    for pixels in frames:
        yield pixels, ()


def _native_frames(file: Path | BytesIO, header: Any) -> int:
    """Number of whole frames in uncompressed pixel data, by their length; 0 if that is not stated."""
    element = _pydicom().dcmread(file, force=True, defer_size=1024).get_item("PixelData", keep_deferred=True)
    if isinstance(file, BytesIO):
        file.seek(0)
    length = getattr(element, "length", None)
    return _whole_frames(length, header) if length and length != 0xFFFFFFFF else 0


def _whole_frames(length: int, header: Any) -> int:
    """Number of whole frames in `length` bytes of uncompressed pixels."""
    bits = int(header.Rows) * int(header.Columns) * int(header.SamplesPerPixel) * int(header.BitsAllocated)
    return 8 * length // bits if bits else 0


def _refuse_more(held: int, count: int, name: str) -> None:
    if held > count:
        says = f"{amount(held, 'frame')}, and NumberOfFrames of its header says {count}"
        raise UserError(f"{name} holds {says}: export it again")


def _refuse_high_bits(header: Any, name: str) -> None:
    """Refuse samples whose bits in use are not the lowest: pydicom takes those, and would give noise."""
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    if stored < allocated and (high := int(header.get("HighBit", stored - 1))) != stored - 1:
        says = f"HighBit {high} beside BitsStored {stored}, where only {stored - 1} is valid"
        raise UserError(f"{name} says {says}: the bits in use are not certain; export it with 8 bits, or as PNG")


def _syntax(syntax: Any) -> str:
    return str(getattr(syntax, "name", syntax))


def _grey(pixels: Array, header: Any, name: str) -> Array:
    """Decoded pixels (H, W[, 3]) of any depth -> (H, W) uint8 as a screen shows them."""
    photometric = str(header.get("PhotometricInterpretation", ""))
    try:
        if photometric == "PALETTE COLOR":
            pixels = _pydicom().pixels.apply_color_lut(pixels, header)
            if pixels.dtype != np.uint8:  # some writers put 8-bit values into 16-bit entries
                pixels = (pixels >> (8 if pixels.max(initial=0) > 255 else 0)).astype(np.uint8)
        elif photometric.startswith("MONOCHROME") and (int(header.BitsStored) != 8 or pixels.dtype != np.uint8):
            pixels = _windowed(pixels, header)
        elif pixels.dtype != np.uint8:
            pixels = (pixels.astype(float) * 255 / (2 ** int(header.BitsStored) - 1)).round().astype(np.uint8)
    except Exception as e:  # tables and windows of a mutated header
        raise UserError(f"{name} has a damaged palette or window ({_short(e)}): export it again") from None
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise UserError(f"{name} holds frames of shape {pixels.shape}: grey or RGB is read")
    return 255 - pixels if photometric == "MONOCHROME1" else to_grey(pixels)


def _windowed(pixels: Array, header: Any) -> Array:
    low, high = _bits_in_use(pixels, int(header.BitsStored))
    values = pixels.astype(float)
    if "WindowCenter" in header and header.get("WindowWidth"):
        modality = _pydicom().pixels.apply_modality_lut(pixels, header)
        values = _pydicom().pixels.apply_windowing(modality, header).astype(float)
        # the window's two ends, whatever rescale or table came before: values far below and far above it
        with np.errstate(over="ignore"):
            low, high = _pydicom().pixels.apply_windowing(np.array([-1e30, 1e30]), header)
    return np.clip((values - low) * 255 / (high - low), 0, 255).round().astype(np.uint8)


def _bits_in_use(pixels: Array, stored: int) -> tuple[int, int]:
    """The range from black to white: that of the fewest usual bits (8, 10, 12, 14, 16, ...) that hold the values.

    Eight bits of echo in a sample of sixteen would otherwise come out black.
    """
    least, most = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    used = max(most.bit_length(), (-least - 1).bit_length()) + 1 if least < 0 else most.bit_length()
    bits = min(max(8, used + used % 2), stored) if stored > 8 else stored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if least < 0 else (0, 2**bits - 1)


def _integer(header: Any, key: str, name: str) -> int:
    try:
        return int(header[key].value)
    except (TypeError, ValueError):
        raise UserError(f"{name} has a damaged {key}: export it again") from None


def _short(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:80]}"
