"""Probability map -> millimetres and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.biometry import contour
from fetal_jax.biometry.contour import Region
from fetal_jax.biometry.ellipse import fit_ellipse, residuals
from fetal_jax.biometry.shaft import fit_shaft
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE, SIZE_LIMITS_MM

Array = NDArray[Any]
Box = tuple[float, float, float, float]

FLAGS = {
    "nothing found": "no region of the map is above 0.5, or none that a shape can be fitted to",
    "several structures": "the largest region holds less than 90 % of what is above 0.5; it is the one measured",
    "leaves the frame": "over 5 % of the fitted outline lies outside the frame",
    "little is seen": "over 40 % of the fitted outline lies outside the frame",
    "cut off": "an end of the femur lies at the frame's edge, where the bone may continue",
    "poor fit": "the outline is off the fitted ellipse by over 2 % of its mean diameter (root mean square)",
    "ragged outline": "the region is not the fitted shape: over 10 % of it is holes, or the areas differ by over 15 %",
    "low confidence": "the map takes over 6 % of the mean diameter to go from 0 to 1 (femur: of its length; 3 pixels)",
    "implausible shape": "short over long axis under 0.6 (head), under 0.7 (abdomen); a femur not 3 to 30 widths long",
    "implausible size": "outside the sizes of 12 to 42 weeks: HC 50-400, AC 40-450, FL 5-90 mm",
    "no spacing": "the size of a pixel is unknown: there are no millimetres",
}
"""Each flag, its meaning and threshold (`docs/flags.md`). All but `leaves the frame` mean: do not use the value."""

_KEEPS_MILLIMETRES = {"leaves the frame"}
_ROUNDNESS = {"head": 0.6, "abdomen": 0.7}
FEMUR_WIDTHS = (3, 30)
"""Least and largest plausible length of a femur, in widths."""
LEAST_SEEN = 0.6
"""Share of an ellipse's outline in the frame; with less of it, little is seen."""
_SHIFT = 0.2
"""Standard deviation of the outline's position, as a whole, in units of the map's transition width: the median over
HC18's validation frames of the value that explains their errors."""


@dataclass(frozen=True)
class Measurement:
    """Measurement of one map. Lengths in mm, None if not measured; geometry in the map's own pixels."""

    plane: str
    ellipse: Ellipse | None = None
    shaft: Shaft | None = None
    hc_mm: float | None = None
    bpd_mm: float | None = None
    ofd_mm: float | None = None
    ac_mm: float | None = None
    fl_mm: float | None = None
    diameters_mm: tuple[float, float] | None = None
    sd_mm: float | None = None  # of HC, AC or FL, estimated from how sharp the map is
    seen: float | None = None  # share of the fitted outline inside the frame
    flags: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """True if no flag forbids the use of the millimetres."""
        return all(flag in _KEEPS_MILLIMETRES for flag in self.flags)

    @property
    def primary_mm(self) -> float | None:
        """HC, AC or FL: the main value of the plane."""
        value: float | None = getattr(self, PRIMARY[self.plane])
        return value


def measure(
    probability: Array,
    plane: str,
    spacing_mm: float | tuple[float, float] | None,
    frame: Box | None = None,
) -> Measurement:
    """Measure the structure of one probability map.

    Args:
      probability: (H, W) in [0, 1]; a mask of booleans or of 0 and 1 works, too.
      plane: "head" (HC, BPD outer to outer, OFD), "abdomen" (AC, two diameters) or "femur" (FL).
      spacing_mm: size of this map's pixels, one number or (row, column); None gives geometry without millimetres.
      frame: (x0, y0, x1, y1) of the real frame inside a padded map, in the map's pixels; None: the whole map.

    Returns:
      The measurement. Circumferences are the fitted ellipse's exact perimeter, fitted in millimetres; the length of a
      bowed femur is the chord between its ends.

    Raises:
      ValueError: the map is not 2-D, not numeric or not within [0, 1]; the plane is not measured; a spacing is not
        a positive number; the frame is not a box.
    """
    probability = _checked_map(probability)
    if plane not in SHAPE_OF_PLANE:
        raise ValueError(f"plane {plane!r} is not measured: give one of {', '.join(SHAPE_OF_PLANE)}")
    known = spacing_mm is not None
    row_mm, column_mm = geometry.row_column_mm(spacing_mm) if known else (1.0, 1.0)
    missing = () if known else ("no spacing",)
    box = _checked_box(frame, probability.shape)
    region = contour.largest_region(probability)
    if region is None:
        return Measurement(plane, flags=("nothing found", *missing))
    several = () if region.share >= 0.9 else ("several structures",)
    # shapes are fitted in millimetres if the spacing is known, else in pixels: distances must be true
    to_mm = geometry.stretch(column_mm, row_mm)
    if SHAPE_OF_PLANE[plane] == "shaft":
        found = _measure_shaft(region, to_mm, known, box)
    else:
        found = _measure_ellipse(region, plane, to_mm, known, box)
    flags = several + found.pop("flags", ("nothing found",)) + missing
    return Measurement(plane, flags=flags, **found)


