"""Predictions of other programs, evaluated by the same rules: a table of geometry or a folder of masks.

The table, as any spreadsheet writes it, has `filename` and, in pixels of the frame with centres at (column + 0.5,
row + 0.5), `cx,cy,a,b,theta` or `x1,y1,x2,y2`; or the end points as arXiv 2512.16710 names them (`ofd_1_x` ...
`bpd_2_y`, `tad_`, `apad_`, `fl_`), which are pixel indices. It may have several of these sets of columns; a row fills
one. Cells are empty if nothing was found. A mask is an image with the name of its frame, including the subfolder; its
suffix may differ, such as PNG for a JPEG.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.biometry import Measurement, measure
from fetal_jax.data.source import SHAPES, Frame, Split
from fetal_jax.errors import UserError, amount
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frame
from fetal_jax.geometry import HALF_PIXEL, Ellipse, Shaft, ellipse_of_diameters, size
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE
from fetal_jax.reading import spreadsheet
from fetal_jax.reading.masks import read_mask
from fetal_jax.reading.sources import SUFFIXES

Shapes = dict[str, Ellipse | Shaft | None]

ELLIPSE, SHAFT = ("cx", "cy", "a", "b", "theta"), ("x1", "y1", "x2", "y2")
LANDMARKS = [
    [f"{d}_{i}_{axis}" for d in diameters for i in (1, 2) for axis in "xy"]
    for diameters in (("ofd", "bpd"), ("tad", "apad"), ("fl",))
]
LAYOUTS = [list(ELLIPSE), list(SHAFT), *LANDMARKS]
"""The sets of columns that hold one shape."""
NAMES = ("filename", "image_name")
NEEDS = f"needs the column filename and {','.join(ELLIPSE)} or {','.join(SHAFT)}"
MOST_OFF = 2.0
"""Median ratio to the true size above which the unit must be wrong. A pixel is 0.05 to 0.4 mm."""


def evaluate_predictions(path: Path, frames: Split) -> Iterator[EvaluatedFrame]:
    """Check all predictions, then yield the frames of a split; one without a prediction is a failure.

    Raises:
      UserError: there are predictions of other frames, two of one frame, cells that are not numbers, or another unit.
    """
    names = [frames[i].filename for i in range(len(frames))]
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise UserError(f"{frames.dataset} has {twice[0]} twice: predictions cannot be matched by name")
    if not path.exists():
        raise UserError(f"{path} does not exist: give a table of geometry or a folder of masks")
    if path.is_dir():
        masks = _masks(path, names)
    else:
        shapes = read_table(path)
        _of_this_split(path, list(shapes), names)
        _same_unit(path, shapes, frames)

    def evaluated(i: int, name: str) -> EvaluatedFrame:
        frame = frames[i]
        found = _from_mask(masks.get(name), frame) if path.is_dir() else _from_shape(shapes.get(name), frame)
        return evaluate_frame(i, frame, found)

    return map(evaluated, range(len(names)), names)


def read_table(path: Path) -> Shapes:
    """Read the shape of each frame by file name; None if its cells are empty.

    Raises:
      UserError: it is no table, a column is missing or repeated, a frame occurs twice, a row has two shapes or more
        cells than columns, or a cell is not a number.
    """
    columns, rows = spreadsheet.read(path, NEEDS)
    name = next((n for n in NAMES if n in columns), None)
    layouts = [layout for layout in LAYOUTS if set(layout) & set(columns)]
    if name is None or not layouts:
        raise UserError(f"{path} {NEEDS}")
    for layout in layouts:
        absent = [c for c in layout if c not in columns]
        if absent:
            raise UserError(f"{path} has no column {absent[0]}: give all of {','.join(layout)}, or none of them")
    read = [name, *(c for layout in layouts for c in layout)]
    if twice := [c for c in read if columns.count(c) > 1]:
        raise UserError(f"{path} has the column {twice[0]} twice: remove one")
    shapes: Shapes = {}
    for line, row in rows:
        at = f"{path}, line {line}"
        if len(row) > len(columns):
            raise UserError(f"{at} {spreadsheet.MORE_CELLS}")
        cells = dict(zip_longest(columns, row, fillvalue=""))
        if not cells[name]:
            raise UserError(f"{at}: a row without a file name: add it or remove the row")
        if cells[name] in shapes:
            raise UserError(f"{at}: {cells[name]} occurs twice: keep one")
        shapes[cells[name]] = _shape(layouts, cells, at)
    return shapes


def _shape(layouts: list[list[str]], cells: dict[str, str], at: str) -> Ellipse | Shaft | None:
    filled = [columns for columns in layouts if any(cells[c] for c in columns)]
    if not filled:
        return None
    if len(filled) > 1:
        raise UserError(f"{at}: {filled[0][0]} and {filled[1][0]} are given: one frame has one shape, keep one")
    (columns,) = filled
    values = [value for c in columns if (value := spreadsheet.number(cells[c])) is not None]
    if len(values) < len(columns):
        raise UserError(f"{at}: a cell is not a number: leave all of them empty where nothing was found")
    if tuple(columns) == ELLIPSE:
        try:
            return Ellipse.from_numbers(*values)
        except ValueError as e:
            raise UserError(f"{at}: {e}") from None
    if tuple(columns) == SHAFT:
        return Shaft.from_ends(np.reshape(values, (2, 2)), math.nan)
    ends = np.reshape(values, (-1, 2, 2)) + HALF_PIXEL
    return Shaft.from_ends(ends[0], math.nan) if len(ends) == 1 else ellipse_of_diameters(ends)


def _masks(folder: Path, names: list[str]) -> dict[str, Path]:
    """Find the mask of each frame that has one, by the frame's name."""
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES]
    if not files:
        raise UserError(f"{folder} holds no image: give the folder of the masks, named as their frames")
    stems = Counter(str(Path(name).with_suffix("")) for name in names)
    by_stem = {stem: name for name in names if stems[stem := str(Path(name).with_suffix(""))] == 1}
    known = set(names)
    masks: dict[str, Path] = {}
    for file in files:
        own = file.relative_to(folder).as_posix()
        name = own if own in known else by_stem.get(str(Path(own).with_suffix("")), own)
        if name in masks:
            raise UserError(f"{folder}: {masks[name].name} and {file.name} are both for {name}: keep one")
        masks[name] = file
    _of_this_split(folder, list(masks), names)
    return masks


