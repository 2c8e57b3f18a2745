"""Probability map -> millimetres and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.biometry import contour
from fetal_jax.biometry.ellipse import fit_ellipse, residuals
from fetal_jax.biometry.shaft import fit_shaft
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import SHAPE_OF_PLANE

Array = NDArray[Any]

FLAGS = {
    "nothing found": "no region of the map is above 0.5, or none that a shape can be fitted to",
    "several structures": "the largest region holds less than 90 % of what is above 0.5; it is the one measured",
    "leaves the frame": "over 5 % of the fitted outline lies outside the frame",
    "poor fit": "the outline is off the fitted ellipse by over 2 % of its mean diameter (root mean square)",
    "implausible shape": "short over long axis under 0.6 (head), under 0.7 (abdomen); a femur under 3 widths long",
    "implausible size": "outside what 12 to 42 weeks can be: HC 50-400, AC 40-450, FL 5-90 mm",
    "no spacing": "pixels have no known size: nothing is given in millimetres",
}
"""Each flag and its meaning. All but `no spacing` and `leaves the frame` say that the figure should not be used."""

_KEEPS_MILLIMETRES = {"leaves the frame"}
_SIZE_MM = {"head": (50.0, 400.0), "abdomen": (40.0, 450.0), "femur": (5.0, 90.0)}
_ROUNDNESS = {"head": 0.6, "abdomen": 0.7}


@dataclass(frozen=True)
class Measurement:
    """What was found in one map. Lengths in mm, None where not measured; geometry in the map's own pixels."""

    plane: str
    ellipse: Ellipse | None = None
    shaft: Shaft | None = None
    hc_mm: float | None = None
    bpd_mm: float | None = None
    ofd_mm: float | None = None
    ac_mm: float | None = None
    fl_mm: float | None = None
    diameters_mm: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the millimetres stand."""
        return all(flag in _KEEPS_MILLIMETRES for flag in self.flags)

    @property
    def primary_mm(self) -> float | None:
        """HC, AC or FL, whichever the plane is measured for."""
        return {"head": self.hc_mm, "abdomen": self.ac_mm, "femur": self.fl_mm}[self.plane]


def measure(
    probability: Array,
    plane: str,
    spacing_mm: float | tuple[float, float] | None,
    frame: tuple[float, float, float, float] | None = None,
) -> Measurement:
    """Measure the structure of one probability map.

    Args:
      probability: (H, W) in [0, 1].
      plane: "head" (HC, BPD outer to outer, OFD), "abdomen" (AC, two diameters) or "femur" (FL).
      spacing_mm: size of this map's pixels, one number or (row, column); None gives geometry without millimetres.
      frame: (x0, y0, x1, y1) of the real frame inside the map, where the map is padded.

    Returns:
      The measurement. Circumferences are the fitted ellipse's exact perimeter, fitted in millimetres.

    Raises:
      ValueError: the map is not 2-D, not numbers or leaves [0, 1]; the plane has no measurement; a spacing is not
        a positive number.
    """
    probability = _checked_map(probability)
    if plane not in SHAPE_OF_PLANE:
        raise ValueError(f"plane {plane!r} is not measured; one of {', '.join(SHAPE_OF_PLANE)} is")
    row_mm, column_mm = _checked_spacing(spacing_mm)
    known = spacing_mm is not None
    missing = () if known else ("no spacing",)

    component, share = contour.largest_component(probability)
    several = () if share >= 0.9 or share == 0 else ("several structures",)
    probability = contour.only(probability, component)

    # shapes are fitted where distances are true: in millimetres where spacing is known, else in pixels
    to_mm = geometry.stretch(column_mm, row_mm)
    if SHAPE_OF_PLANE[plane] == "shaft":
        shaft = fit_shaft(probability) if share else None
        if shaft is None:
            return Measurement(plane, flags=("nothing found", *missing))
        flags = several + _shaft_flags(shaft, shaft.transform(to_mm).length if known else None) + missing
        length = shaft.transform(to_mm).length if known else None
        return Measurement(plane, shaft=shaft, fl_mm=length, flags=flags)

    points = geometry.apply(to_mm, contour.outline(probability, frame))
    fitted = fit_ellipse(points) if share else None
    if fitted is None:
        return Measurement(plane, flags=("nothing found", *missing))
    ellipse = fitted.transform(geometry.invert(to_mm))
    flags = several + _ellipse_flags(plane, fitted, points, known) + _edge_flag(ellipse, probability, frame) + missing
    if not known:
        return Measurement(plane, ellipse=ellipse, flags=flags)
    long, short = 2 * fitted.a, 2 * fitted.b
    if plane == "head":
        values: dict[str, Any] = {"hc_mm": fitted.perimeter, "bpd_mm": short, "ofd_mm": long}
    else:
        values = {"ac_mm": fitted.perimeter}
    return Measurement(plane, ellipse=ellipse, diameters_mm=(long, short), flags=flags, **values)


def _checked_map(probability: Array) -> Array:
    array = np.asarray(probability)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise ValueError(f"a map is a 2-D array of numbers, not {array.dtype} {array.shape}")
    array = array.astype(np.float32)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError("a map's values are probabilities in [0, 1], without NaN")
    if min(array.shape) < 2:
        return np.zeros((2, 2), np.float32)
    return array


def _checked_spacing(spacing_mm: float | tuple[float, float] | None) -> tuple[float, float]:
    if spacing_mm is None:
        return 1.0, 1.0
    pair = np.broadcast_to(np.asarray(spacing_mm, float), (2,))
    if not (np.isfinite(pair).all() and (pair > 0).all()):
        raise ValueError(f"a spacing is a positive number of mm, not {spacing_mm}")
    return float(pair[0]), float(pair[1])


def _size_flag(plane: str, value_mm: float | None) -> tuple[str, ...]:
    low, high = _SIZE_MM[plane]
    return () if value_mm is None or low <= value_mm <= high else ("implausible size",)


def _ellipse_flags(plane: str, fitted: Ellipse, points: Array, known: bool) -> tuple[str, ...]:
    off = float(np.sqrt(np.mean(residuals(fitted, points) ** 2)))
    poor = ("poor fit",) if off > 0.02 * (fitted.a + fitted.b) else ()
    shape = ("implausible shape",) if fitted.b < _ROUNDNESS[plane] * fitted.a else ()
    return poor + shape + _size_flag(plane, fitted.perimeter if known else None)


def _edge_flag(ellipse: Ellipse, probability: Array, frame: tuple[float, ...] | None) -> tuple[str, ...]:
    height, width = probability.shape
    x0, y0, x1, y1 = frame or (0, 0, width, height)
    x, y = ellipse.points(256).T
    outside = (x < x0) | (x > x1) | (y < y0) | (y > y1)
    return ("leaves the frame",) if outside.mean() > 0.05 else ()


def _shaft_flags(shaft: Shaft, length_mm: float | None) -> tuple[str, ...]:
    shape = ("implausible shape",) if shaft.length < 3 * shaft.width else ()
    return shape + _size_flag("femur", length_mm)
