"""TFDS's own conformance test, on synthetic frames made by `python -m tests.support.dummy_data`."""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.hc18.hc18_dataset_builder import Builder


class HC18Test(tfds.testing.DatasetBuilderTestCase):
    """Both configurations: one synthetic examination is the test split, by its number or by the benchmark's file."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar[dict[str, int]] = {"train": 2, "validation": 2, "calibration": 2, "test": 2, "unlabelled": 2}


if __name__ == "__main__":
    tfds.testing.test_main()
