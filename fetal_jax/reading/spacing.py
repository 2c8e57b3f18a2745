"""Millimetres per pixel, and the part of the frame where they hold: the only place that decides both.

Evidence is the calibrated ultrasound regions of a DICOM header, its Pixel Spacing, the pixels' aspect ratio (DICOM,
PNG, JPEG, TIFF, BMP), the burned-in depth ruler, and the caller's number or table. Where two of them contradict each
other there is no spacing, and the reason names both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fetal_jax.geometry import Ellipse, Shaft

Spacing = tuple[float, float]
"""Millimetres per pixel: (down the rows, along the columns)."""
Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in the frame's pixels."""

CENTIMETRES = 3
_UNITS = {0: "none or not applicable", 1: "percent", 2: "dB", 4: "seconds", 5: "hertz", 6: "dB/s", 7: "cm/s"}
_UNITS |= {8: "cm2", 9: "cm2/s", 10: "cm3", 11: "cm3/s", 12: "degrees"}
_TWO_D, _TISSUE = 1, 1
AGREE = 0.01
"""Relative: two statements of a spacing that differ by more contradict each other."""
SLACK = 1.0
"""Pixels by which an outline may leave its region: boxes are whole pixels, and some headers count one too many."""
RULER_ROWS_ONLY, RULER_COLUMNS_ONLY = "column spacing assumed", "row spacing assumed"
"""Flags of a spacing whose ruler runs down the rows alone, or along the columns alone, in a file that says nothing of
its pixels' aspect."""
GIVE = "give --spacing-mm or --spacing-csv"
ASK = "measure with --spacing-mm, --spacing-csv or --spacing=ruler for millimetres"
OWN_PAIR = "give --spacing-csv with the columns filename, spacing_mm (rows) and column_spacing_mm"


@dataclass(frozen=True)
class Region:
    """A part of the frame that has a scale of its own."""

    box: Box
    mm: Spacing


@dataclass(frozen=True)
class PixelSize:
    """Millimetres per pixel of a frame, its source and where it holds; or why there is none."""

    mm: Spacing | None = None
    source: str | None = None
    """"dicom", "ruler", "flag" or "csv"."""
    reason: str = ""
    """Why there is none; empty where a file of that kind never has one."""
    regions: tuple[Region, ...] = ()
    """The parts of the frame that have a scale; none: it holds for the whole frame."""
    confidence: float | None = None
    """Confidence of a ruler's reading, in [0, 1]."""
    aspect: float | None = None
    """Height of a pixel over its width, as the file states it; None where it does not."""
    aspect_source: str = ""
    """The tag or chunk that states it."""
    flags: tuple[str, ...] = ()
    """Assumptions, as flags of the frame's row."""
    final: bool = False
    """Whether the reason also holds against a number or table that the caller gives."""

    def covers(self, shape: Ellipse | Shaft) -> bool:
        """Whether one region of this scale contains a whole outline. Without regions, anywhere in the frame."""
        if not self.regions:
            return True
        x0, y0, x1, y1 = bounds(shape)
        return any(
            left - SLACK <= x0 and top - SLACK <= y0 and x1 <= right + SLACK and y1 <= bottom + SLACK
            for left, top, right, bottom in (region.box for region in self.regions)
        )


NOT_COVERED = (
    "no spacing here: it lies outside the region that the DICOM spacing holds for, or reaches out of it "
    "(SequenceOfUltrasoundRegions): export the frame with the whole structure in one region"
)
"""The reason where `covers` is false."""


def agree(one: Spacing, other: Spacing) -> bool:
    """Whether two spacings (row, column) are equal but for rounding."""
    return all(abs(a / b - 1) <= AGREE for a, b in zip(one, other, strict=True))


