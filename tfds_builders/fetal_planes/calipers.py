"""Calipers of the multi-centre fetal biometry benchmark (arXiv 2512.16710) on frames of FETAL_PLANES_DB."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.errors import UserError
from fetal_jax.geometry import HALF_PIXEL, Ellipse, Shaft, ellipse_of_diameters
from fetal_jax.reading.spacing import PixelSize, agree
from tfds_builders import plausible

Array = NDArray[Any]

ANNOTATIONS = Path("landmarks", "annotations", "FP")
PLANE = {"Head": "head", "Abdomen": "abdomen", "Femur": "femur"}
"""Plane of each structure, as the benchmark's files are named."""
DIAMETERS = {"Head": ("ofd", "bpd"), "Abdomen": ("tad", "apad"), "Femur": ("fl",)}
MOST_OFF_RULER = 0.03
"""Relative: a rate that differs by more from the ruler in the frame is wrong."""
ALOKA = (640, 392)
"""Size of the frames whose rate is not to be trusted: it is half the truth on half of them, whatever they show, where
ticks of 10 mm were taken for 5."""


@dataclass(frozen=True)
class Calipers:
    """The benchmark's calipers of one frame. `shape` is None, and `spacing_mm` NaN, if a rule dropped it."""

    shape: Ellipse | Shaft | None
    spacing_mm: float
    pixels: dict[str, float]
    """Lengths of the calipers and, for two diameters, the ellipse's circumference, in pixels."""
    size: tuple[int, int]  # width, height of the frame that they were set on
    test: bool

    @property
    def millimetres(self) -> dict[str, float]:
        """`pixels` in millimetres, by feature; NaN if the spacing is unknown."""
        return {f"{name}_mm": length * self.spacing_mm for name, length in self.pixels.items()}


@dataclass
class Benchmark:
    """All calipers by file name, the patients of the test side, and the number of times that each rule was broken."""

    calipers: dict[str, Calipers] = field(default_factory=dict)
    test_patients: set[int] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)


def find(folder: Path) -> Path | None:
    """Find the annotations in the data set's folder or beside it."""
    return next((p / ANNOTATIONS for p in (folder, folder.parent) if (p / ANNOTATIONS).is_dir()), None)


def read(folder: Path, frames: set[str]) -> Benchmark:
    """Read the three files. Two diameters make an ellipse, two ends a shaft.

    Args:
      folder: contains `Head.csv`, `Abdomen.csv` and `Femur.csv`.
      frames: the names that the data set's own table lists.

    Raises:
      UserError: a file or column is missing, a frame is listed twice or is not in the data set, a cell is not a number.
    """
    found = Benchmark()
    for structure, diameters in DIAMETERS.items():
        path = folder / f"{structure}.csv"
        if not path.is_file():
            raise UserError(f"{path} is missing: copy the benchmark's three files, or take landmarks/ away")
        points = [f"{d}_{i}_{axis}" for d in diameters for i in (1, 2) for axis in "xy"]
        needed = {"image_name", "px_to_mm_rate", "center_w", "center_h", "Split", *points}
        with path.open(newline="") as f:
            reader = csv.DictReader(f)
            absent = sorted(needed - set(reader.fieldnames or ()))
            if absent:
                raise UserError(f"{path} has no column {absent[0]}: copy it again, comma-separated")
            for line, row in enumerate(reader, start=2):
                _add(found, structure, row, points, frames, f"{path}, line {line}")
    return found


def _add(found: Benchmark, structure: str, row: dict[str, str], points: list[str], frames: set[str], at: str) -> None:
    name = row["image_name"]
    if name in found.calipers:
        raise UserError(f"{at}: {name} is listed twice: remove one")
    if name.removesuffix(".png") not in frames:
        raise UserError(f"{at}: {name} is not a frame of the data set; remove the row")
    if row["Split"] not in ("Train", "Test"):
        raise UserError(f"{at}: Split is {row['Split']!r}, not Train or Test")
    try:
        ends = np.array([float(row[p]) for p in points]).reshape(-1, 2, 2)
        size = (round(2 * float(row["center_w"])), round(2 * float(row["center_h"])))
        rate = float(row["px_to_mm_rate"] or "nan")
    except (TypeError, ValueError):
        raise UserError(
            f"{at}: {name} has a caliper, centre or rate that is not a number: correct or remove the row"
        ) from None
    test = row["Split"] == "Test"
    if test:
        found.test_patients.add(patient(name))
    spacing, fault = _spacing(rate, size)
    if fault:
        found.faults[f"{structure}: {fault}"] += 1
    shape, fault = _shape(structure, ends + HALF_PIXEL, size, rate)
    if fault:
        found.faults[f"{structure}: {fault}"] += 1
    pixels = _lengths(structure, ends, shape) if shape else {}
    found.calipers[name] = Calipers(shape, spacing if shape else math.nan, pixels, size, test)


def patient(name: str) -> int:
    """The woman's number in a frame's name."""
    return int(name[len("Patient") :].split("_")[0])


def _spacing(rate: float, size: tuple[int, int]) -> tuple[float, str]:
    if not (math.isfinite(rate) and rate > 0):
        return math.nan, "no usable rate, spacing unknown"
    if size == ALOKA:
        return math.nan, "rate of an Aloka frame not trusted, spacing unknown"
    return rate, ""


def _shape(structure: str, ends: Array, size: tuple[int, int], rate: float) -> tuple[Ellipse | Shaft | None, str]:
    """The structure in pixels, or None and the rule that dropped it; both if a rule only flags."""
    wrong = plausible.fault(PLANE[structure], ends, size, rate)
    if wrong:
        return None, f"{wrong}, dropped"
    shape = Shaft.from_ends(ends[0], math.nan) if structure == "Femur" else ellipse_of_diameters(ends)
    if shape is None:
        return None, "diameters over 15 degrees off square or 10 % apart, dropped"
    return shape, "a little outside the frame, kept" if plausible.outside(ends, size) > 0 else ""


def _lengths(structure: str, ends: Array, shape: Ellipse | Shaft) -> dict[str, float]:
    lengths = np.hypot(*np.moveaxis(ends[:, 1] - ends[:, 0], -1, 0))
    own = {d: float(length) for d, length in zip(DIAMETERS[structure], lengths, strict=True)}
    if isinstance(shape, Ellipse):
        own["hc" if structure == "Head" else "ac"] = shape.perimeter
    return own


def with_ruler(marks: Calipers, ruler: PixelSize) -> tuple[Calipers, str]:
    """Give calipers the scale of their frame's ruler, if it contradicts their rate or they have none.

    Args:
      marks: the calipers.
      ruler: the reading of the frame's ruler; ignored without millimetres, or if pixels are not square.

    Returns:
      The calipers, and the name of the fault that was found, or an empty text.
    """
    if ruler.mm is None or marks.shape is None or not agree(ruler.mm, ruler.mm[::-1]):
        return marks, ""
    if abs(ruler.mm[0] / marks.spacing_mm - 1) <= MOST_OFF_RULER:
        return marks, ""
    unknown = math.isnan(marks.spacing_mm)
    fault = "no usable rate" if unknown else f"rate over {MOST_OFF_RULER:.0%} off the frame's ruler"
    return replace(marks, spacing_mm=ruler.mm[0]), f"{fault}, the ruler's scale taken"
