"""Image files in and out. Pillow reads, because it refuses a truncated file; OpenCV returns half of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fetal_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_image(path: Path) -> NDArray[np.uint8]:
    """A PNG or JPEG as (H, W) or (H, W, 3) uint8.

    Raises:
      UserError: the file is missing, damaged, cut short, or holds no 8-bit image.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
                raise UserError(
                    f"{path} holds a {image.mode} image, not 8 bits a channel: save it as 8-bit grey or RGB"
                )
            grey = image.mode in ("1", "L", "LA")
            return np.asarray(image.convert("L" if grey else "RGB"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is no image that can be read: give PNG or JPEG") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as e:
        raise UserError(f"{path} is damaged ({' '.join(str(e).split())[:80]}): copy it again") from None


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write (H, W) or (H, W, 3) uint8, RGB."""
    Image.fromarray(image).save(path)
