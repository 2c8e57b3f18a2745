"""What is said of a frame, as a row: the columns of `measurements.csv`, the keys of `measurements.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.growth import GrowthError, gestational_age
from fetal_jax.inference.predictor import FrameResult
from fetal_jax.planes import MEASURED, PRIMARY
from fetal_jax.reading.frame import Failure, Frame, PixelSize
from fetal_jax.reading.sources import Source

Row = dict[str, Any]

COLUMNS = [
    *("file", "frame", "status", "plane", "plane_probability"),
    *("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "long_mm", "short_mm"),
    *("spacing_mm", "spacing_source", "ga_weeks", "ga_standard", "flags", "reason"),
    *("column_spacing_mm", "spacing_confidence", "overlay", "sd_mm", "low_mm", "high_mm"),
]
"""`spacing_mm` is down the rows; `column_spacing_mm` along them, the same but for anisotropic DICOM. `sd_mm` and the
interval from `low_mm` to `high_mm`, which the bundle's table gives, are of HC, AC or FL."""
GEOMETRY = ("ellipse_px", "shaft_px")
"""Keys of the JSON alone."""
GESTATIONAL_AGE = ("18185-9", "Gestational Age")  # LOINC
SCHEMA = Path(__file__).parent / "measurements.schema.json"
"""The JSON schema (draft 2020-12) of `measurements.json`."""


def failure_row(failure: Failure) -> Row:
    """The row of what could not be read."""
    status = "error" if failure.damaged else "refused"
    return _empty(failure.source, failure.index) | {"status": status, "reason": failure.reason}


def result_row(frame: Frame, size: PixelSize, result: FrameResult) -> Row:
    """The row of a frame that was looked at."""
    row = _empty(frame.source, frame.index) | {
        "status": result.status,
        "plane": result.plane,
        "plane_probability": result.plane_probability,
        "reason": result.reason or None,
        "spacing_source": size.source,
        "spacing_confidence": size.confidence,
    }
    if size.mm is not None:
        row["spacing_mm"], row["column_spacing_mm"] = size.mm
    found = result.measurement
    if found is None:
        return row
    row |= {
        "flags": list(found.flags),
        "ellipse_px": found.ellipse and np.asarray(found.ellipse).tolist(),
        "shaft_px": found.shaft and np.asarray(found.shaft).tolist(),
    }
    row |= {name: result.value(name) for name in MEASURED}
    row["long_mm"], row["short_mm"] = result.value("diameters_mm") or (None, None)
    row["sd_mm"] = result.value("sd_mm")
    row["low_mm"], row["high_mm"] = result.interval_mm or (None, None)
    return row | _age(row)


def _age(row: Row) -> Row:
    """Age from the frame's one measure: Hadlock's formulas, the only ones for HC, AC and FL each by itself.

    A BPD takes no part: it is the short axis of the HC's ellipse, and Hadlock's goes from the outer to the inner skull.
    """
    sizes = {name: row[name] for name in ("hc_mm", "ac_mm", "fl_mm")}
    if not any(sizes.values()):
        return {}
    try:
        age = gestational_age(**sizes, standard="hadlock")
    except GrowthError as e:
        return {"reason": f"no age: {e}"}
    return {"ga_weeks": age.weeks, "ga_standard": age.formula}


def _empty(source: Source, index: int) -> Row:
    return dict.fromkeys((*COLUMNS, *GEOMETRY)) | {"file": str(source), "frame": index, "flags": []}


def caption(row: Row) -> list[str]:
    """What is written below an overlay."""
    values = [_with_interval(row, name, q.label) for name, q in MEASURED.items() if row[name] is not None]
    probability = "" if row["plane_probability"] is None else f" ({100 * row['plane_probability']:.0f} %)"
    lines = [f"{row['plane']}{probability}   " + ("   ".join(values) or f"{row['status']}: {row['reason']}")]
    if values and row["flags"]:
        lines.append("but: " + "; ".join(row["flags"]))
    if row["spacing_mm"] is not None:
        lines.append(f"{row['spacing_mm']:.4g} mm per pixel from the {row['spacing_source']}")
    return [*lines, NOT_CLINICAL]


def _with_interval(row: Row, name: str, label: str) -> str:
    told = f"{label} {row[name]:.1f} mm"
    if name not in PRIMARY.values() or row["low_mm"] is None:
        return told
    return f"{told} ({row['low_mm']:.1f} to {row['high_mm']:.1f})"


def cells(row: Row) -> dict[str, Any]:
    """A row as CSV has it: empty where there is nothing, flags joined."""
    return {name: _cell(row[name]) for name in COLUMNS}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "; ".join(value) if isinstance(value, list) else value
