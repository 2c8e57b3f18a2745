"""Millimetres per pixel, and the part of the frame where they hold: the only place that decides both.

The evidence: the calibrated ultrasound regions of a DICOM header, its Pixel Spacing, the pixels' aspect ratio (DICOM,
PNG, JPEG, TIFF, BMP), the burned-in depth ruler, and the caller's number or table. If two of them contradict each
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
"""Largest relative difference between two spacings that agree."""
SLACK = 1.0
"""Pixels by which an outline may leave its region: boxes are whole pixels, and some headers have one too many."""
RULER_ROWS_ONLY, RULER_COLUMNS_ONLY = "column spacing assumed", "row spacing assumed"
"""Flags of a spacing whose ruler runs only down the rows, or only along the columns, in a file that does not state its
pixels' aspect."""
OWN_PAIR = "give --spacing-csv with the columns filename, spacing_mm (rows) and column_spacing_mm"


@dataclass(frozen=True)
class Region:
    """A part of the frame with its own scale."""

    box: Box
    mm: Spacing


@dataclass(frozen=True)
class PixelSize:
    """Millimetres per pixel of a frame, its source and where it holds; or why there is none."""

    mm: Spacing | None = None
    source: str | None = None
    """"dicom", "ruler", "flag" or "csv"."""
    reason: str = ""
    """Why there is no spacing; empty for a file of a kind that never has one. `Spacings.of` adds what can be given."""
    regions: tuple[Region, ...] = ()
    """The parts of the frame where it holds; empty: the whole frame."""
    confidence: float | None = None
    """Confidence of a ruler's reading, in [0, 1]."""
    aspect: float | None = None
    """Height of a pixel over its width; None if the file does not state it."""
    aspect_source: str = ""
    """The tag or chunk that states it."""
    flags: tuple[str, ...] = ()
    """Assumptions, as flags of the frame's row."""
    final: bool = False
    """Whether the reason also excludes a number or table from the caller."""

    def covers(self, shape: Ellipse | Shaft) -> bool:
        """Whether one region contains the whole outline; true without regions."""
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
    """Whether two spacings (row, column) are equal within `AGREE`."""
    return all(abs(a / b - 1) <= AGREE for a, b in zip(one, other, strict=True))


def with_aspect(size: PixelSize, aspect: float | None, source: str) -> PixelSize:
    """Add the aspect (height over width) that the file states; a spacing that contradicts it is refused."""
    if aspect is None:
        return size
    if size.mm is not None and abs(size.mm[0] / size.mm[1] / aspect - 1) > AGREE:
        says = f"{_both(size.mm)} per pixel, and an aspect of {aspect:.3g} (height over width) in {source}"
        size = PixelSize(reason=f"the file contradicts itself: {says}")
    return replace(size, aspect=aspect, aspect_source=source)


def with_ruler(size: PixelSize, down: PixelSize, along: PixelSize) -> PixelSize:
    """Complete a size by the rulers down the left or right and along the top or bottom of the frame.

    A spacing in the header is kept. A ruler on one axis also gives the other's, by the aspect; if the file states no
    aspect, pixels are taken as square and a flag says which spacing is assumed.
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
    """Complete a size by the number or (row, column) pair that the caller gives; `source` is "flag" or "csv".

    A header's own spacing is kept. There is no spacing if the caller contradicts the header, its regions, the ruler or
    the aspect, nor for one number if pixels are not square.
    """
    if size.final:
        return size
    pair = given if isinstance(given, tuple) else (given, given)
    if size.mm is not None and size.source == "dicom":
        if agree(size.mm, pair):
            return size
        return PixelSize(
            reason=f"the DICOM header says {_both(size.mm)}, the {source} {_both(pair)}: leave out the wrong one"
        )
    if size.mm is not None and not agree(_as_read(size, pair), pair):
        says, other = _read_alone(size, size.mm), _read_alone(size, pair)
        return PixelSize(reason=f"the depth ruler says {says}, the {source} {other}: leave out the wrong one")
    if size.aspect is not None and abs(pair[0] / pair[1] / size.aspect - 1) > AGREE:
        says = f"its pixels are {size.aspect:.3g} times as high as wide ({size.aspect_source})"
        if isinstance(given, tuple):
            return PixelSize(reason=f"{says}, the {source} says {_both(pair)}: leave out the wrong one")
        return PixelSize(
            reason=f"{says}, so that one number cannot be right: {OWN_PAIR}, or save it with square pixels"
        )
    regions = tuple(r for r in size.regions if agree(r.mm, pair))
    if size.regions and not regions:
        own = ", ".join(_both(r.mm) for r in size.regions)
        return PixelSize(
            reason=f"the DICOM header's regions say {own}, the {source} {_both(pair)}: leave out the wrong one"
        )
    return PixelSize(pair, source, regions=regions, aspect=size.aspect, aspect_source=size.aspect_source)


def _as_read(size: PixelSize, pair: Spacing) -> Spacing:
    """A ruler's spacing, with that of `pair` on an axis that has no ruler."""
    assert size.mm is not None
    rows, columns = size.mm
    return pair[0] if RULER_COLUMNS_ONLY in size.flags else rows, pair[1] if RULER_ROWS_ONLY in size.flags else columns


