"""TFDS's own conformance test. The builder draws its frames itself: there is no dummy data."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from unittest import mock

import tensorflow_datasets as tfds

from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder


class FetalPhantomTest(tfds.testing.DatasetBuilderTestCase):
    """Both configurations, a few frames of each split."""

    DATASET_CLASS = Builder
    EXAMPLE_DIR = Path(__file__).parent
    SPLITS: ClassVar[dict[str, int]] = {"train": 3, "validation": 1, "test": 2}

    def setUp(self) -> None:
        """Reduce the number of frames."""
        super().setUp()
        few = mock.patch.object(Builder, "COUNTS", {"small": self.SPLITS, "large": self.SPLITS})
        few.start()
        self.addCleanup(few.stop)


if __name__ == "__main__":
    tfds.testing.test_main()
