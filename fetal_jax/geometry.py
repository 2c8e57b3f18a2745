"""Ellipses, shafts and affine maps: the only place that knows pixel conventions.

Pixel (row i, column j) covers [j, j+1) x [i, i+1), so its centre is (j + 0.5, i + 0.5); x points right, y down.
An affine map is a (2, 3) array `[A | t]` that takes the point p to A p + t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

HALF_PIXEL = 0.5
"""Offset from a pixel's index to its centre. Annotations and array positions are given as indices."""
SHAFT_WIDTHS, LEAST_SHAFT_WIDTH = 12, 3.0
"""Length of a femur of unknown width, in widths, and its least width in pixels."""


# ------------------------------------------------------------------------------------------------- affine maps


def affine(scale: float = 1.0, angle: float = 0.0, shift: ArrayLike = (0.0, 0.0)) -> Array:
    """A similarity as a (2, 3) array: rotate by `angle` (radians, from +x towards +y), scale, then shift."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.column_stack([[[c, -s], [s, c]], np.asarray(shift, float)])


def stretch(x: float, y: float) -> Array:
    """Scale the two axes: the map (u, v) -> (x u, y v), such as from pixels to millimetres."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0]])


def mirror(width: float) -> Array:
    """Left-right flip of a frame `width` pixels wide."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])


def compose(*maps: Array) -> Array:
    """One map equal to the given ones applied from right to left, as in matrix products."""
    total, *rest = maps
    for m in rest:
        shift, total = total[:, 2], total[:, :2] @ m
        total[:, 2] += shift
    return total


def invert(m: Array) -> Array:
    """The map that undoes `m`."""
    return np.linalg.inv(np.vstack([m, [0.0, 0.0, 1.0]]))[:2]


def apply(m: Array, points: ArrayLike) -> Array:
    """Map points of shape (..., 2), each (x, y)."""
    return np.asarray(points) @ m[:, :2].T + m[:, 2]


def pixel_centres(height: int, width: int) -> Array:
    """The centres of all pixels, shape (height, width, 2), each (x, y)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], axis=-1) + HALF_PIXEL


def row_column_mm(spacing_mm: Any) -> tuple[float, float]:
    """Pixel size (row, column) in mm from one number, or from a pair as a tuple, list, array or pydicom's PixelSpacing.

    Raises:
      ValueError: not one or two numbers, or not positive and finite.
    """
    try:
        given = np.asarray(spacing_mm)
        # to NumPy these are numbers too: True would be a millimetre, and what is masked a value
        other = given.dtype.kind in "bcmM" or np.ma.is_masked(spacing_mm)
        values = np.empty(0) if other else np.atleast_1d(given.astype(float))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape not in ((1,), (2,)) or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"spacing_mm is one positive number of mm per pixel or two, (row, column), not {spacing_mm!r}")
    return float(values[0]), float(values[-1])


# ------------------------------------------------------------------------------------------------------ shapes


def perimeter(a: ArrayLike, b: ArrayLike) -> Any:
    """Exact perimeter of an ellipse with semi-axes a >= b: 4 a E(m), m = 1 - (b / a)^2."""
    from scipy.special import ellipe  # here: the reading process starts without SciPy, in half of the time

    a, b = np.asarray(a, float), np.asarray(b, float)
    return 4 * a * ellipe(1 - (b / a) ** 2)


