"""Image files in and out. Pillow reads, because it refuses a truncated file; OpenCV returns half of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from fetal_jax.errors import UserError
from fetal_jax.files import MARK, open_whole
from fetal_jax.preprocess import EIGHT_BITS, decoded
from fetal_jax.reading import codestream
from fetal_jax.reading.spacing import PixelSize, with_aspect
from fetal_jax.reading.study import Study

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
MAX_PIXELS = 25_000_000
"""Far more than any ultrasound frame has: a header that states more is damage, or meant to fill the memory."""
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange rows and columns."""
_THUMBNAIL, _MASK = 1, 4
"""Bits of TIFF's NewSubfileType for a page that is not a frame."""
_OLD_THUMBNAIL = 2
"""A thumbnail's value in SubfileType, which NewSubfileType replaced."""
_JPEG_IN_TIFF = 7
_SIGNED = 2
"""SampleFormat of TIFF."""
_FEW_LEVELS = 64
"""High bytes of 16 bits that all stay below this use 14 bits or fewer: a frame would have few grey levels left."""
_HOLDS = {"I": "has 32 bits per channel", "F": "holds floating-point values"}
"""Modes of Pillow that are not read, in words."""


@dataclass(frozen=True)
class Page:
    """One decoded picture of a file."""

    pixels: NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB."""
    size: PixelSize
    count: int = 1
    """Number of pictures in the file."""
    warnings: tuple[str, ...] = ()
    """Damage that the decoder ignored, such as bad JPEG data."""
    study: Study | None = None
    """None where the file is not DICOM."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a PNG, JPEG, TIFF or BMP as (H, W) or (H, W, 3) uint8, turned upright by its orientation tag.

    Only the first page is read.

    Raises:
      UserError: the file is missing, damaged, cut short, too large, or holds no 8-bit image.
    """
    return next(read_pages(path, str(path))).pixels


def read_pages(file: Path | BytesIO, name: str) -> Iterator[Page]:
    """Yield each page of a TIFF, each frame of an animated PNG, or the one picture of another file.

    Thumbnails and masks among the pages of a TIFF are skipped. Pages of different sizes have no common spacing.

    Args:
      file: path or bytes.
      name: the file's name in messages.

    Raises:
      UserError: as `read_image`.
    """
    try:
        # as an open file: Pillow memory-maps a named TIFF with the sides of the turned picture, which gives noise
        with file.open("rb") if isinstance(file, Path) else file as data, Image.open(data, formats=FORMATS) as image:
            pages = _frames(image, name)
            sizes = {size for _, size in pages}
            for page, _ in pages:
                if page != image.tell():
                    image.seek(page)
                # Pillow's modes of 16 bits in colour or with alpha are 8-bit ones: only the raw mode of its tiles tells
                deep = ";16" in str(image.tile)
                turned = image.getexif().get(0x0112) in _TURNED  # before it is loaded: a TIFF then loses the tag
                pixels = _checked_pixels(image, name, deep)
                yield Page(pixels, _size(image, sizes, turned), len(pages), _warnings(image, data))
    except FileNotFoundError:
        raise UserError(f"{name} does not exist") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a readable image: give PNG, JPEG, TIFF, BMP or DICOM") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} claims to hold over {MAX_PIXELS / 1e6:.0f} million pixels: copy it again") from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, OverflowError) as e:
        raise UserError(f"{name} is damaged ({' '.join(str(e).split())[:80]}): copy it again") from None


def _frames(image: Image.Image, name: str) -> list[tuple[int, tuple[int, int]]]:
    """(index, size) of each page that is a frame; a thumbnail may come before it."""
    if image.format == "MPO":  # a camera's JPEG: previews follow the picture
        return [(0, image.size)]
    found = []
    for index in range(getattr(image, "n_frames", 1)):
        if index:
            image.seek(index)
        reduced = _THUMBNAIL if _tag(image, 255, 0) == _OLD_THUMBNAIL else 0
        if not int(_tag(image, 254, reduced)) & (_THUMBNAIL | _MASK):
            found.append((index, image.size))
    if not found:
        raise UserError(f"{name} holds a reduced copy or a mask alone (NewSubfileType): save the frame itself")
    image.seek(0)
    return found


def _tag(image: Image.Image, tag: int, default: Any) -> Any:
    return getattr(image, "tag_v2", {}).get(tag, default)


def _checked_pixels(image: Image.Image, name: str, deep: bool) -> NDArray[np.uint8]:
    if image.mode not in EIGHT_BITS:
        holds = "has 16 bits per channel" if image.mode.startswith("I;16") else _HOLDS.get(image.mode)
        raise UserError(f"{name} {holds or f'holds pixels of Pillow mode {image.mode}'}: save it as 8-bit grey or RGB")
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if image.format == "TIFF" and _SIGNED in np.atleast_1d(_tag(image, 339, 1)):  # Pillow takes black for mid-grey
        raise UserError(f"{name} has signed pixels (SampleFormat 2): save it as unsigned 8-bit grey or RGB")
    pixels = decoded(ImageOps.exif_transpose(image))
    if deep and pixels.max() < _FEW_LEVELS:
        raise UserError(f"{name} has 16 bits per channel, but uses fewer: save it as 8-bit grey or RGB")
    return pixels


def _size(image: Image.Image, sizes: set[tuple[int, int]], turned: bool) -> PixelSize:
    """The pixel size as far as an image file states it: the aspect only."""
    if len(sizes) > 1:
        named = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        reason = f"pages of different sizes ({named}) have no common spacing: save each page as a file of its own"
        return PixelSize(reason=reason, final=True)
    aspect, source = _aspect(image, turned)
    return with_aspect(PixelSize(), aspect, source)


def _aspect(image: Image.Image, turned: bool) -> tuple[float | None, str]:
    """Height of a pixel over its width, after the picture is turned upright, and the chunk or tag that states it."""
    info, exif = image.info, image.getexif()
    if image.format == "TIFF":
        density, source = (_tag(image, 282, 0), _tag(image, 283, 0)), "TIFF XResolution and YResolution"
    elif image.format in ("JPEG", "MPO"):
        density, source = info.get("jfif_density", (0, 0)), "JPEG density"
    else:
        density = info.get("aspect") or info.get("dpi") or (0, 0)
        source = "PNG pHYs" if image.format == "PNG" else "BMP resolution"
    for pair, said in ((density, source), ((exif.get(282, 0), exif.get(283, 0)), "EXIF XResolution and YResolution")):
        x, y = (_number(v) for v in pair)
        # equal densities are every writer's default, and do not show that the frame was not squeezed before
        if np.isfinite([x, y]).all() and x > 0 and y > 0 and x != y:
            return (y / x if turned else x / y), said
    return None, ""


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # an element of another type than its tag's
        return 0.0


def _warnings(image: Image.Image, data: Any) -> tuple[str, ...]:
    found = (codestream.damage(stream) for stream in _jpeg_streams(image, data))
    return next(((damage,) for damage in found if damage), ())


def _jpeg_streams(image: Image.Image, data: Any) -> Iterator[bytes]:
    """The JPEG streams of a picture: a TIFF has one per strip or tile, with shared tables."""
    if image.format in ("JPEG", "MPO"):
        data.seek(0)
        yield data.read()
    elif image.format == "TIFF" and _tag(image, 259, 1) == _JPEG_IN_TIFF:
        tables = _tag(image, 347, b"")
        at, lengths = (_tag(image, strip, None) or _tag(image, tile, ()) for strip, tile in ((273, 324), (279, 325)))
        for offset, length in zip(at, lengths, strict=False):
            data.seek(offset)
            stream = data.read(length)
            yield tables[:-2] + stream[2:] if tables else stream  # less the end of one and the beginning of the other


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write (H, W) or (H, W, 3) uint8, RGB, as a PNG with our mark (`files.refuse_other`); atomic."""
    ours = PngInfo()
    ours.add_text("Software", MARK)
    with open_whole(path) as file:
        # compressed in an eighth of the time of level 6, a sixth larger
        Image.fromarray(image).save(file, "PNG", compress_level=2, pnginfo=ours)