def with_aspect(size: PixelSize, aspect: float | None, source: str) -> PixelSize:
    """A size with what the file states of its pixels' aspect (height over width).

    A spacing that contradicts the aspect is refused.
    """
    if aspect is None:
        return size
    if size.mm is not None and abs(size.mm[0] / size.mm[1] / aspect - 1) > AGREE:
        says = f"{_both(size.mm)} per pixel, and an aspect of {aspect:.3g} (height over width) in {source}"
        size = PixelSize(reason=f"the file contradicts itself: {says}: {OWN_PAIR}")
    return replace(size, aspect=aspect, aspect_source=source)


def with_ruler(size: PixelSize, down: PixelSize, along: PixelSize) -> PixelSize:
    """A size completed by the rulers down the left or right and along the top or bottom of the frame.

    A spacing in the header stays. A ruler on one axis gives the other's spacing too where the file states the aspect;
    where it does not, pixels are taken as square and the flag says which spacing is assumed.
    """
    if size.mm is not None or size.final:
        return size
    if down.mm is None and along.mm is None:
        return replace(size, reason=down.reason if not size.reason else f"{size.reason}; {down.reason}")
    rows, columns = down.mm and down.mm[0], along.mm and along.mm[0]
    if rows and columns:
        found = replace(size, mm=(rows, columns), confidence=min(down.confidence or 0, along.confidence or 0))
    elif rows:
        found = replace(size, mm=(rows, rows / (size.aspect or 1)), confidence=down.confidence)
    else:
        assert columns
        found = replace(size, mm=(columns * (size.aspect or 1), columns), confidence=along.confidence)
    regions = tuple(r for r in size.regions if found.mm and agree(r.mm, found.mm))
    if size.regions and not regions:
        return replace(size, reason=f"{size.reason}; the depth ruler agrees with none of them")
    found = replace(found, source="ruler", reason="", regions=regions)
    if size.aspect is None and not (rows and columns):
        return replace(found, flags=(RULER_ROWS_ONLY if rows else RULER_COLUMNS_ONLY,))
    return with_aspect(found, size.aspect, size.aspect_source)


def with_given(size: PixelSize, given: float | Spacing, source: str) -> PixelSize:
    """A size with the number or pair that the caller gives ("flag" or "csv").

    A header's own spacing stays; a caller who states another one is contradicted, not followed. So is one whom the
    depth ruler contradicts. One number for pixels that are not square is refused.
    """
    if size.final:
        return replace(size, reason=f"no spacing: {size.reason}")
    pair = given if isinstance(given, tuple) else (given, given)
    if size.mm is not None and size.source == "dicom":
        if agree(size.mm, pair):
            return size
        return _none(f"the DICOM header says {_both(size.mm)}, the {source} {_both(pair)}: leave out the wrong one")
    if size.mm is not None and not agree(_as_read(size, pair), pair):
        says, other = _read_alone(size, size.mm), _read_alone(size, pair)
        return _none(f"the depth ruler says {says}, the {source} {other}: leave out the wrong one")
    if size.aspect is not None and abs(pair[0] / pair[1] / size.aspect - 1) > AGREE:
        says = f"its pixels are {size.aspect:.3g} times as high as wide ({size.aspect_source})"
        if isinstance(given, tuple):
            return _none(f"{says}, the {source} says {_both(pair)}: leave out the wrong one")
        return _none(f"{says}, so that one number cannot be right: {OWN_PAIR}, or save it with square pixels")
    regions = tuple(r for r in size.regions if agree(r.mm, pair))
    if size.regions and not regions:
        own = ", ".join(_both(r.mm) for r in size.regions)
        return _none(f"the DICOM header's regions say {own}, the {source} {_both(pair)}: leave out the wrong one")
    return PixelSize(pair, source, regions=regions, aspect=size.aspect, aspect_source=size.aspect_source)


def _as_read(size: PixelSize, pair: Spacing) -> Spacing:
    """A ruler's spacing; of an axis that the ruler says nothing of, that of `pair`."""
    assert size.mm is not None
    rows, columns = size.mm
    return pair[0] if RULER_COLUMNS_ONLY in size.flags else rows, pair[1] if RULER_ROWS_ONLY in size.flags else columns


