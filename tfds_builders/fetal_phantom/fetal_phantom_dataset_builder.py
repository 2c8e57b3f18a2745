"""TFDS builder of drawn frames: heads, abdomens, femurs and none of them, from seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from tfds_builders import features
from tfds_builders.fetal_phantom.phantom import draw

PLANES = ("head", "abdomen", "femur", "other")
FIRST_SEED = {"train": 0, "validation": 100_000, "test": 200_000}
"""Splits share no seed; 300,000 and above are for frames that no split holds."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """Drawn frames. `small` is what the demo trains on."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name="small", description="1,600 frames to train on"),
        tfds.core.BuilderConfig(name="large", description="8,000 frames to train on"),
    ]
    COUNTS: ClassVar[dict[str, dict[str, int]]] = {
        "small": {"train": 1600, "validation": 64, "test": 160},
        "large": {"train": 8000, "validation": 400, "test": 800},
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn ultrasound frames with exact geometry and millimetres.",
            features=features.features(),
            license="Apache-2.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        counts = self.COUNTS[self.builder_config.name]
        return {split: self._generate_examples(FIRST_SEED[split], n) for split, n in counts.items()}

    def _generate_examples(self, first: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for seed in range(first, first + count):
            yield seed, example(PLANES[seed % len(PLANES)], seed)


def example(plane: str, seed: int) -> dict[str, Any]:
    """The drawn frame of a plane and a seed, with the features of every builder."""
    phantom = draw(plane, seed)
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
