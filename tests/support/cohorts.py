"""A results folder of `fetal-jax archive`, made of women drawn from a growth standard."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fetal_jax.growth import reference
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY

PLANES = {"hc": "head", "ac": "abdomen", "fl": "femur"}
MONTHS = [f"2025-{m:02d}" for m in range(1, 13)]
DRIFTED = ("Maker E10 #000000", MONTHS[4])
"""The machine and the month that a drift is planted in."""
SHAPE = {"ellipse_px": [60.0, 50.0, 30.0, 24.0, 0.0], "shaft_px": [30.0, 50.0, 90.0, 50.0, 6.0]}


def name_of(text: str) -> str:
    """A name as a keyed hash looks."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make(
    folder: Path,
    examinations: int,
    drift: float = 1.0,
    seed: int = 0,
    devices: int = 3,
    known_age: bool = True,
    odd: Mapping[str, Any] | None = None,
) -> Path:
    """Write `frames/`, `examinations/` and `dead_letters/`; three frames an examination.

    Args:
      folder: where to.
      examinations: how many, spread evenly over machines and months.
      drift: factor of all sizes of the machine and month `DRIFTED`.
      seed: of the draws.
      devices: number of machines.
      known_age: whether the ages are known otherwise than by the sizes.
      odd: changes of the first examination's frames.
    """
    rng = np.random.default_rng(seed)
    weeks = np.round(rng.uniform(18, 38, examinations), 1)
    z = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), examinations)
    frames, visits = [], []
    for i in range(examinations):
        device, month = f"Maker E10 #{i % devices:06x}", MONTHS[i // devices % 12]
        factor = drift if (device, month) == DRIFTED else 1.0
        name = {"examination": name_of(f"e{i}"), "patient": name_of(f"p{i}"), "fetus": None, "day": i}
        visit = name | {"status": "measured", "standard": "hadlock", "ga_weeks": float(weeks[i]), "notes": ""}
        visit |= {"contradictory": False}
        visit |= {"ga_formula": "Hadlock 1984 (HC, AC, FL)"}
        visit |= {
            "known_ga_weeks": float(weeks[i]) if known_age else None,
            "known_ga_by": "stated" if known_age else None,
        }
        for k, (m, plane) in enumerate(PLANES.items()):
            chart = _chart(m, float(weeks[i]))
            mm = factor * (chart[0] + chart[1] * float(z[i, k]))
            status = "review" if i % 17 == 0 and m == "fl" else "measured"
            file = f"/archive/DOE_JANE_{i}/{m}.dcm"
            frame = dict.fromkeys((*COLUMNS, *GEOMETRY, "report", "bundle", "version", "versions")) | name
            frame |= {"file": file, "frame": 0, "status": status, "plane": plane, f"{m}_mm": mm, "flags": []}
            frame |= {"reason": "the outline has gaps (12 %): look" if status == "review" else None, "version": "0"}
            frame |= {"spacing_mm": 0.2, "instance": name_of(file), "device": device, "month": month}
            frame |= {"operator": name_of(f"o{i % 7}"), "bundle": "b", "versions": "numpy 2", "day": i}
            frame |= {"shaft_px": SHAPE["shaft_px"]} if m == "fl" else {"ellipse_px": SHAPE["ellipse_px"]}
            frames.append(frame | (odd if i == 0 and odd else {}))
            visit |= {f"{m}_mm": mm, f"{m}_z": (mm - chart[0]) / chart[1], f"{plane}_status": status}
            visit |= {f"{plane}_best_file": file, f"{plane}_best_frame": 0}
        if i % 50 == 0:
            reason = f"/archive/DOE_JANE_{i}/x.dcm: it shows no measured plane (other 97 %)"
            refused = (
                dict.fromkeys(frames[-1]) | name | {"file": f"/archive/DOE_JANE_{i}/x.dcm", "frame": 0, "flags": []}
            )
            frames.append(refused | {"status": "refused", "reason": reason, "device": device, "month": month})
        visits.append(visit)
    for part, rows in {"frames": frames, "examinations": visits}.items():
        (folder / part).mkdir(parents=True)
        half = len(rows) // 2
        for number, some in enumerate((rows[:half], rows[half:])):
            pq.write_table(pa.Table.from_pylist(some, _schema(rows)), folder / part / f"{number}.parquet")
    dead = {
        "file": "/archive/DOE_JANE/cut.dcm",
        "frame": 0,
        "what": "frame",
        "reason": "/archive/DOE_JANE/cut.dcm is damaged (ValueError: no shape (4,5)): export it again",
    }
    (folder / "dead_letters").mkdir()
    pq.write_table(pa.Table.from_pylist([dead]), folder / "dead_letters/0.parquet")
    return folder


_charts: dict[tuple[str, float], tuple[float, float]] = {}


def _chart(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and SD in mm."""
    if (measure, weeks) not in _charts:
        chart = reference(measure, weeks, "hadlock")
        mean, high = chart.value(50), chart.value(84.1344746)
        _charts[measure, weeks] = (float(mean), float(high - mean))
    return _charts[measure, weeks]


def _schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """The type of each column, from the first row that has a value; text where none has."""
    types = {}
    for key in rows[0]:
        value = next((row[key] for row in rows if row.get(key) not in (None, [])), None)
        types[key] = (
            pa.list_(pa.string()) if key == "flags" else pa.string() if value is None else pa.scalar(value).type
        )
    return pa.schema(list(types.items()))
