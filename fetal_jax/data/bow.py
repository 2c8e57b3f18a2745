"""The bow of a femur between its ends, seen in the frame: outlines give the two ends alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax.geometry import HALF_PIXEL, Shaft

Array = NDArray[Any]

BOWS = np.linspace(-0.1, 0.1, 41)
"""The bows that are tried, as shares of the length."""
LEAST_LENGTH = 8.0
"""Length in pixels under which a bone is taken as straight: 10 % of it are less than a pixel."""
STRAIGHT = 60.0
"""Grey levels per unit of bow by which a bent line must be brighter than a straight one: 3 for a bow of 5 %."""
ALONG = np.linspace(-0.92, 0.92, 47)
"""Places on the bone, from -1 to 1; its very ends are the same for every bow."""


def bow(image: Array, shaft: Shaft) -> float:
    """Find how a bone bends: of the parabolas through both ends, the brightest.

    Args:
      image: (H, W) uint8.
      shaft: the bone's ends, in the image's pixels.

    Returns:
      The distance of the bone's middle from the middle of the chord, as a share of the chord's length. It is positive
      towards (-dy, dx), where (dx, dy) points from the first end to the second.
    """
    first, second = shaft.ends
    if not shaft.length >= LEAST_LENGTH:
        return 0.0
    half = (second - first) / 2
    side = np.array([-half[1], half[0]])
    away = 2 * BOWS[:, None] * (1 - ALONG**2)
    at = (first + second) / 2 + ALONG[:, None] * half + away[..., None] * side - HALF_PIXEL
    x, y = np.moveaxis(at.astype(np.float32), -1, 0)
    grey = cv2.remap(cv2.GaussianBlur(image, (0, 0), 1.0), x, y, cv2.INTER_LINEAR)
    return float(BOWS[np.argmax(grey.mean(1) - STRAIGHT * np.abs(BOWS))])
