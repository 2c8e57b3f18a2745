"""The frames of a cine -> best frame, median and spread of each plane in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.inference.acceptance import WITH_VALUE
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import MEASURED, PRIMARY

COLUMNS = [
    *("file", "plane", "frames", "measured", "best_frame"),
    *(f"best_{name}" for name in MEASURED),
    *(f"median_{name}" for name in MEASURED),
    *(f"spread_{name}" for name in MEASURED),
    *("review", "best_status"),
]
"""Columns of `cines.csv`. The spread is 1.4826 times the median absolute deviation, the SD of a normal distribution."""


@dataclass(frozen=True)
class CinePlane:
    """One plane of one file."""

    plane: str
    best: Row
    """The frame with the fewest flags, then the highest probability of its plane (to 1 %), then the nearest to the
    median. A frame to review only if no frame is `measured`."""
    frames: int
    """Number of frames classified as this plane."""
    measured: int
    review: int
    median: dict[str, float | None]
    spread: dict[str, float | None]

    def cells(self) -> dict[str, Any]:
        """Its row of `cines.csv`."""
        numbers = {f"best_{n}": self.best[n] for n in MEASURED}
        numbers |= {f"median_{n}": self.median[n] for n in MEASURED} | {f"spread_{n}": self.spread[n] for n in MEASURED}
        row = {"file": self.best["file"], "plane": self.plane, "frames": self.frames, "measured": self.measured}
        cells = {name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()}
        counts = {"review": self.review, "best_status": self.best["status"]}
        return row | {"best_frame": self.best["frame"]} | cells | counts


def summarise(rows: list[Row]) -> list[CinePlane]:
    """Summarise each plane of a file that has at least one value; sorted by plane.

    Best frame, median and spread are those of the `measured` frames, or of the frames to review if there are none.
    """
    summaries = []
    for plane in sorted({row["plane"] for row in rows if row["status"] in WITH_VALUE}):
        named = [row for row in rows if row["plane"] == plane]
        measured, review = ([row for row in named if row["status"] == status] for status in WITH_VALUE)
        standing = measured or review
        median = {name: _median(standing, name) for name in MEASURED}
        spread = {name: _spread(standing, name) for name in MEASURED}
        best = surest(standing, PRIMARY[plane], median[PRIMARY[plane]] or 0.0)
        summaries.append(CinePlane(plane, best, len(named), len(measured), len(review), median, spread))
    return summaries


def surest(rows: list[Row], column: str, middle: float) -> Row:
    """The row with the fewest flags, then the highest probability of its plane (to 1 %), then nearest to `middle`."""

    def doubt(row: Row) -> tuple[int, float, float]:
        return len(row["flags"]), -round(row["plane_probability"] or 0, 2), abs(row[column] - middle)

    return min(rows, key=doubt)


def _values(rows: list[Row], name: str) -> NDArray[Any]:
    return np.array([row[name] for row in rows if row[name] is not None])


def _median(rows: list[Row], name: str) -> float | None:
    values = _values(rows, name)
    return float(np.median(values)) if len(values) else None


def _spread(rows: list[Row], name: str) -> float | None:
    values = _values(rows, name)
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else None