def _read_alone(size: PixelSize, mm: Spacing) -> str:
    """A spacing in words: of both axes, or of the one that the ruler was read on."""
    if RULER_ROWS_ONLY in size.flags:
        return f"{mm[0]:.4f} mm down the rows"
    return f"{mm[1]:.4f} mm along the columns" if RULER_COLUMNS_ONLY in size.flags else _both(mm)


def _none(reason: str) -> PixelSize:
    return PixelSize(reason=f"no spacing: {reason}")


def _both(mm: Spacing) -> str:
    return f"{mm[0]:.4f} x {mm[1]:.4f} mm"


def bounds(shape: Ellipse | Shaft) -> Box:
    """The smallest box (x0, y0, x1, y1) around an outline, in its pixels."""
    if isinstance(shape, Ellipse):
        dx, dy = np.hypot(*shape.axes_matrix.T)
        return shape.cx - dx, shape.cy - dy, shape.cx + dx, shape.cy + dy
    (x0, y0), (x1, y1) = shape.ends.min(0), shape.ends.max(0)
    return x0, y0, x1, y1


# ------------------------------------------------------------------------------------------------------- DICOM


def of_dicom(header: Any) -> PixelSize:
    """Millimetres per pixel that a DICOM header states.

    The calibrated 2-D tissue region decides (Sequence of Ultrasound Regions, PS3.3 C.8.5.5); Pixel Spacing where there
    is no such region. There is no spacing, with the reason, where units are not centimetres, regions have different
    scales or reach beyond the frame (it was resized after the calibration), or two statements contradict each other.
    A Pixel Spacing of 1\\1 is a placeholder.
    """
    try:
        return with_aspect(_of_dicom(header), *_aspect(header))
    except Exception as e:  # an element of another type than its tag's
        return PixelSize(
            reason=f"the DICOM header's spacing is damaged ({type(e).__name__}: {' '.join(str(e).split())[:80]})"
        )


def _of_dicom(header: Any) -> PixelSize:
    items = list(header.get("SequenceOfUltrasoundRegions") or ())
    tissue = [r for r in items if (r.get("RegionSpatialFormat"), r.get("RegionDataType")) == (_TWO_D, _TISSUE)]
    plain, placeholder = _plain_spacing(header)
    if not tissue:
        if plain:
            return PixelSize(plain, "dicom")
        kinds = "no 2-D tissue region among its ultrasound regions" if items else "no ultrasound region"
        spacing = "a PixelSpacing of 1\\1, which is a placeholder" if placeholder else "no PixelSpacing"
        return PixelSize(reason=f"the DICOM header has {kinds} and {spacing}: {GIVE}")
    shape = int(header.Rows), int(header.Columns)
    regions = []
    for item in tissue:
        region = _region(item, shape)
        if isinstance(region, str):
            return PixelSize(reason=region)
        regions.append(region)
    if reason := _resized(header, regions, shape):
        return PixelSize(reason=reason)
    mm = regions[0].mm
    if any(not agree(mm, r.mm) for r in regions[1:]):
        scales = ", ".join(f"{r.mm[0]:.4f}" for r in regions)
        reason = f"the DICOM header has 2-D tissue regions of different scales ({scales} mm): {GIVE}"
        return PixelSize(reason=reason, regions=tuple(regions))
    if plain and not agree(plain, mm):
        says = f"{_both(mm)} in its ultrasound region, {_both(plain)} in PixelSpacing"
        return PixelSize(reason=f"the DICOM header contradicts itself: {says}: {GIVE}")
    return PixelSize(mm, "dicom", regions=tuple(regions))


