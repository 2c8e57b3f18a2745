"""Probability map -> the one structure in it -> its sub-pixel outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fetal_jax.geometry import HALF_PIXEL

Array = NDArray[Any]
LEVEL = 0.5  # of a coverage map the iso-contour is the outline itself: 0.008 mm of HC at 256 px
BORDER = 3  # pixels kept around a region: its soft edge


@dataclass(frozen=True)
class Region:
    """The biggest connected region above 0.5, cut out of its map."""

    map: Array  # (h, w) the map around the region, other regions zero, holes filled with one
    origin: tuple[int, int]  # (x, y) of its upper left pixel in the whole map
    share: float  # of everything above 0.5 in the whole map
    solid: float  # 1 less the share of holes in it


def largest_region(probability: Array) -> Region | None:
    """The biggest connected region above 0.5 of a map (H, W), or None where nothing is."""
    above = probability > LEVEL
    labels, count = ndimage.label(above)
    if count == 0:
        return None
    if count == 1:
        biggest, share = 1, 1.0
    else:
        sizes = np.bincount(labels.ravel())[1:]
        biggest, share = 1 + int(sizes.argmax()), float(sizes.max() / sizes.sum())
    y, x = ndimage.find_objects(labels, biggest)[biggest - 1]
    top, left = max(y.start - BORDER, 0), max(x.start - BORDER, 0)
    window = (slice(top, y.stop + BORDER), slice(left, x.stop + BORDER))
    region = labels[window] == biggest
    filled = ndimage.binary_fill_holes(region)
    cut = np.where(filled & ~region, 1.0, probability[window])
    if count > 1:  # a neighbour's pixels, and what is soft around them, are not this one's
        others = ndimage.binary_dilation((labels[window] > 0) & ~filled)
        cut[others & ~filled] = 0
    return Region(cut, (left, top), share, float(region.sum() / filled.sum()))


def outline(region: Region) -> Array:
    """Points (N, 2) of the 0.5 iso-contour in the whole map's pixels, in no order.

    They are where the map, linear between neighbouring pixels' centres, passes 0.5: marching squares' own points.
    """
    p = region.map
    above = p > LEVEL
    i, j = np.nonzero(above[:, 1:] != above[:, :-1])
    across = np.stack([j + (LEVEL - p[i, j]) / (p[i, j + 1] - p[i, j]), i], axis=1)
    i, j = np.nonzero(above[1:] != above[:-1])
    down = np.stack([j, i + (LEVEL - p[i, j]) / (p[i + 1, j] - p[i, j])], axis=1)
    return np.concatenate([across, down]) + np.array(region.origin) + HALF_PIXEL


def within(points: Array, box: tuple[float, float, float, float]) -> Array:
    """Those of (N, 2) points over a pixel inside a box (x0, y0, x1, y1): at its edge the outline is the box's own."""
    x, y = points.T
    return points[(x > box[0] + 1) & (x < box[2] - 1) & (y > box[1] + 1) & (y < box[3] - 1)]


def transition_width(region: Region, points: Array) -> float:
    """Mean width in pixels of the step from 0 to 1 across the outline: one over the map's slope at its points.

    A coverage map's is about 1; a network's grows with its doubt about where the outline is.
    """
    dy, dx = np.gradient(region.map, axis=0), np.gradient(region.map, axis=1)
    x, y = np.floor(points - region.origin).astype(int).T
    slope = np.hypot(dx[y, x], dy[y, x])
    return float(np.mean(1 / np.maximum(slope, 0.02)))
