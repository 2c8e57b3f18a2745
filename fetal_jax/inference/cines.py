"""The frames of a cine -> for each plane in it, its best frame and what the frames say together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.outputs.results import Row
from fetal_jax.planes import MEASURED, PRIMARY

COLUMNS = [
    *("file", "plane", "frames", "measured", "best_frame"),
    *(f"best_{name}" for name in MEASURED),
    *(f"median_{name}" for name in MEASURED),
    *(f"spread_{name}" for name in MEASURED),
]
"""Of `cines.csv`; the spread is 1.4826 times the median absolute deviation, the SD of a normal distribution."""


@dataclass(frozen=True)
class Summary:
    """One plane of one file."""

    plane: str
    best: Row
    """Of the measured frames without a flag, if there are any, the one that is most surely this plane (to a per cent),
    and of those the one nearest to the median."""
    frames: int
    """How many frames were named as this plane."""
    measured: int
    median: dict[str, float | None]
    spread: dict[str, float | None]

    def cells(self) -> dict[str, Any]:
        """Its row of `cines.csv`."""
        numbers = {f"best_{n}": self.best[n] for n in MEASURED}
        numbers |= {f"median_{n}": self.median[n] for n in MEASURED} | {f"spread_{n}": self.spread[n] for n in MEASURED}
        row = {"file": self.best["file"], "plane": self.plane, "frames": self.frames, "measured": self.measured}
        told = {name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()}
        return row | {"best_frame": self.best["frame"]} | told


def summarise(rows: list[Row]) -> list[Summary]:
    """The planes of a file's rows that at least one frame was measured in, by name."""
    summaries = []
    for plane in sorted({row["plane"] for row in rows if row["status"] == "measured"}):
        named = [row for row in rows if row["plane"] == plane]
        measured = [row for row in named if row["status"] == "measured"]
        median = {name: _median(measured, name) for name in MEASURED}
        spread = {name: _spread(measured, name) for name in MEASURED}
        primary = PRIMARY[plane]
        middle = median[primary] or 0.0

        def doubt(row: Row, primary: str = primary, middle: float = middle) -> tuple[int, float, float]:
            return len(row["flags"]), -round(row["plane_probability"] or 0, 2), abs(row[primary] - middle)

        summaries.append(Summary(plane, min(measured, key=doubt), len(named), len(measured), median, spread))
    return summaries


def _values(rows: list[Row], name: str) -> NDArray[Any]:
    return np.array([row[name] for row in rows if row[name] is not None])


def _median(rows: list[Row], name: str) -> float | None:
    values = _values(rows, name)
    return float(np.median(values)) if len(values) else None


def _spread(rows: list[Row], name: str) -> float | None:
    values = _values(rows, name)
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else None
