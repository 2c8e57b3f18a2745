"""Calibration of a bundle on its calibration split: interval tables and the temperature of the planes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.statistics import conformal
from fetal_jax.evaluation.summary import MEASURES
from fetal_jax.planes import expected_class


def interval_tables(frames: list[EvaluatedFrame], data: str) -> dict[str, dict[str, Any]]:
    """Make the bundle's interval table of each measure with enough calibration frames, of enough subjects.

    Frames without a measurement or an error estimate are ignored; such frames get no interval in use, either.

    Args:
      frames: the calibration split of one data set.
      data: its fingerprint, stored in the tables.
    """
    tables = {}
    for measure in MEASURES:
        known = [
            (f.error_mm, f.found.sd_mm, f.subject)
            for f in frames
            if f.measure == measure and f.error_mm is not None and f.found and f.found.sd_mm
            if not np.isnan(f.error_mm)
        ]
        count = len({subject for *_, subject in known})
        if len(known) >= conformal.FEWEST and count >= conformal.FEWEST_SUBJECTS:
            errors, sds, _ = zip(*known, strict=True)
            tables[measure] = {
                "level": conformal.LEVEL,
                "factor": conformal.factor(errors, sds),
                "frames": len(known),
                "subjects": count,
                "data": data,
            }
    return tables


def plane_temperature(frames: list[EvaluatedFrame]) -> float | None:
    """Fit the temperature of the plane probabilities to calibration frames (Guo et al., ICML 2017).

    It is fitted to the averages over frame and mirrored frame, to which `Predictor` applies it.

    Frames whose class the network does not have are ignored. None with too few frames, or if all are of one class or
    classified correctly: then the lowest temperature fits best, and every probability would be 0 or 1.
    """
    seen = [(f.planes, name) for f in frames if f.planes and (name := expected_class(f.plane, tuple(f.planes)))]
    if len(seen) < conformal.FEWEST or len({name for _, name in seen}) < 2:
        return None
    if all(max(p, key=lambda c: p[c]) == name for p, name in seen):
        return None
    names = list(seen[0][0])
    return metrics.best_temperature([list(p.values()) for p, _ in seen], [names.index(t) for _, t in seen])
