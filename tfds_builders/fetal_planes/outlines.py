"""Our own outlines on frames of FETAL_PLANES_DB, and their split by woman.

`women.csv` (patient, split), `outlines.csv` (a row per frame) and `second_reader.csv` (59 frames drawn a second time)
are our own data, CC BY 4.0. The readers did not see the benchmark's calipers; README.md describes the method.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from fetal_jax.geometry import Ellipse, Shaft

HERE = Path(__file__).parent
SPLITS = ("train", "test")


def women() -> dict[int, str]:
    """Read the split of each woman by her number. Women who are not listed are in no split."""
    with (HERE / "women.csv").open(newline="") as f:
        return {int(row["patient"]): row["split"] for row in csv.DictReader(f)}


def shapes(file: str = "outlines.csv") -> dict[str, Ellipse | Shaft]:
    """Read the outline of each frame by file name, in pixels; pixel (i, j) has its centre at (j + 0.5, i + 0.5).

    A shaft's width is NaN: readers only set its two ends.
    """
    found: dict[str, Ellipse | Shaft] = {}
    with (HERE / file).open(newline="") as f:
        for row in csv.DictReader(f):
            if row["cx"]:
                found[row["filename"]] = Ellipse(*(float(row[key]) for key in ("cx", "cy", "a", "b", "theta")))
            else:
                ends = [[float(row["x1"]), float(row["y1"])], [float(row["x2"]), float(row["y2"])]]
                found[row["filename"]] = Shaft.from_ends(ends, math.nan)
    return found
