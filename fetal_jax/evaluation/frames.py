"""Measure every labelled frame of a split and set it beside the truth: a row a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation import metrics
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE

BATCH = 16
FAILED_BELOW = 0.90  # Dice


@dataclass(frozen=True)
class Row:
    """One frame. What does not apply to it, or was never annotated, is None; a failure has NaN for its error."""

    index: int
    filename: str
    subject: str
    plane: str  # "unknown" where nobody said
    predicted_plane: str | None
    measure: str | None
    true_mm: float | None
    measured_mm: float | None
    error_mm: float | None
    dice: float | None
    hausdorff_mm: float | None
    failed: bool
    found: Measurement | None
    hausdorff95_mm: float | None = None
    surface_mm: float | None = None
    endpoint_errors: dict[str, float] = field(default_factory=dict)  # by diameter, over its length; NaN of a failure
    planes: dict[str, float] | None = None
    interval_mm: tuple[float, float] | None = None


def evaluate_frames(predictor: Predictor, frames: Split | Sequence[Frame]) -> Iterator[Row]:
    """Rows of all frames, in their order. The plane is given, and `accepted` ignored: nothing is left out."""
    for start in range(0, len(frames), BATCH):
        indices = range(start, min(start + BATCH, len(frames)))
        part = [frames[i] for i in indices]
        predictions = predictor.predict([f.image for f in part], [f.spacing_mm for f in part])
        for i, frame, seen in zip(indices, part, predictions, strict=True):
            planes = seen.planes if len(seen.planes) > 1 else None
            found = None
            if frame.plane in SHAPE_OF_PLANE:
                shape = (frame.image.shape[0], frame.image.shape[1])
                found = predictor.measure_map(seen.probability, frame.plane, shape, frame.spacing_mm)
            yield compare(i, frame, found, planes, predictor.interval(found) if found else None)


def compare(
    index: int,
    frame: Frame,
    found: Measurement | None,
    planes: dict[str, float] | None = None,
    interval_mm: tuple[float, float] | None = None,
) -> Row:
    """The row of a frame and what was found in it, in its own pixels."""
    plane = frame.plane or "unknown"
    measure = PRIMARY.get(plane)
    base: dict[str, Any] = {
        "index": index,
        "filename": frame.filename,
        "subject": frame.subject,
        "plane": plane,
        "predicted_plane": max(planes, key=lambda p: planes[p]) if planes else None,
        "measure": measure,
        **dict.fromkeys(("true_mm", "measured_mm", "error_mm", "dice", "hausdorff_mm", "found")),
        "failed": False,
        "planes": planes,
    }
    if measure is None or frame.shape is None or found is None:
        return Row(**base)
    fitted, shape = found.ellipse or found.shaft, (frame.image.shape[0], frame.image.shape[1])
    lies = metrics.overlap(fitted, frame.shape, shape, frame.spacing_mm or np.nan)
    true, value = frame.truth_mm.get(measure), found.primary_mm
    true_ends = frame.shape.ends.reshape(-1, 2, 2)
    found_ends = [None] * len(true_ends) if fitted is None else fitted.ends.reshape(-1, 2, 2)
    base |= {"found": found, **lies._asdict(), "failed": fitted is None or lies.dice < FAILED_BELOW}
    base["endpoint_errors"] = {
        name: np.nan if f is None else metrics.endpoint_error(f, t)
        for name, f, t in zip(diameters(frame), found_ends, true_ends, strict=True)
    }
    if true is not None:
        base |= {"true_mm": true, "measured_mm": value, "error_mm": np.nan if value is None else value - true}
        base["interval_mm"] = interval_mm
    return Row(**base)


def diameters(frame: Frame) -> tuple[str, ...]:
    """What the pairs of a shape's end points are, the long axis first.

    An ellipse alone cannot tell TAD from APAD: it takes both lengths, else they are `long` and `short`.
    """
    if frame.plane == "femur":
        return ("fl",)
    if frame.plane == "head":
        return ("ofd", "bpd")
    across, along = frame.truth_mm.get("tad_mm"), frame.truth_mm.get("apad_mm")
    if across is None or along is None:
        return ("long", "short")
    return ("tad", "apad") if across >= along else ("apad", "tad")
