"""TFDS builder of FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 2020, doi 10.1038/s41598-020-67076-5; CC BY 4.0)."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError

from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft, size
from fetal_jax.planes import PRIMARY
from fetal_jax.preprocess import to_grey
from fetal_jax.reading import depth_ruler
from fetal_jax.reading.images import read_image
from fetal_jax.reading.spacing import agree
from tfds_builders import features
from tfds_builders.fetal_planes import calipers, folder, outlines

ARCHIVE = "https://zenodo.org/records/3904280/files/FETAL_PLANES_ZENODO.zip"


class Builder(tfds.core.GeneratorBasedBuilder):
    """FETAL_PLANES_DB's frames, with the geometry and scale of the benchmark's calipers if available.

    Configs: `official` uses the data set's own test flag. `biometry` has only frames with calipers, and tests on every
    woman whom a file of the benchmark (arXiv 2512.16710) tests on. Both draw a validation split by woman. `outlines`
    has the women of `women.csv`, with outlines drawn by our readers; only its test frames have calipers.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name="official", description="all frames, the data set's train and test flag"),
        tfds.core.BuilderConfig(name="biometry", description="frames with calipers, the split of arXiv 2512.16710"),
        tfds.core.BuilderConfig(name="outlines", description="the women of women.csv, outlines of our own"),
    ]

    MANUAL_DOWNLOAD_INSTRUCTIONS = (  # optional: without a folder the archive is downloaded
        "Give the folder that holds Images/ and FETAL_PLANES_DB_data.csv (Zenodo record 3904280)."
    )

    def __init__(self, *, allow_partial: bool = False, **kwargs: Any):
        self.allow_partial = allow_partial
        self.missing: list[str] = []
        self.refused: list[str] = []
        self.faults: Counter[str] = Counter()
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features.features(),
            homepage="https://zenodo.org/records/3904280",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        home = folder.find(source(dl_manager, ARCHIVE in (self.url_infos or {})))
        table = folder.read(home)
        marks = calipers.find(home)
        found = calipers.read(marks, {row.frame.stem for row in table}) if marks else calipers.Benchmark()
        rows, self.missing = folder.present(table, home, self.allow_partial)
        self.faults.update(found.faults)
        tests = None
        if self.builder_config.name == "biometry":
            if not found.calipers:
                raise UserError(f"{home} has no {calipers.ANNOTATIONS} in it or beside it: add it, or build official")
            tests = found.test_patients
            rows = [row for row in rows if row.name in found.calipers and found.calipers[row.name].shape]
        if self.builder_config.name == "outlines":
            if not found.calipers:
                self.missing.append(f"{calipers.ANNOTATIONS}: test frames have no geometry without it")
            of = outlines.women()
            splits = {name: [row for row in rows if of.get(row.patient) == name] for name in outlines.SPLITS}
            seen = {row.name for row in splits["test"]}  # test frames keep the calipers, unseen by readers
            found.calipers = {name: marks for name, marks in found.calipers.items() if name in seen}
        else:
            splits = folder.split(rows, tests)
        empty = [name for name, part in splits.items() if not part]
        if empty and not self.allow_partial:
            raise UserError(f"{home}: of {len(rows)} frames none falls into {', '.join(empty)}; copy the whole set")
        self.missing += [f"the split {name}: none of its frames is here" for name in empty]
        drawn = outlines.shapes() if self.builder_config.name == "outlines" else {}
        return {name: self._generate_examples(part, found.calipers, drawn) for name, part in splits.items() if part}

    def _generate_examples(
        self,
        rows: list[folder.Row],
        marks: dict[str, calipers.Calipers],
        drawn: dict[str, Ellipse | Shaft],
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            try:
                outlined = row.name in drawn and row.name not in marks
                yield (
                    row.name,
                    outlined_example(row, drawn[row.name])
                    if outlined
                    else example(row, marks.get(row.name), self.faults),
                )
            except UserError as e:  # one bad frame must not cost 12,399 good ones
                self.refused.append(str(e))
                logging.warning("refused: %s", e)
        for fault, count in self.faults.items():
            logging.info("%s: %d", fault, count)


def source(dl_manager: Any, registered: bool) -> Path:
    """The folder given by `--manual-dir`, else the archive, downloaded and unpacked.

    TFDS checks the archive's size and SHA-256 if `checksums.tsv` has them (`registered`); the checksums of its members
    are always checked.

    Raises:
      UserError: the archive cannot be downloaded, or is damaged.
    """
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError:  # TFDS: no folder was given, or it is empty
        pass
    try:
        archive = Path(dl_manager.download(ARCHIVE))
    except NonMatchingChecksumError:
        got = f"{ARCHIVE} came with another size or SHA-256 than checksums.tsv registers"
        raise UserError(f"{got}: prepare again, or fetch it by hand and give --manual-dir") from None
    except (OSError, DownloadError) as e:
        reason = " ".join(str(e).split())[:120]
        raise UserError(f"{ARCHIVE} cannot be downloaded ({reason}): fetch it by hand and give --manual-dir") from None
    if not registered:
        logging.warning("%s is taken as it came: checksums.tsv registers no SHA-256 of it", ARCHIVE)
    unpacked = archive.with_name(f"{archive.name}.unpacked")
    if not unpacked.is_dir():  # TFDS can only unpack with TensorFlow
        unfinished = unpacked.with_name(f"{unpacked.name}.unfinished")
        try:
            with zipfile.ZipFile(archive) as z:
                z.extractall(unfinished)
        except (zipfile.BadZipFile, zlib.error) as e:
            raise UserError(f"{archive} is damaged ({e}): remove it and prepare again") from None
        unfinished.rename(unpacked)
    return unpacked


def example(row: folder.Row, marks: calipers.Calipers | None, faults: Counter[str]) -> dict[str, Any]:
    """Make the example of one row with its calipers, in the scale of the frame's ruler if it contradicts their rate.

    `faults` counts such contradictions.

    Raises:
      UserError: the frame cannot be decoded, or has not the size on which its calipers were set.
    """
    image = to_grey(read_image(row.frame))
    if marks and marks.size != image.shape[::-1]:
        sizes = [f"{w}x{h}" for w, h in (image.shape[::-1], marks.size)]
        raise UserError(f"{row.frame} is {sizes[0]}, its calipers were set on {sizes[1]}: copy it again")
    if marks and marks.shape:
        marks, fault = calipers.with_ruler(marks, depth_ruler.read(image))
        faults.update([fault] if fault else [])
    return features.example(
        image,
        row.plane,
        marks.shape if marks else None,
        marks.spacing_mm if marks else math.nan,
        subject=f"{row.patient:05d}",
        device=row.device,
        filename=row.name,
        millimetres=marks.millimetres if marks else {},
    )


def outlined_example(row: folder.Row, shape: Ellipse | Shaft) -> dict[str, Any]:
    """Make the example of one row with one of our outlines, in millimetres if the frame's depth ruler can be read.

    Raises:
      UserError: the frame cannot be decoded.
    """
    image = to_grey(read_image(row.frame))
    mm = depth_ruler.read(image).mm
    spacing_mm = mm[0] if mm and agree(mm, mm[::-1]) else math.nan  # one number needs square pixels
    own = {PRIMARY[row.plane]: size(shape) * spacing_mm}
    return features.example(
        image,
        row.plane,
        shape,
        spacing_mm,
        subject=f"{row.patient:05d}",
        device=row.device,
        filename=row.name,
        millimetres=own,
    )