def _region(item: Any, shape: tuple[int, int]) -> Region | str:
    """A calibrated region of a frame (rows, columns), or why it is none. Sides at the frame's edge are open."""
    spacing = []
    for axis in "YX":
        unit, delta = item.get(f"PhysicalUnits{axis}Direction"), item.get(f"PhysicalDelta{axis}")
        if unit is None:
            return f"PhysicalUnits{axis}Direction of the DICOM header's ultrasound region is missing: {GIVE}"
        if unit != CENTIMETRES:
            named = _UNITS.get(unit, "unknown")
            return f"PhysicalUnits{axis}Direction of the DICOM header is {unit} ({named}), not 3 (cm): {GIVE}"
        if delta is None or not (math.isfinite(delta) and delta != 0):
            return f"PhysicalDelta{axis} of the DICOM header's ultrasound region is {delta}, not a length: {GIVE}"
        spacing.append(10 * abs(float(delta)))  # negative where the axis runs the other way
    sides = []
    for axis, length in (("X", shape[1]), ("Y", shape[0])):
        names = f"RegionLocationMin{axis}0", f"RegionLocationMax{axis}1"
        for name in names:
            if item.get(name) is None:
                return f"{name} of the DICOM header's ultrasound region is missing: {GIVE}"
        low, high = (float(item[name].value) for name in names)
        if high > length or low < 0:  # a last pixel of `length` is one too many, and common
            return (
                f"{names[high > length]} of the DICOM header is {(low, high)[high > length]:.0f}, beyond the frame of "
                f"{length} pixels: it was resized after the calibration: export the original, or give --spacing-mm"
            )
        if high <= low:
            return f"{names[1]} of the DICOM header's ultrasound region is not beyond {names[0]}: export it again"
        sides.append((-math.inf if low <= 0 else low, math.inf if high >= length - 1 else high + 1))
    (x0, x1), (y0, y1) = sides
    return Region((x0, y0, x1, y1), (spacing[0], spacing[1]))


SHRUNKEN = 0.95
"""Share of the frame's sides: boxes within a few pixels of the frame are a scanner's own."""
RESAMPLED = "113085"
"""DCM code of spatial resampling."""


def _resized(header: Any, regions: list[Region], shape: tuple[int, int]) -> str:
    """Why the regions are those of a smaller original, or nothing.

    Enlarging leaves every box within the frame. Two traces remain: a derivation that says so, and a box that begins at
    the frame's corner and has the frame's proportions, as the box of a whole original has.
    """
    derivation = str(header.get("DerivationDescription", "")).lower()
    codes = {str(item.get("CodeValue", "")) for item in header.get("DerivationCodeSequence") or ()}
    if RESAMPLED in codes or any(word in derivation for word in ("resampl", "resiz", "scaled", "interpolat")):
        return (
            "the DICOM header says that the frame was resampled (DerivationDescription or DerivationCodeSequence), "
            "so that its ultrasound regions may be the original's: export the original, or give --spacing-mm"
        )
    for x0, y0, x1, y1 in (r.box for r in regions):
        if x0 == y0 == -math.inf and math.isfinite(x1) and math.isfinite(y1):
            across, down = x1 / shape[1], y1 / shape[0]
            if across < SHRUNKEN and abs(across / down - 1) < AGREE:
                sizes = f"{x1:.0f} x {y1:.0f} pixels, and the frame {shape[1]} x {shape[0]}"
                return (
                    f"the ultrasound region of the DICOM header is {sizes}: it was enlarged after the calibration: "
                    "export the original, or give --spacing-mm"
                )
    return ""


def _plain_spacing(header: Any) -> tuple[Spacing | None, bool]:
    """Pixel Spacing, of the frame or shared by all frames, and whether it is the placeholder 1\\1."""
    values = header.get("PixelSpacing")
    if not values and header.get("SharedFunctionalGroupsSequence"):
        measures = header.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
        values = measures[0].get("PixelSpacing") if measures else None
    if not values or len(values) != 2:
        return None, False
    row, column = (float(v) for v in values)
    if not (math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0):
        return None, False
    placeholder = row == column == 1
    return (None if placeholder else (row, column)), placeholder


def _aspect(header: Any) -> tuple[float | None, str]:
    """Pixel Aspect Ratio: vertical \\ horizontal size."""
    values = header.get("PixelAspectRatio")
    if not values or len(values) != 2 or float(values[0]) <= 0 or float(values[1]) <= 0:
        return None, ""
    return float(values[0]) / float(values[1]), "PixelAspectRatio of the DICOM header"
