"""Image files in and out. Pillow reads, because it refuses a truncated file; OpenCV returns half of it."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fetal_jax.errors import UserError
from fetal_jax.files import open_whole

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 25_000_000
"""No ultrasound frame is near it: a header that promises more is damage, or meant to fill the memory."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """A PNG, JPEG, TIFF or BMP as (H, W) or (H, W, 3) uint8; of several pages, the first.

    Raises:
      UserError: the file is missing, damaged, cut short, too large, or holds no 8-bit image.
    """
    return next(read_pages(path, str(path)))[0]


def read_pages(file: Path | BytesIO, name: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Each page of a TIFF, or the one image of another file, as `read_image` gives it, and how many there are.

    `name` stands in messages.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            for page in range(pages):
                if pages > 1:
                    image.seek(page)
                yield _checked_pixels(image, name), pages
    except FileNotFoundError:
        raise UserError(f"{name} does not exist") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is no image that can be read: give PNG, JPEG, TIFF, BMP or DICOM") from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{name} says that it holds over {MAX_PIXELS / 1e6:.0f} million pixels: copy it again"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, OverflowError) as e:
        raise UserError(f"{name} is damaged ({' '.join(str(e).split())[:80]}): copy it again") from None


def _checked_pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise UserError(f"{name} holds a {image.mode} image, not 8 bits a channel: save it as 8-bit grey or RGB")
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write (H, W) or (H, W, 3) uint8, RGB."""
    with open_whole(path) as file:
        Image.fromarray(image).save(file, "PNG", compress_level=2)  # an eighth of the time of 6, a sixth larger