def _read_alone(size: PixelSize, mm: Spacing) -> str:
    """Format a spacing for a message: both axes, or only the one with the ruler."""
    if RULER_ROWS_ONLY in size.flags:
        return f"{mm[0]:.4f} mm down the rows"
    return f"{mm[1]:.4f} mm along the columns" if RULER_COLUMNS_ONLY in size.flags else _both(mm)


def _both(mm: Spacing) -> str:
    return f"{mm[0]:.4f} x {mm[1]:.4f} mm"


def bounds(shape: Ellipse | Shaft) -> Box:
    """Bounding box (x0, y0, x1, y1) of an outline, in pixels."""
    if isinstance(shape, Ellipse):
        dx, dy = np.hypot(*shape.axes_matrix.T)
        return shape.cx - dx, shape.cy - dy, shape.cx + dx, shape.cy + dy
    (x0, y0), (x1, y1) = shape.ends.min(0), shape.ends.max(0)
    return x0, y0, x1, y1


# ------------------------------------------------------------------------------------------------------- DICOM


def of_dicom(header: Any) -> PixelSize:
    """Read millimetres per pixel from a DICOM header.

    The calibrated 2-D tissue region decides (Sequence of Ultrasound Regions, PS3.3 C.8.5.5), or else Pixel Spacing.
    There is no spacing, but a reason, if units are not centimetres, regions have different scales or reach beyond the
    frame (it was resized after the calibration), or two statements contradict each other.
    A Pixel Spacing of 1\\1 is a placeholder, and that of a screen, a printer or a scanned film is not the patient's.
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
    plain, why = _plain_spacing(header)
    if plain and (other := _of_another_frame(header, plain)):
        says = f"{_both(plain)} for all frames and {_both(other)} for one of them in PixelSpacing"
        reason = f"the DICOM header says {says}: export each frame as an object of its own"
        return PixelSize(reason=reason, final=True)
    if not tissue:
        if plain:
            return PixelSize(plain, "dicom")
        kinds = "no 2-D tissue region among its ultrasound regions" if items else "no ultrasound region"
        return PixelSize(reason=f"the DICOM header has {kinds} and {why}")
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
        reason = f"the DICOM header has 2-D tissue regions of different scales ({scales} mm)"
        return PixelSize(reason=reason, regions=tuple(regions))
    if plain and not agree(plain, mm):
        says = f"{_both(mm)} in its ultrasound region, {_both(plain)} in PixelSpacing"
        return PixelSize(reason=f"the DICOM header contradicts itself: {says}")
    return PixelSize(mm, "dicom", regions=tuple(regions))


def _region(item: Any, shape: tuple[int, int]) -> Region | str:
    """Read a calibrated region of a frame (rows, columns), or why it is not one. Sides at the frame's edge are open."""
    spacing = []
    for axis in "YX":
        unit, delta = item.get(f"PhysicalUnits{axis}Direction"), item.get(f"PhysicalDelta{axis}")
        if unit is None:
            return f"PhysicalUnits{axis}Direction of the DICOM header's ultrasound region is missing"
        if unit != CENTIMETRES:
            named = _UNITS.get(unit, "unknown")
            return f"PhysicalUnits{axis}Direction of the DICOM header is {unit} ({named}), not 3 (cm)"
        if delta is None or not (math.isfinite(delta) and delta != 0):
            return f"PhysicalDelta{axis} of the DICOM header's ultrasound region is {delta}, not a length"
        spacing.append(10 * abs(float(delta)))  # negative where the axis runs the other way
    sides = []
    for axis, length in (("X", shape[1]), ("Y", shape[0])):
        names = f"RegionLocationMin{axis}0", f"RegionLocationMax{axis}1"
        for name in names:
            if item.get(name) is None:
                return f"{name} of the DICOM header's ultrasound region is missing"
        low, high = (float(item[name].value) for name in names)
        if high > length or low < 0:  # a last pixel of `length` is one too many, and common
            return (
                f"{names[high > length]} of the DICOM header is {(low, high)[high > length]:.0f}, beyond the frame of "
                f"{length} pixels: it was resized after the calibration, and only the original has a spacing"
            )
        if high <= low:
            return f"{names[1]} of the DICOM header's ultrasound region is not beyond {names[0]}: export it again"
        sides.append((-math.inf if low <= 0 else low, math.inf if high >= length - 1 else high + 1))
    (x0, x1), (y0, y1) = sides
    return Region((x0, y0, x1, y1), (spacing[0], spacing[1]))


