"""TFDS builder of synthetic frames from seeds: heads, abdomens, femurs and other planes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from tfds_builders import features
from tfds_builders.fetal_phantom.acoustics import USUAL, Machine
from tfds_builders.fetal_phantom.phantom import draw

PLANES = {
    "small": ("head", "abdomen", "femur", "other"),
    "large": ("head", "abdomen", "other", "femur", "head", "thorax", "abdomen", "femur", "cervix"),
}
"""Planes in the order of the seeds, repeated. A third of `large` has no measured structure."""

MACHINES = {"small": Machine(240, 320, clear=True), "large": USUAL}

FIRST_SEED = {"train": 0, "validation": 100_000, "calibration": 150_000, "test": 200_000}
"""First seed of each split. Splits share no seed; seeds from 300,000 on are in no split."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """Synthetic frames. The demo trains on `small`: clear frames of few pixels."""

    VERSION = tfds.core.Version("3.2.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "2.0.0": "Beams, scatterers and scan conversion; thorax and cervix; what machines print on their frames.",
        "3.0.0": "Bent and uneven anatomy, streaks, dark beams, darker grey levels of `large`; `small` as it was.",
        "3.1.0": "Fewer limbs and less fluid round a femur, more fluid round an abdomen.",
        "3.2.0": "A calibration split, for intervals; the other splits as they were.",
    }
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name="small", description="3,200 clear frames of 320 x 240 to train on"),
        tfds.core.BuilderConfig(name="large", description="4,500 frames of 640 x 480 to train on"),
    ]
    COUNTS: ClassVar[dict[str, dict[str, int]]] = {
        "small": {"train": 3200, "validation": 160, "calibration": 160, "test": 160},
        "large": {"train": 4500, "validation": 450, "calibration": 900, "test": 900},
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features.features(),
            license="Apache-2.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        counts = self.COUNTS[self.builder_config.name]
        return {split: self._generate_examples(FIRST_SEED[split], n) for split, n in counts.items()}

    def _generate_examples(self, first: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        name = self.builder_config.name
        for seed in range(first, first + count):
            yield seed, example(PLANES[name][seed % len(PLANES[name])], seed, MACHINES[name])


def example(plane: str, seed: int, machine: Machine = USUAL) -> dict[str, Any]:
    """Make the example of the synthetic frame for a plane, a seed and a machine."""
    phantom = draw(plane, seed, machine)
    return features.example(
        phantom.image,
        plane,
        phantom.shape,
        phantom.spacing_mm,
        subject=f"phantom{seed}",
        device="phantom",
        filename=f"{plane}_{seed}.png",
        millimetres=phantom.millimetres,
    )
