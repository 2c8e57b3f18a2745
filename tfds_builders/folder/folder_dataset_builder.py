"""TFDS builder of a user's own frames: a table beside images, with geometry in the table or in filled masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from scipy.ndimage import binary_fill_holes
from tqdm import tqdm

from fetal_jax.biometry import Measurement, measure
from fetal_jax.biometry.measurement import FEMUR_WIDTHS, LEAST_SEEN
from fetal_jax.errors import UserError, amount
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image
from fetal_jax.reading.masks import beside_largest, is_inverted, read_mask
from tfds_builders import features, plausible
from tfds_builders.folder import table

LEAST_POINTS = 20  # pixels of a mask; fewer determine no shape
SPECK = 0.01
"""Share of a mask that may lie beside its largest area: a slip of the pen, not a second structure."""
MOST_TWICE = 0.25
"""Share of a table's ellipses that may be twice too large. With whole axes it is more: 170 to 180 of 225 of HC18's."""
TOLERATED = {"no spacing", "leaves the frame", "cut off", "low confidence"}
"""Flags of `measure` that a valid mask may have: the frame may cut it, and a binary edge counts as soft."""


class TwiceTooLargeError(UserError):
    """The numbers of one row cannot be, but would be plausible at half the size."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """Own frames. Each configuration name is a separate data set, chosen by the user: `folder/NAME`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder that holds frames.csv and the frames that it names."

    def __init__(self, *, allow_partial: bool = False, **kwargs: Any):
        self.allow_partial = allow_partial
        self.missing: list[str] = []
        self.refused: list[str] = []
        self.notes: list[str] = []
        self.faults: Counter[str] = Counter()
        super().__init__(**kwargs)

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> tfds.core.BuilderConfig:  # noqa: ARG003
        """Make the configuration of any name.

        Raises:
          UserError: the name is not one word.
        """
        if not re.fullmatch(r"\w[\w-]*", name):
            raise UserError(f"folder/{name}: a data set's name is one word of letters, digits, _ and -")
        return tfds.core.BuilderConfig(name=name)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=features.features(), license="the owner's")

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        home = table.find(Path(dl_manager.manual_dir))
        rows, self.missing = table.read(home, self.allow_partial)
        if unused := table.unused(home):
            self.notes.append(f"{table.CSV_NAME} has columns that are not used: {', '.join(unused)}")
        found = list(self._checked(rows, home / table.CSV_NAME))
        parts = {name: [(row, shape) for row, shape in found if row.split == name] for name in table.SPLITS}
        empty = [name for name, part in parts.items() if not part]
        subjects = len({row.subject for row in rows})
        if not found or (set(empty) & {"train", "validation", "test"} and not self.allow_partial):
            bad = len(self.refused)
            if not found:
                raise UserError(f"{home}: all {bad} frames are bad, the first: {self.refused[0]}")
            left_out = f"of {len(rows)} frames {bad} are bad, the first: {self.refused[0]}; " if bad else ""
            raise UserError(
                f"{home}: {left_out}of {len(found)} good frames of {subjects} subjects none falls into "
                f"{', '.join(empty)}: add subjects, name splits in a column split of {table.CSV_NAME}, "
                "or give --allow-partial"
            )
        self.missing += [f"the split {name}: no frame falls into it" for name in empty]
        return {name: self._generate_examples(part) for name, part in parts.items() if part}

    def _checked(self, rows: list[table.Row], path: Path) -> Iterator[tuple[table.Row, Ellipse | Shaft | None]]:
        """Rows with their shapes, before anything is written. A bad frame or mask is left out and listed.

        Raises:
          UserError: many ellipses of the table are twice too large; the others of it then are too.
        """
        twice: list[str] = []
        for row in tqdm(rows, desc="check", unit="frame"):
            try:
                shape = shape_of(row, self.notes.append)
            except UserError as e:
                self.refused.append(f"{row.filename}: {e}")
                twice += self.refused[-1:] if isinstance(e, TwiceTooLargeError) else []
                continue
            unknown = row.plane in SHAPE_OF_PLANE and shape is None
            self.faults["no annotation: trains the plane only"] += unknown
            self.faults["no spacing: no millimetres"] += bool(np.isnan(row.spacing_mm))
            yield row, shape
        self.faults = +self.faults
        ellipses = sum(isinstance(row.shape, Ellipse) for row in rows)
        if len(twice) > max(1, MOST_TWICE * ellipses):
            raise UserError(
                f"{path}: {len(twice)} of {ellipses} ellipses are too large, but not at half the size. These look like "
                f"whole axes: halve a and b in all rows, or correct these rows; the first: {twice[0]}"
            )

    def _generate_examples(
        self, rows: list[tuple[table.Row, Ellipse | Shaft | None]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for row, shape in rows:
            yield row.filename, example(row, shape)


def shape_of(row: table.Row, note: Callable[[str], None]) -> Ellipse | Shaft | None:
    """The shape of a row, from its numbers or its mask; checks that the frame can be decoded.

    Args:
      row: of the table.
      note: called with what was left out of a mask.

    Raises:
      UserError: the frame or the mask cannot be decoded, or the shape is implausible.
    """
    image = to_grey(read_image(row.frame))
    shape = shape_of_mask(row.mask, row.plane, image.shape, note) if row.mask else row.shape
    if shape is not None:
        ends = shape.ends.reshape(-1, 2, 2)
        fault = _fault(shape, row, image.shape)
        if fault:
            twice = isinstance(row.shape, Ellipse) and not _fault(_halved(row.shape), row, image.shape)
            lengths = " x ".join(f"{mm:.1f}" for mm in np.hypot(*(ends[:, 1] - ends[:, 0]).T) * row.spacing_mm)
            size = f" ({lengths} mm at {row.spacing_mm:g} mm per pixel)" if row.spacing_mm > 0 else ""
            place = f"{row.mask} or {table.CSV_NAME}" if row.mask else table.CSV_NAME
            error, fits = (TwiceTooLargeError, "; it fits at half the size: whole axes?") if twice else (UserError, "")
            raise error(f"its {SHAPE_OF_PLANE[row.plane]}: {fault}{size}{fits}; correct {place}")
    return shape


def _fault(shape: Ellipse | Shaft, row: table.Row, frame: tuple[int, ...]) -> str:
    """Why a shape cannot be in its frame (height, width); empty if it can."""
    height, width = frame
    wrong = plausible.fault(row.plane, shape.ends.reshape(-1, 2, 2), (width, height), row.spacing_mm)
    if not wrong and isinstance(shape, Ellipse) and shape.share_inside((0, 0, width, height)) < LEAST_SEEN:
        return f"over {100 * (1 - LEAST_SEEN):.0f} % of its outline is outside the frame"
    return wrong


def _halved(ellipse: Ellipse) -> Ellipse:
    return replace(ellipse, a=ellipse.a / 2, b=ellipse.b / 2)


def shape_of_mask(path: Path, plane: str, size: tuple[int, ...], note: Callable[[str], None]) -> Ellipse | Shaft | None:
    """Fit the shape of a filled mask with `biometry.measure`; an empty mask of an unmeasured plane gives None.

    Specks beside its largest area are left out, and noted.

    Raises:
      UserError: the mask has another size than its frame, is wrongly empty or filled, is not an ellipse or shaft, or
        has a second area.
    """
    inside = read_mask(path, size)
    if is_inverted(inside):
        wanted = f"the {plane} white on black" if plane in SHAPE_OF_PLANE else "an empty mask, which is black, or none"
        raise UserError(f"{path} is bright in the corners of the frame: invert it, or give {wanted}")
    if plane not in SHAPE_OF_PLANE:
        if inside.any():
            raise UserError(f"{path} is not empty, but the plane {plane} is not measured: correct one")
        return None
    if inside.sum() < LEAST_POINTS:
        raise UserError(f"{path} holds {inside.sum()} pixels: draw the {plane}, or remove the mask")
    found = measure(inside.astype(np.float32), plane, None)
    doubts = [flag for flag in found.flags if flag not in TOLERATED]
    if doubts and binary_fill_holes(inside).sum() > 2 * inside.sum():
        raise UserError(f"{path} is an outline: fill it, to the middle of the line, or fit an ellipse to it")
    if doubts:
        raise UserError(f"{path} is not a filled {SHAPE_OF_PLANE[plane]} {_why(found, doubts)}")
    if beside := beside_largest(inside):
        stated = f"{path} has {amount(beside, 'pixel')} beside its largest area"
        if beside > SPECK * inside.sum():
            raise UserError(f"{stated}: draw the {plane} alone, as one area")
        note(f"{stated}: left out")
    return found.ellipse or found.shaft


def _why(found: Measurement, doubts: list[str]) -> str:
    """The doubts about a mask, and the remedy. A line has no thickness: in pixels it may even be several structures."""
    if SHAPE_OF_PLANE[found.plane] == "ellipse":
        return f"({', '.join(doubts)}): draw it again"
    if found.shaft and "implausible shape" in doubts:
        least, most = FEMUR_WIDTHS
        doubts = [f"{found.shaft.length / found.shaft.width:.1f} widths long; {least} to {most} are taken"]
    numbers = ",".join(table.NUMBERS["shaft"])
    return f"({', '.join(doubts)}): draw the bone's thickness, or give {numbers} in {table.CSV_NAME}"


def example(row: table.Row, shape: Ellipse | Shaft | None) -> dict[str, Any]:
    """Make the example of a row: frame, shape, and the millimetres computed from the shape."""
    image = to_grey(read_image(row.frame))
    height, width = image.shape
    # a mask ends at the frame's edge: the length of a cut-off bone is unknown
    cut = bool(row.mask) and isinstance(shape, Shaft) and shape.is_cut_by((0, 0, width, height))
    return features.example(
        image,
        row.plane,
        shape,
        row.spacing_mm,
        subject=row.subject,
        device=row.device,
        filename=row.filename,
        millimetres={} if cut else millimetres(row.plane, shape, row.spacing_mm),
    )


def millimetres(plane: str, shape: Ellipse | Shaft | None, spacing_mm: float) -> dict[str, float]:
    """Sizes of a shape in mm; NaN without a spacing."""
    if isinstance(shape, Shaft):
        return {"fl_mm": shape.length * spacing_mm}
    if shape is None:
        return {}
    if plane == "abdomen":
        return {"ac_mm": shape.perimeter * spacing_mm}
    return {
        "hc_mm": shape.perimeter * spacing_mm,
        "ofd_mm": 2 * shape.a * spacing_mm,
        "bpd_mm": 2 * shape.b * spacing_mm,
    }