SHRUNKEN = 0.95
"""A box smaller than this share of the frame's sides may be that of a smaller original; scanners leave a few pixels."""
RESAMPLED = "113085"
"""DCM code of spatial resampling."""


def _resized(header: Any, regions: list[Region], shape: tuple[int, int]) -> str:
    """Give the reason to believe that the regions belong to a smaller original; empty if there is none.

    After enlarging, every box is still within the frame. Two traces remain: a derivation that states it, and a box that
    begins at the frame's corner and has its proportions, as the box of a whole original does.
    """
    derivation = str(header.get("DerivationDescription", "")).lower()
    codes = {str(item.get("CodeValue", "")) for item in header.get("DerivationCodeSequence") or ()}
    if RESAMPLED in codes or any(word in derivation for word in ("resampl", "resiz", "scaled", "interpolat")):
        return (
            "the DICOM header says that the frame was resampled (DerivationDescription or DerivationCodeSequence), "
            "so that its ultrasound regions may be the original's"
        )
    for x0, y0, x1, y1 in (r.box for r in regions):
        if x0 == y0 == -math.inf and math.isfinite(x1) and math.isfinite(y1):
            across, down = x1 / shape[1], y1 / shape[0]
            if across < SHRUNKEN and abs(across / down - 1) < AGREE:
                sizes = f"{x1:.0f} x {y1:.0f} pixels, and the frame {shape[1]} x {shape[0]}"
                return (
                    f"the ultrasound region of the DICOM header is {sizes}: it was enlarged after the calibration, "
                    "and only the original has a spacing"
                )
    return ""


def _of_another_frame(header: Any, mm: Spacing) -> Spacing | None:
    """The Pixel Spacing of a frame that differs from that of the whole object; None if there is none."""
    stated = map(_measures, header.get("PerFrameFunctionalGroupsSequence") or ())
    pairs = ((float(values[0]), float(values[1])) for values in stated if values)
    return next((pair for pair in pairs if not agree(pair, mm)), None)


def _measures(group: Any) -> Any:
    """Pixel Spacing in a functional group."""
    measures = group.get("PixelMeasuresSequence")
    return measures[0].get("PixelSpacing") if measures else None


PER_INCH = (72, 96, 100, 120, 144, 150, 192, 200, 300, 400, 600)
"""Pixels to the inch of screens, printers and paper scanners."""


def _plain_spacing(header: Any) -> tuple[Spacing | None, str]:
    """Pixel Spacing, of the frame or shared by all frames; or None and why it is not the patient's."""
    values = header.get("PixelSpacing")
    if not values and header.get("SharedFunctionalGroupsSequence"):
        values = _measures(header.SharedFunctionalGroupsSequence[0])
    if not values or len(values) != 2:
        return None, "no PixelSpacing"
    row, column = (float(v) for v in values)
    if not (math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0):
        return None, "no PixelSpacing"
    if row == column == 1:
        return None, "a PixelSpacing of 1\\1, which is a placeholder"
    # a Pixel Spacing that was not calibrated is that of the scanned film or paper (PS3.3 10.7.1.1)
    scanned = header.get("NominalScannedPixelSpacing")
    if scanned and len(scanned) == 2 and agree((float(scanned[0]), float(scanned[1])), (row, column)):
        return None, "the PixelSpacing of what was scanned (it is NominalScannedPixelSpacing)"
    for inch in PER_INCH:
        if round(row, 4) == round(column, 4) == round(25.4 / inch, 4):
            return None, f"a PixelSpacing of {inch} pixels to the inch, which is a screen's or printer's"
    return (row, column), ""


def _aspect(header: Any) -> tuple[float | None, str]:
    """Pixel Aspect Ratio: vertical \\ horizontal size."""
    values = header.get("PixelAspectRatio")
    if not values or len(values) != 2 or float(values[0]) <= 0 or float(values[1]) <= 0:
        return None, ""
    return float(values[0]) / float(values[1]), "PixelAspectRatio of the DICOM header"