def _of_this_split(path: Path, predicted: list[str], names: list[str]) -> None:
    strange = sorted(set(predicted) - set(names))
    if strange:
        raise UserError(
            f"{path}: {amount(len(strange), 'frame')} not in the split, such as {strange[0]}: take them out, or name "
            f"them as its frames, such as {names[0]}"
        )


def _same_unit(path: Path, shapes: Shapes, frames: Split) -> None:
    pairs = [(shapes.get(f.filename), f.shape) for f in map(frames.__getitem__, range(len(frames)))]
    ratios = [size(found) / size(true) for found, true in pairs if found and true and type(found) is type(true)]
    middle = float(np.median(ratios)) if ratios else 1.0
    if not 1 / MOST_OFF < middle < MOST_OFF:
        raise UserError(f"{path}: shapes are {middle:.2g} times the true ones at the median: give pixels of the frame")


def _from_shape(shape: Ellipse | Shaft | None, frame: Frame) -> Measurement | None:
    plane, mm = frame.plane or "unknown", frame.spacing_mm
    if plane not in SHAPE_OF_PLANE:
        return None
    kind = SHAPE_OF_PLANE[plane]
    if not isinstance(shape, SHAPES[kind]):
        return Measurement(plane, flags=("nothing found",))
    known: dict[str, Any] = {kind: shape, PRIMARY[plane]: mm and size(shape) * mm}
    return Measurement(plane, flags=() if mm else ("no spacing",), **known)


def _from_mask(path: Path | None, frame: Frame) -> Measurement | None:
    plane = frame.plane or "unknown"
    if plane not in SHAPE_OF_PLANE:
        return None
    if path is None:
        return Measurement(plane, flags=("nothing found",))
    return measure(read_mask(path, frame.image.shape).astype(np.float32), plane, frame.spacing_mm)
