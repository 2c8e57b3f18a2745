"""TFDS's own conformance test, on frames drawn by `python -m tests.dummy_data`."""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.folder.folder_dataset_builder import Builder


class FolderTest(tfds.testing.DatasetBuilderTestCase):
    """Four drawn subjects, a frame with a mask and one with numbers each."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar[dict[str, int]] = {"train": 4, "validation": 2, "test": 2}


if __name__ == "__main__":
    tfds.testing.test_main()
