"""TFDS's own conformance test, on synthetic frames made by `python -m tests.support.dummy_data`."""

from __future__ import annotations

from typing import ClassVar

import skimage.morphology  # noqa: F401  (reads .npy files at import, which TFDS's test harness forbids)
import tensorflow_datasets as tfds

from tfds_builders.folder.folder_dataset_builder import Builder


class FolderTest(tfds.testing.DatasetBuilderTestCase):
    """Four synthetic subjects, each with one frame with a mask and one with numbers."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar[dict[str, int]] = {"train": 4, "validation": 2, "test": 2}


if __name__ == "__main__":
    tfds.testing.test_main()