def _measure_ellipse(region: Region, plane: str, to_mm: Array, known: bool, box: Box) -> dict[str, Any]:
    outline = contour.within(contour.outline(region), box)
    points = geometry.apply(to_mm, outline)
    fitted = fit_ellipse(points)
    if fitted is None:
        return {}
    ellipse = contour.unblurred(fitted.transform(geometry.invert(to_mm)))
    in_mm = ellipse.transform(to_mm)
    seen = ellipse.share_inside(box)
    width = contour.transition_width(region, outline) * float(np.sqrt(to_mm[0, 0] * to_mm[1, 1]))
    flags = _edge_flags(seen) + _fit_flags(fitted, points) + _region_flags(region, ellipse, seen)
    flags += ("low confidence",) if width > 0.06 * (fitted.a + fitted.b) else ()
    flags += ("implausible shape",) if in_mm.b < _ROUNDNESS[plane] * in_mm.a else ()
    if not known:
        return {"ellipse": ellipse, "seen": seen, "flags": flags}
    long, short = 2 * in_mm.a, 2 * in_mm.b
    values = (
        {"hc_mm": in_mm.perimeter, "bpd_mm": short, "ofd_mm": long} if plane == "head" else {"ac_mm": in_mm.perimeter}
    )
    return values | {
        "ellipse": ellipse,
        "diameters_mm": (long, short),
        "seen": seen,
        "sd_mm": 2 * np.pi * _SHIFT * width,  # an outline moved outwards by d is 2 pi d longer, whatever its shape
        "flags": flags + _size_flag(plane, in_mm.perimeter),
    }


def _measure_shaft(region: Region, to_mm: Array, known: bool, box: Box) -> dict[str, Any]:
    found = fit_shaft(region.map)
    if found is None:
        return {}
    shaft = found.shaft.transform(geometry.affine(shift=region.origin))
    in_mm = shaft.transform(to_mm)
    flags: tuple[str, ...] = ("cut off",) if shaft.is_cut_by(box) else ()
    flags += () if FEMUR_WIDTHS[0] <= shaft.length / shaft.width <= FEMUR_WIDTHS[1] else ("implausible shape",)
    flags += ("ragged outline",) if region.solid < 0.9 else ()
    flags += ("low confidence",) if found.end_width > max(0.06 * shaft.length, 3.0) else ()
    if not known:
        return {"shaft": shaft, "flags": flags}
    per_pixel = in_mm.length / shaft.length
    return {
        "shaft": shaft,
        "fl_mm": in_mm.length,
        "sd_mm": float(np.sqrt(2) * _SHIFT * found.end_width * per_pixel),  # two independent ends
        "flags": flags + _size_flag("femur", in_mm.length),
    }


def _checked_map(probability: Array) -> Array:
    array = np.asarray(probability)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise ValueError(f"a map is a 2-D array of numbers, not {array.dtype} {array.shape}")
    if np.ma.is_masked(probability):  # the values under the mask would be measured
        raise ValueError("a map has no masked values: give map.filled(0)")
    array = array.astype(np.float32)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        mask = "of a mask of 0 and 255 give mask > 0"
        raise ValueError(f"a map's values are probabilities in [0, 1], without NaN: {mask}")
    if min(array.shape) < 2:
        return np.zeros((2, 2), np.float32)
    return array


def _checked_box(frame: Box | None, shape: tuple[int, ...]) -> Box:
    if frame is None:
        return 0.0, 0.0, float(shape[1]), float(shape[0])
    try:
        x0, y0, x1, y1 = map(float, frame)
    except (TypeError, ValueError):
        x0 = y0 = x1 = y1 = np.nan
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"frame is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, in the map's pixels, not {frame!r}")
    return x0, y0, x1, y1


def _edge_flags(seen: float) -> tuple[str, ...]:
    return ("little is seen",) if seen < LEAST_SEEN else ("leaves the frame",) if seen < 0.95 else ()


def _fit_flags(fitted: Ellipse, points: Array) -> tuple[str, ...]:
    off = float(np.sqrt(np.mean(residuals(fitted, points) ** 2)))
    # 1.5 % flagged 11 of HC18's 40 training and validation heads under 100 mm, none of them wrong by over 5 %
    return ("poor fit",) if off > 0.02 * (fitted.a + fitted.b) else ()


def _region_flags(region: Region, ellipse: Ellipse, seen: float) -> tuple[str, ...]:
    """Compare the areas of region and ellipse. If the ellipse leaves the frame, only holes are judged."""
    area = float((region.map > contour.LEVEL).sum()) / (np.pi * ellipse.a * ellipse.b)
    return ("ragged outline",) if region.solid < 0.9 or (seen >= 0.95 and abs(area - 1) > 0.15) else ()


def _size_flag(plane: str, value_mm: float) -> tuple[str, ...]:
    low, high = SIZE_LIMITS_MM[plane]
    return () if low <= value_mm <= high else ("implausible size",)
