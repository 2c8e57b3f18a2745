"""TFDS builder of people's own frames: a table beside images, with geometry in the table or in filled masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from fetal_jax.biometry import measure
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image
from fetal_jax.reading.masks import read_mask
from tfds_builders import features
from tfds_builders.fetal_planes import calipers
from tfds_builders.folder import table

LEAST_POINTS = 20  # pixels of a mask: fewer hold no shape
TOLERATED = {"no spacing", "leaves the frame", "cut off", "low confidence"}
"""What `measure` says of a good mask: it is cut at the frame, and as sharp as a binary map is."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """Own frames. Any configuration is a data set of its own, named by its owner: `folder/NAME`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder that holds frames.csv and the frames that it names."

    def __init__(self, *, allow_partial: bool = False, **kwargs: Any):
        self.allow_partial = allow_partial
        self.missing: list[str] = []
        self.faults: Counter[str] = Counter()
        super().__init__(**kwargs)

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> tfds.core.BuilderConfig:  # noqa: ARG003
        """The configuration of any name: nobody but its owner knows it.

        Raises:
          UserError: the name is no plain word.
        """
        if not re.fullmatch(r"\w[\w-]*", name):
            raise UserError(f"folder/{name}: a data set's name is one word of letters, digits, _ and -")
        return tfds.core.BuilderConfig(name=name)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=features.features(), license="the owner's")

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        home = table.find(Path(dl_manager.manual_dir))
        rows, self.missing = table.read(home, self.allow_partial)
        found = list(self._checked(rows))
        parts = {name: [(row, shape) for row, shape in found if row.split == name] for name in table.SPLITS}
        empty = [name for name, part in parts.items() if not part]
        subjects = len({row.subject for row in rows})
        if not found or (set(empty) & {"train", "validation", "test"} and not self.allow_partial):
            bad = len(rows) - len(found)
            left_out = f"; {bad} are bad, the first: {self.missing[-bad]}" if bad else ""
            raise UserError(
                f"{home}: of {len(found)} good frames of {subjects} subjects none falls into {', '.join(empty)}: add "
                f"subjects, name splits in a column split of {table.CSV_NAME}, or give --allow-partial{left_out}"
            )
        self.missing += [f"the split {name}: no frame falls into it" for name in empty]
        return {name: self._generate_examples(part) for name, part in parts.items() if part}

    def _checked(self, rows: list[table.Row]) -> Iterator[tuple[table.Row, Ellipse | Shaft | None]]:
        """Rows with their shapes. A bad frame or mask is left out and listed; nothing is written yet."""
        for row in tqdm(rows, desc="check", unit="frame"):
            try:
                shape = shape_of(row)
            except UserError as e:
                self.missing.append(f"{row.filename}: {e}")
                continue
            unknown = row.plane in SHAPE_OF_PLANE and shape is None
            self.faults["nobody measured it: trains the plane alone"] += unknown
            self.faults["no spacing: no millimetres"] += bool(np.isnan(row.spacing_mm))
            yield row, shape
        self.faults = +self.faults

    def _generate_examples(
        self, rows: list[tuple[table.Row, Ellipse | Shaft | None]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for row, shape in rows:
            yield row.filename, example(row, shape)


def shape_of(row: table.Row) -> Ellipse | Shaft | None:
    """The shape of a row, from its numbers or its mask, on a frame that decodes.

    Raises:
      UserError: the frame or the mask does not decode, or the shape cannot be.
    """
    image = to_grey(read_image(row.frame))
    shape = shape_of_mask(row.mask, row.plane, image.shape) if row.mask else row.shape
    if shape is not None:
        fault = calipers.fault(row.plane.capitalize(), shape.ends.reshape(-1, 2, 2), image.shape[::-1], row.spacing_mm)
        if fault:
            raise UserError(f"its {SHAPE_OF_PLANE[row.plane]}: {fault}; mend {row.mask or table.CSV_NAME}")
    return shape


def shape_of_mask(path: Path, plane: str, size: tuple[int, ...]) -> Ellipse | Shaft | None:
    """The shape that our own measuring step finds in a filled mask; of an empty one, None.

    Raises:
      UserError: a mask of another size, an empty or a filled one where it must not be, or one of another shape.
    """
    inside = read_mask(path, size)
    if plane not in SHAPE_OF_PLANE:
        if inside.any():
            raise UserError(f"{path} is not empty, but the plane {plane} is not measured: mend one")
        return None
    if inside.sum() < LEAST_POINTS:
        raise UserError(f"{path} holds {inside.sum()} pixels: draw the {plane}, or remove the mask")
    found = measure(inside.astype(np.float32), plane, None)
    doubts = [flag for flag in found.flags if flag not in TOLERATED]
    if doubts:
        raise UserError(f"{path} is no filled {SHAPE_OF_PLANE[plane]} ({', '.join(doubts)}): draw it again")
    return found.ellipse or found.shaft


def example(row: table.Row, shape: Ellipse | Shaft | None) -> dict[str, Any]:
    """The frame of a row, its shape and the millimetres that follow from them."""
    image = to_grey(read_image(row.frame))
    height, width = image.shape
    # a mask ends with the frame, and says nothing of how long the bone is
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
    """What a shape measures; NaN without a spacing."""
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
