"""Measure every labelled frame of a split, and compare it with the annotation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation import metrics
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.inference import Predictor, acceptance
from fetal_jax.inference.result import FrameResult
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE

BATCH = 16
LEAST_DICE = 0.90
"""Dice below which a head or an abdomen is a failure."""
BY_FLAGS = {"data": ""}
"""An acceptance rule without a score."""
MOST_FEMUR_PERCENT = 10.0
"""Error of the length above which a femur is a failure. Its Dice means little: the shape is some three pixels wide."""


@dataclass(frozen=True)
class EvaluatedFrame:
    """Errors of one frame. None: not applicable or not annotated; NaN in an error: nothing was measured."""

    index: int
    filename: str
    subject: str
    plane: str  # "unknown" if the data set does not state it
    predicted_plane: str | None
    measure: str | None
    true_mm: float | None = None
    measured_mm: float | None = None
    error_mm: float | None = None
    dice: float | None = None  # None: no shape to compare with
    hausdorff_mm: float | None = None
    failed: bool = False
    hausdorff95_mm: float | None = None
    surface_mm: float | None = None
    found: Measurement | None = None
    endpoint_errors: dict[str, float] = field(default_factory=dict)  # by diameter, over its length; NaN for a failure
    planes: dict[str, float] | None = None
    interval_mm: tuple[float, float] | None = None
    device: str = ""
    spacing_mm: float | None = None
    status: str | None = None  # as `measure --plane=PLANE` decides: "measured", "review", "refused"
    reasons: tuple[str, ...] = ()  # why it is not "measured"
    error_probability: float | None = None

    @property
    def compared(self) -> bool:
        """Whether there is a shape or a length to compare with."""
        return self.dice is not None or self.true_mm is not None


def evaluate_frames(predictor: Predictor, frames: Split | Sequence[Frame]) -> Iterator[EvaluatedFrame]:
    """Yield all frames in order. The plane is given, and values of any status count, so that no frame is left out."""
    for start in range(0, len(frames), BATCH):
        indices = range(start, min(start + BATCH, len(frames)))
        part = [frames[i] for i in indices]
        predictions = predictor.predict([f.image for f in part], [f.spacing_mm for f in part])
        for i, frame, prediction in zip(indices, part, predictions, strict=True):
            planes = prediction.planes if len(prediction.planes) > 1 else None
            result = None
            if frame.plane in SHAPE_OF_PLANE:
                result = predictor.result(prediction, frame.image, frame.spacing_mm, frame.plane)
            found = result.measurement if result else None
            yield evaluate_frame(i, frame, found, planes, predictor.interval(found) if found else None, result)


def evaluate_frame(
    index: int,
    frame: Frame,
    found: Measurement | None,
    planes: dict[str, float] | None = None,
    interval_mm: tuple[float, float] | None = None,
    result: FrameResult | None = None,
) -> EvaluatedFrame:
    """Compare one frame with a measurement in its own pixels.

    Its status is that of `result`. Without one, as for predictions from a file, the measurement's flags decide.
    """
    plane = frame.plane or "unknown"
    measure = PRIMARY.get(plane)
    predicted = max(planes, key=lambda p: planes[p]) if planes else None
    row = EvaluatedFrame(
        index,
        frame.filename,
        frame.subject,
        plane,
        predicted,
        measure,
        planes=planes,
        device=frame.device,
        spacing_mm=frame.spacing_mm,
    )
    if measure is None or frame.shape is None or found is None:
        return row
    fitted, shape = found.ellipse or found.shaft, (frame.image.shape[0], frame.image.shape[1])
    decision = result or acceptance.decide(found, {plane: 1.0}, plane, BY_FLAGS)
    overlap = metrics.overlap(fitted, frame.shape, shape, frame.spacing_mm or np.nan)
    true, value = frame.truth_mm.get(measure), found.primary_mm
    error = None if true is None else np.nan if value is None else value - true
    true_ends = frame.shape.ends.reshape(-1, 2, 2)
    found_ends = [None] * len(true_ends) if fitted is None else fitted.ends.reshape(-1, 2, 2)
    return replace(
        row,
        found=found,
        status=decision.status,
        reasons=decision.reasons,
        error_probability=result.error_probability if result else None,
        **overlap._asdict(),
        failed=_is_failure(frame.shape, fitted, overlap.dice, true, error),
        endpoint_errors={
            name: np.nan if f is None else metrics.endpoint_error(f, t)
            for name, f, t in zip(diameters(frame), found_ends, true_ends, strict=True)
        },
        true_mm=true,
        measured_mm=None if true is None else value,
        error_mm=error,
        interval_mm=None if true is None else interval_mm,
    )


def _is_failure(
    true: Ellipse | Shaft, fitted: Ellipse | Shaft | None, dice: float, true_mm: float | None, error_mm: float | None
) -> bool:
    """Whether it failed: no shape, an ellipse with a low Dice, or a femur of wrong length (in pixels without mm)."""
    if fitted is None:
        return True
    if not isinstance(true, Shaft):
        return dice < LEAST_DICE
    if not isinstance(fitted, Shaft):
        return True
    if true_mm is not None and error_mm is not None and not np.isnan(error_mm):
        off = error_mm / true_mm
    else:
        off = fitted.length / true.length - 1
    return abs(off) > MOST_FEMUR_PERCENT / 100


def diameters(frame: Frame) -> tuple[str, ...]:
    """Names of a shape's diameters (pairs of end points), the long axis first.

    An ellipse alone does not show which axis is TAD and which APAD: without both lengths they are `long` and `short`.
    """
    if frame.plane == "femur":
        return ("fl",)
    if frame.plane == "head":
        return ("ofd", "bpd")
    across, along = frame.truth_mm.get("tad_mm"), frame.truth_mm.get("apad_mm")
    if across is None or along is None:
        return ("long", "short")
    return ("tad", "apad") if across >= along else ("apad", "tad")
