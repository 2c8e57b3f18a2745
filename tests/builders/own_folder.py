"""A small folder of a user's own frames, and its preparation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import tensorflow_datasets as tfds

from fetal_jax.data.source import builder
from tfds_builders.folder import table

TABLE = "frames.csv"
SIZE = (120, 160)


def write_home(home: Path) -> Path:
    """Four subjects, one a split, each with a head and a femur."""
    home.mkdir()
    lines = ["filename,plane,spacing_mm,subject,split,cx,cy,a,b,theta,x1,y1,x2,y2"]
    rng = np.random.default_rng(0)
    for i, split in enumerate(table.SPLITS):
        cv2.imwrite(str(home / f"h{i}.png"), rng.integers(0, 200, SIZE, dtype=np.uint8))
        cv2.imwrite(str(home / f"f{i}.png"), rng.integers(0, 200, SIZE, dtype=np.uint8))
        lines.append(f"h{i}.png,head,1.0,s{i},{split},80,60,50,40,0.3,,,,")
        lines.append(f"f{i}.png,femur,0.5,s{i},{split},,,,,,40,60,120,60")
    (home / TABLE).write_text("\n".join(lines) + "\n")
    return home


def prepare(home, data_dir, name="folder/mine", **options):
    made = builder(name, data_dir, **options)
    made.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=home))
    return made


def planned(home, data_dir, **options):
    """The builder when it has checked everything and is about to write, and the rows of each split."""
    made = builder("folder/mine", data_dir, **options)
    generators = made._split_generators(SimpleNamespace(manual_dir=home))
    return made, {name: list(rows) for name, rows in generators.items()}
