"""TFDS's own conformance test, on synthetic frames made by `python -m tests.support.dummy_data`."""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.fetal_planes.fetal_planes_dataset_builder import Builder


class OfficialTest(tfds.testing.DatasetBuilderTestCase):
    """Four synthetic women, six frames each."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar[list[str]] = ["official"]
    SPLITS: ClassVar[dict[str, int]] = {"train": 12, "validation": 6, "test": 6}


class BiometryTest(OfficialTest):
    """Their frames with calipers, and the benchmark's test women."""

    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar[list[str]] = ["biometry"]
    SPLITS: ClassVar[dict[str, int]] = {"train": 3, "validation": 6, "test": 3}


if __name__ == "__main__":
    tfds.testing.test_main()