@dataclass(frozen=True)
class Ellipse:
    """Centre (cx, cy), semi-axes a >= b and theta, the long axis' angle from +x towards +y in [-pi/2, pi/2)."""

    cx: float
    cy: float
    a: float
    b: float
    theta: float

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array([self.cx, self.cy, self.a, self.b, self.theta], dtype or float)

    @property
    def axes_matrix(self) -> Array:
        """Matrix (2, 2) that maps the unit circle to the ellipse, both centred at the origin."""
        c, s = np.cos(self.theta), np.sin(self.theta)
        return np.array([[c * self.a, -s * self.b], [s * self.a, c * self.b]])

    @classmethod
    def from_matrix(cls, centre: ArrayLike, matrix: ArrayLike) -> Self:
        """The image of the unit circle under u -> centre + matrix u, in the canonical form above."""
        (cx, cy), (u, (a, b), _) = np.asarray(centre, float), np.linalg.svd(np.asarray(matrix, float))
        return cls(float(cx), float(cy), float(a), float(b), wrap(np.arctan2(u[1, 0], u[0, 0])))

    @classmethod
    def from_numbers(cls, cx: float, cy: float, a: float, b: float, theta: float) -> Self:
        """Build from the numbers of a table: semi-axes in either order, theta (radians) that of `a`.

        Raises:
          ValueError: a semi-axis is not above 0, or theta is over 2 pi: it is in degrees.
        """
        if min(a, b) <= 0:
            raise ValueError(f"the semi-axes are {a:g} and {b:g}; they must be above 0")
        if abs(theta) > 2 * np.pi:
            raise ValueError(f"theta is {theta:g}: give radians, from +x towards +y")
        return cls(cx, cy, max(a, b), min(a, b), wrap(theta if a >= b else theta + np.pi / 2))

    @property
    def perimeter(self) -> float:
        """The exact circumference, in the unit of the axes."""
        return float(perimeter(self.a, self.b))

    def transform(self, m: Array) -> Ellipse:
        """The exact image under any affine map."""
        return Ellipse.from_matrix(apply(m, (self.cx, self.cy)), m[:, :2] @ self.axes_matrix)

    @property
    def ends(self) -> Array:
        """(4, 2): the two ends of the long axis, then those of the short one, each (x, y)."""
        long, short = self.axes_matrix.T
        return np.stack([-long, long, -short, short]) + np.array([self.cx, self.cy])

    def diameters(self, spacing_mm: ArrayLike) -> Array:
        """(4, 2): the ends, in pixels, of the diameters that are longest and shortest in millimetres.

        They are `ends` where pixels are square. `spacing_mm` is the size of a pixel, a number or (row, column).
        """
        row, column = row_column_mm(spacing_mm)
        return apply(stretch(1 / column, 1 / row), self.transform(stretch(column, row)).ends)

    def points(self, n: int) -> Array:
        """(n, 2) points of the outline, evenly spaced in the parameter."""
        t = np.arange(n) * (2 * np.pi / n)
        return np.column_stack([np.cos(t), np.sin(t)]) @ self.axes_matrix.T + (self.cx, self.cy)

    def share_inside(self, box: tuple[float, float, float, float]) -> float:
        """Share of the outline in the box (x0, y0, x1, y1), by points that are even in the parameter."""
        x, y = self.points(256).T
        return float(((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])).mean())

    def contains(self, points: Array) -> Array:
        """Whether each of the points (..., 2) is inside: booleans (...)."""
        local = (points - (self.cx, self.cy)) @ np.linalg.inv(self.axes_matrix).T
        return (local**2).sum(-1) <= 1


