"""TFDS builder of HC18 (van den Heuvel et al., PLoS ONE 2018, doi 10.1371/journal.pone.0200412; CC BY 4.0)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fetal_jax.biometry import direct_fit, residuals
from fetal_jax.errors import UserError
from fetal_jax.geometry import HALF_PIXEL, Ellipse
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image
from tfds_builders import features
from tfds_builders.hc18 import folder

LEAST_POINTS = 20
LARGEST_RESIDUAL = 1.0  # pixels; the root mean square of 899 frames is at most 0.76


class Builder(tfds.core.GeneratorBasedBuilder):
    """HC18's training set, with the ellipse of each outline, and the frames of its test set, which has no outlines.

    Configs: `examinations` draws its own test examinations at random; `benchmark` uses those of the multi-centre fetal
    biometry benchmark (arXiv 2512.16710), and needs its split file. Both split by examination.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "1.1.0": "A split `unlabelled`: the official test set, if the folder holds it. Other splits are unchanged.",
    }
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name="examinations", description="test examinations drawn at random"),
        tfds.core.BuilderConfig(name="benchmark", description="test examinations of arXiv 2512.16710"),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder that holds training_set/ and training_set_pixel_size_and_HC.csv (Zenodo record 1327317)."
    )

    def __init__(self, *, allow_partial: bool = False, **kwargs: Any):
        self.allow_partial = allow_partial
        self.missing: list[str] = []
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features.features(),
            homepage="https://hc18.grand-challenge.org",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        manual_dir = Path(dl_manager.manual_dir)
        home = folder.find(manual_dir)
        rows, self.missing = folder.read(home, self.allow_partial)
        tests = folder.benchmark_tests(home) if self.builder_config.name == "benchmark" else None
        splits = folder.split(rows, tests)
        empty = [name for name, part in splits.items() if not part]
        if empty:
            raise UserError(
                f"{home}: of {len(rows)} frames none falls into {', '.join(empty)}; more examinations are needed"
            )
        unlabelled, absent = folder.read_unlabelled(home, self.allow_partial)
        self.missing += absent
        splits |= {"unlabelled": unlabelled} if unlabelled else {}
        return {name: self._generate_examples(part) for name, part in splits.items()}

    def _generate_examples(self, rows: list[folder.Row]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            yield row.name, example(row)


def example(row: folder.Row) -> dict[str, Any]:
    """Make the example of one row, with the ellipse fitted to its outline if it has one."""
    image = to_grey(read_image(row.frame))
    ellipse, millimetres = None, {}
    if row.outline:
        ellipse = outline_ellipse(row.outline, image.shape[:2])
        diameters = {"ofd_mm": 2 * ellipse.a * row.spacing_mm, "bpd_mm": 2 * ellipse.b * row.spacing_mm}
        millimetres = {"hc_mm": row.hc_mm} | diameters
    return features.example(
        image,
        "head",
        ellipse,
        row.spacing_mm,
        subject=row.examination,
        device="",
        filename=row.name,
        millimetres=millimetres,
    )


def outline_ellipse(path: Path, shape: tuple[int, ...]) -> Ellipse:
    """Fit an ellipse to a one-pixel outline, in pixels. An outline that leaves the frame is open and never filled.

    Raises:
      UserError: the outline has too few points or another size than the frame, or is not an ellipse.
    """
    outline = to_grey(read_image(path))
    if outline.shape != shape[:2]:
        sizes = [f"{s[1]}x{s[0]}" for s in (outline.shape, shape)]
        raise UserError(f"{path} is {sizes[0]}, its frame {sizes[1]}: copy both again")
    rows, columns = np.nonzero(outline > 127)
    points = np.stack([columns, rows], axis=1) + HALF_PIXEL
    if len(points) < LEAST_POINTS:
        raise UserError(f"{path} has an outline of {len(points)} points; an ellipse takes at least {LEAST_POINTS}")
    ellipse = direct_fit(points)
    off = np.inf if ellipse is None else float(np.sqrt(np.mean(residuals(ellipse, points) ** 2)))
    if ellipse is None or off > LARGEST_RESIDUAL:
        raise UserError(f"{path}: its outline is not an ellipse (off by {off:.1f} pixels): draw it again")
    return ellipse
