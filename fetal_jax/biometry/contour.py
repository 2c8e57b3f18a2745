"""Probability map -> the structure's sub-pixel outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from fetal_jax.geometry import HALF_PIXEL

Array = NDArray[Any]
LEVEL = 0.5  # of a coverage map the iso-contour is the outline itself: 0.008 mm of HC at 256 px


def largest_component(probability: Array) -> tuple[Array, float]:
    """The biggest connected region above 0.5 as (H, W) booleans, and its share of everything above 0.5."""
    labels, count = ndimage.label(probability > LEVEL)
    if count == 0:
        return np.zeros(probability.shape, bool), 0.0
    sizes = np.bincount(labels.ravel())[1:]
    return labels == 1 + int(sizes.argmax()), float(sizes.max() / sizes.sum())


def only(probability: Array, component: Array) -> Array:
    """The map with all but one region, and its soft border, set to zero."""
    return np.where(ndimage.binary_dilation(component, iterations=2), probability, 0.0)


def outline(probability: Array, frame: tuple[float, float, float, float] | None) -> Array:
    """Points (N, 2) of the 0.5 iso-contour's longest piece, in the map's pixels.

    Points at the edge of the map, or of the `frame` (x0, y0, x1, y1) inside it, are not the structure's: left out.
    """
    pieces = find_contours(probability, LEVEL)
    if not pieces:
        return np.zeros((0, 2))
    points = max(pieces, key=len)[:, ::-1] + HALF_PIXEL
    height, width = probability.shape
    x0, y0, x1, y1 = frame or (0, 0, width, height)
    x0, y0, x1, y1 = max(x0, 0) + 1, max(y0, 0) + 1, min(x1, width) - 1, min(y1, height) - 1
    inside = (points[:, 0] > x0) & (points[:, 0] < x1) & (points[:, 1] > y0) & (points[:, 1] < y1)
    return points[inside]