@dataclass(frozen=True)
class Shaft:
    """A bone: the calipers' two end points and a width. The rectangle ends exactly at the points."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array([self.x1, self.y1, self.x2, self.y2, self.width], dtype or float)

    @classmethod
    def from_ends(cls, ends: ArrayLike, width: float) -> Self:
        """Build from two points, (2, 2), each (x, y)."""
        (x1, y1), (x2, y2) = np.asarray(ends, float)
        return cls(float(x1), float(y1), float(x2), float(y2), float(width))

    @property
    def ends(self) -> Array:
        """(2, 2): the two end points, each (x, y)."""
        return np.array([[self.x1, self.y1], [self.x2, self.y2]])

    @property
    def length(self) -> float:
        """The chord between the two ends."""
        return float(np.hypot(self.x2 - self.x1, self.y2 - self.y1))

    def transform(self, m: Array) -> Shaft:
        """The image under an affine map; the width is scaled by the root of the determinant."""
        scale = np.sqrt(abs(np.linalg.det(m[:, :2])))
        return Shaft.from_ends(apply(m, self.ends), self.width * scale)

    def is_cut_by(self, box: tuple[float, float, float, float]) -> bool:
        """Whether an end is at the edge of the box (x0, y0, x1, y1), where the bone may continue.

        At the edge: nearer than half the width plus a pixel. There the edge cuts a corner off an oblique bone.
        """
        x, y = self.ends.T
        nearest = min((x - box[0]).min(), (y - box[1]).min(), (box[2] - x).min(), (box[3] - y).min())
        return bool(nearest < self.drawn_width / 2 + 1)

    def corners(self) -> Array:
        """(4, 2): the rectangle's corners, in order around it."""
        along = (self.ends[1] - self.ends[0]) / max(self.length, 1e-12)
        side = np.array([-along[1], along[0]]) * (self.drawn_width / 2)
        return np.array([self.ends[0] + side, self.ends[1] + side, self.ends[1] - side, self.ends[0] - side])

    @property
    def drawn_width(self) -> float:
        """The width, or `default_shaft_width` if it is unknown."""
        return float(default_shaft_width(self.length)) if np.isnan(self.width) else self.width

    def contains(self, points: Array) -> Array:
        """Whether each of the points (..., 2) is inside the rectangle: booleans (...)."""
        along = (self.ends[1] - self.ends[0]) / max(self.length, 1e-12)
        offset = points - self.ends.mean(0)
        inside = np.abs(offset @ along) <= self.length / 2
        return inside & (np.abs(offset @ np.array([-along[1], along[0]])) <= self.drawn_width / 2)


_MAX_DEGREES_OFF_SQUARE = 15
_MAX_APART = 0.10  # of the longer diameter, between the two midpoints


def ellipse_of_diameters(ends: Array) -> Ellipse | None:
    """Ellipse from two diameters; None if they are over 15 degrees from perpendicular, or their middles 10 % apart.

    Centre: the mean of the four ends. Axes: the nearest orthogonal pair of directions, each diameter turned by half
    of their deviation from 90 degrees; the two lengths are kept.

    Args:
      ends: (2, 2, 2): two ends (x, y) in pixels for each diameter.
    """
    first, second = ends[:, 1] - ends[:, 0]
    lengths = np.hypot(*first), np.hypot(*second)
    angles = np.arctan2(first[1], first[0]), np.arctan2(second[1], second[0])
    # in (0, pi), because the ends of a diameter have no order
    between = (angles[1] - angles[0]) % np.pi
    excess = between - np.pi / 2
    apart = np.hypot(*(ends[0].mean(0) - ends[1].mean(0)))
    if abs(excess) > np.radians(_MAX_DEGREES_OFF_SQUARE) or apart > _MAX_APART * max(lengths):
        return None
    direction = angles[0] + excess / 2
    c, s = np.cos(direction), np.sin(direction)
    matrix = np.array([[c * lengths[0], -s * lengths[1]], [s * lengths[0], c * lengths[1]]]) / 2
    return Ellipse.from_matrix(ends.mean((0, 1)), matrix)


def wrap(theta: float) -> float:
    """Bring the angle of an axis into [-pi/2, pi/2)."""
    return float((theta + np.pi / 2) % np.pi - np.pi / 2)


def default_shaft_width(length: ArrayLike) -> Any:
    """Width drawn for a femur given by two points only: 1/12 of the length, at least 3 pixels."""
    return np.maximum(np.asarray(length, float) / SHAFT_WIDTHS, LEAST_SHAFT_WIDTH)


def size(shape: Ellipse | Shaft) -> float:
    """Perimeter of an ellipse, length of a shaft."""
    return shape.perimeter if isinstance(shape, Ellipse) else shape.length


def mask(shape: Ellipse | Shaft, height: int, width: int) -> Array:
    """Mask (height, width) of booleans: pixels whose centre is inside the shape."""
    return shape.contains(pixel_centres(height, width))
