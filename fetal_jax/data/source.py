"""Prepared data sets, opened by name: frames with their geometry as objects."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from numpy.typing import NDArray

from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket, user_cache
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES, MILLIMETRES, PLANES

Array = NDArray[Any]
BUILDERS = ("fetal_phantom", "fetal_planes", "folder", "hc18")
SHAPES: dict[str, type[Ellipse | Shaft]] = {"ellipse": Ellipse, "shaft": Shaft}
FOLDS = 5


@dataclass(frozen=True)
class Frame:
    """A labelled frame: grey pixels at their native size, and its annotation."""

    image: Array  # (H, W) uint8
    plane: str | None
    geometry: str  # one of planes.GEOMETRIES
    shape: Ellipse | Shaft | None  # in the frame's pixels
    spacing_mm: float | None
    truth_mm: dict[str, float]  # those of planes.MILLIMETRES that are known
    subject: str
    filename: str
    device: str = ""  # the machine, empty where unknown


def builder(name: str, data_dir: str | Path, **options: Any) -> Any:
    """Make the TFDS builder `name` or `name/config` without TensorFlow. A configuration of `folder` may have any name.

    Raises:
      UserError: there is no builder, or no configuration, of that name.
    """
    base, _, config = name.partition("/")
    if base not in BUILDERS:
        raise UserError(f"{name}: no such data set; there are {', '.join(BUILDERS)}; your own frames are folder/NAME")
    cls = importlib.import_module(f"tfds_builders.{base}.{base}_dataset_builder").Builder
    configs = [c.name for c in cls.BUILDER_CONFIGS]
    if config and configs and config not in configs:
        raise UserError(f"{name}: no such configuration; {base} has {', '.join(configs) or 'none'}")
    return cls(data_dir=str(data_dir), file_format="array_record", config=config or None, **options)


def on_disk(name: str, data_dir: str | Path) -> str | Path:
    """Return the folder of a data set on this host's disk: `data_dir`, or a copy of one in a bucket (`gs://`).

    Frames are read at random and memory-mapped, which a bucket does not allow. The copy is made once, in
    `files.user_cache()`, and again if the data set has changed. Several processes may call this at once.

    Raises:
      UserError: the data set is not in the bucket, or cannot be copied.
    """
    if not in_bucket(data_dir):
        return data_dir
    cache = user_cache()
    place = Path(builder(name, cache).data_dir).relative_to(cache)  # name, configuration, version
    there = epath.Path(data_dir) / place
    try:
        info = (there / "dataset_info.json").read_bytes()
    except FileNotFoundError:
        raise UserError(f"{name} is not in {data_dir}: prepare it on disk and copy its data directory there") from None
    here = cache / f"{zlib.crc32(str(data_dir).encode() + info):08x}"
    if not (here / place).is_dir():
        unfinished = here / f"{uuid.uuid4().hex}"
        try:
            unfinished.mkdir(parents=True)
            for file in there.iterdir():
                if not file.is_dir():
                    file.copy(unfinished / file.name)
            (here / place).parent.mkdir(parents=True, exist_ok=True)
            unfinished.rename(here / place)
        except OSError as e:
            if not (here / place).is_dir():  # otherwise another process was faster
                raise UserError(
                    f"{there} cannot be copied to {here} ({e.strerror or e}): make room, or set XDG_CACHE_HOME"
                ) from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return here


def splits(name: str, data_dir: str | Path) -> tuple[str, ...]:
    """Names of the splits of a data set; empty if it is not prepared."""
    return tuple(builder(name, on_disk(name, data_dir)).info.splits)


class Part(Sequence[Any]):
    """Some elements of a sequence, opened on access. Pickled as the sequence and the indices."""

    def __init__(self, whole: Sequence[Any], indices: Sequence[int]):
        self.whole, self.indices = whole, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.whole[self.indices[i]]


def fold_of(subjects: Sequence[str], fold: int) -> list[bool]:
    """Whether each frame belongs to a fold: every fifth subject, in the order of their names.

    Args:
      subjects: the subject of each frame of a split.
      fold: 0 to `FOLDS` - 1.
    """
    own = set(sorted(set(subjects))[fold::FOLDS])
    return [subject in own for subject in subjects]


class Split:
    """Random access to the frames of one split, in a folder or a bucket.

    A split may be one fold of another (`fold_of`): `train/fold0` to `train/fold4`.
    """

    def __init__(self, name: str, split: str, data_dir: str | Path):
        made = builder(name, on_disk(name, data_dir))
        try:
            there = made.info.splits
            if not there or not Path(made.data_dir).is_dir():
                raise FileNotFoundError
        except (FileNotFoundError, ValueError):
            raise UserError(
                f"{name} is not in {data_dir}: name the folder that has it, or run "
                f"fetal-jax prepare {name} --data-dir={data_dir}"
            ) from None
        whole, of, fold = split.partition("/fold")
        if whole not in there or (of and fold not in map(str, range(FOLDS))):
            raise UserError(f"{name} has no split {split}; it has {', '.join(there)}")
        self.dataset, self.name, self.folder = str(made.info.full_name), split, Path(made.data_dir)
        self._made, self._whole = made, whole
        self._own: Sequence[int] | None = None
        if of:
            subjects = [record["subject"].decode() for record in self._open("segmentation_mask", "image")]
            self._own = [i for i, own in enumerate(fold_of(subjects, int(fold))) if own]
        self._records = self._open("segmentation_mask")

    def _open(self, *undecoded: str) -> Sequence[Any]:
        decoders = dict.fromkeys(undecoded, tfds.decode.SkipDecoding())
        records = self._made.as_data_source(self._whole, decoders=decoders)
        return records if self._own is None else Part(records, self._own)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: int) -> Frame:
        record = self._records[i]
        return Frame(image=record["image"][..., 0], **_label(record))

    @cached_property
    def digest(self) -> str:
        """Digest of the data set's version and of all annotations, rounded to four digits.

        Pixels and further digits are left out because they depend on the processor: in the same synthetic frame a
        dozen pixels differ by one grey level.
        """
        return self._digest_as(self.dataset)

    def _digest_as(self, dataset: str) -> str:
        digest = hashlib.sha256(f"{dataset} {len(self)}".encode())
        for label in map(_label, self._open("segmentation_mask", "image")):
            shape, spacing, truth = label.pop("shape"), label.pop("spacing_mm"), label.pop("truth_mm")
            del label["device"]  # is no part of the label, and digests of older bundles do not include it
            numbers = [*(np.asarray(shape) if shape else ()), spacing or 0, *truth.values()]
            values = [*label.values(), *truth, *(f"{round(x, 4) + 0.0:.4g}" for x in numbers)]  # + 0.0: no "-0"
            digest.update(repr(values).encode())
        return digest.hexdigest()[:12]

    @cached_property
    def subjects(self) -> frozenset[str]:
        """The subjects of all frames."""
        return frozenset(record["subject"].decode() for record in self._open("segmentation_mask", "image"))

    @property
    def fingerprint(self) -> str:
        """Name and version of the data set, number of frames, digest."""
        return f"{self.dataset} {len(self)} frames {self.digest}"

    def fingerprint_as(self, dataset: str) -> str:
        """The fingerprint that the same frames have in a data set of another name and version."""
        return f"{dataset} {len(self)} frames {self._digest_as(dataset)}"


def _label(record: dict[str, Any]) -> dict[str, Any]:
    """A record without the pixels."""
    geometry = GEOMETRIES[int(record["geometry"])]
    shape = SHAPES.get(geometry)
    return {
        "plane": PLANES[int(record["plane"])] if record["plane"] >= 0 else None,
        "geometry": geometry,
        "shape": shape(*map(float, record[geometry])) if shape else None,
        "spacing_mm": None if np.isnan(record["spacing_mm"]) else float(record["spacing_mm"]),
        "truth_mm": {k: float(record[k]) for k in MILLIMETRES if not np.isnan(record[k])},
        "subject": record["subject"].decode(),
        "filename": record["filename"].decode(),
        "device": record["device"].decode(),
    }
