"""Flow of the frames of a split: those left out, by reason, and the outcome of the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.inference.acceptance import kind_of
from fetal_jax.planes import SHAPE_OF_PLANE

STATUSES = ("measured", "review", "refused")


def flow(frames: list[EvaluatedFrame]) -> dict[str, Any]:
    """Count frames. The parts of `left_out` and of `by_status` add up to all frames.

    `left_out`: frames without errors, by reason. `compared`: frames with a shape or a length to compare with.
    `without_mm`: those of them without a length in mm. `by_status`: by status, the number of compared frames, of
    failures among them, and of each reason.
    """
    compared = [f for f in frames if f.compared]
    return {
        "frames": len(frames),
        "left_out": dict(Counter(_left_out(f) for f in frames if not f.compared)),
        "compared": len(compared),
        "without_mm": sum(f.true_mm is None for f in compared),
        "failed": sum(f.failed for f in compared),
        "by_status": {s: _outcome([f for f in compared if f.status == s]) for s in STATUSES},
    }


def _left_out(frame: EvaluatedFrame) -> str:
    if frame.plane == "unknown":
        return "plane not stated"
    return "no annotated shape" if frame.plane in SHAPE_OF_PLANE else "plane without a measurement"


def _outcome(frames: list[EvaluatedFrame]) -> dict[str, Any]:
    reasons = Counter(kind_of(reason) for f in frames for reason in f.reasons)
    return {"frames": len(frames), "failed": sum(f.failed for f in frames), "reasons": dict(reasons.most_common())}
