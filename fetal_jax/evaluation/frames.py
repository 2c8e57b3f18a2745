"""Measure every labelled frame of a split and set it beside the truth: a row a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fetal_jax import metrics
from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame, Split
from fetal_jax.inference import Predictor
from fetal_jax.planes import CIRCUMFERENCE_OF_PLANE

BATCH = 16
FAILED_BELOW = 0.90  # Dice


@dataclass(frozen=True)
class Row:
    """One frame. What does not apply to it, or was never annotated, is None; a failure has NaN for its error."""

    index: int
    filename: str
    subject: str
    plane: str
    predicted_plane: str | None
    measure: str | None
    true_mm: float | None
    measured_mm: float | None
    error_mm: float | None
    dice: float | None
    hausdorff_mm: float | None
    failed: bool
    found: Measurement | None


def evaluate_frames(predictor: Predictor, frames: Split) -> Iterator[Row]:
    """Rows of all frames, in the split's order. The plane is given, and `accepted` ignored: nothing is left out."""
    for start in range(0, len(frames), BATCH):
        indices = range(start, min(start + BATCH, len(frames)))
        part = [frames[i] for i in indices]
        predictions = predictor.predict([f.image for f in part], [f.spacing_mm for f in part])
        for i, frame, seen in zip(indices, part, predictions, strict=True):
            named = max(seen.planes, key=lambda p: seen.planes[p]) if len(seen.planes) > 1 else None
            yield _row(predictor, i, frame, seen.probability, named)


def _row(predictor: Predictor, index: int, frame: Frame, probability: Any, named: str | None) -> Row:
    plane = frame.plane or "unknown"
    measure = CIRCUMFERENCE_OF_PLANE.get(plane)
    base: dict[str, Any] = {
        "index": index,
        "filename": frame.filename,
        "subject": frame.subject,
        "plane": plane,
        "predicted_plane": named,
        "measure": measure,
        **dict.fromkeys(("true_mm", "measured_mm", "error_mm", "dice", "hausdorff_mm", "found")),
        "failed": False,
    }
    if measure is None or frame.shape is None:
        return Row(**base)
    shape = (frame.image.shape[0], frame.image.shape[1])
    found = predictor.measure_map(probability, plane, shape, frame.spacing_mm)
    fitted = found.ellipse or found.shaft
    dice, hausdorff = metrics.overlap(fitted, frame.shape, shape, frame.spacing_mm or np.nan)
    true, value = frame.truth_mm.get(measure), found.primary_mm
    base |= {"found": found, "dice": dice, "hausdorff_mm": hausdorff, "failed": fitted is None or dice < FAILED_BELOW}
    if true is not None:
        base |= {"true_mm": true, "measured_mm": value, "error_mm": np.nan if value is None else value - true}
    return Row(**base)


def summarise(rows: list[Row]) -> dict[str, Any]:
    """The numbers of `metrics.json`: each measure, overlap, failures and planes."""
    summary: dict[str, Any] = {"frames": len(rows)}
    for measure in ("hc_mm", "ac_mm", "fl_mm"):
        part = [r for r in rows if r.measure == measure and r.dice is not None]
        if not part:
            continue
        distances = np.array([r.hausdorff_mm for r in part], float)
        summary[measure] = metrics.error_summary([r.error_mm for r in part if r.error_mm is not None]) | {
            "dice": float(np.mean([r.dice for r in part])),
            "hausdorff_mm": float(np.nanmean(distances)) if not np.isnan(distances).all() else None,
            "failed": sum(r.failed for r in part),
            "accepted": sum(bool(r.found and r.found.accepted) for r in part),
        }
    named = [(r.plane, r.predicted_plane) for r in rows if r.predicted_plane is not None]
    if named:
        true, predicted = [t for t, _ in named], [str(p) for _, p in named]
        summary["plane"] = {
            "frames": len(named),
            "accuracy": metrics.accuracy(true, predicted),
            "recall": metrics.recall(true, predicted),
        }
    return summary
