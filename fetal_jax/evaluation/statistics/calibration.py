"""What a bundle learns from its calibration split: interval tables and the plane's temperature."""

from __future__ import annotations

from typing import Any

import numpy as np

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.frames import Row
from fetal_jax.evaluation.statistics import conformal
from fetal_jax.evaluation.summary import MEASURES, due_plane


def interval_tables(rows: list[Row], data: str) -> dict[str, dict[str, Any]]:
    """The bundle's interval table of each measure with enough calibration frames.

    A frame without a figure or its error estimate takes no part, nor does it get an interval.

    Args:
      rows: of one data set's calibration split.
      data: its name, to stand in the tables.
    """
    tables = {}
    for measure in MEASURES:
        known = [
            (r.error_mm, r.found.sd_mm, r.subject)
            for r in rows
            if r.measure == measure and r.error_mm is not None and r.found and r.found.sd_mm
            if not np.isnan(r.error_mm)
        ]
        if len(known) >= conformal.FEWEST:
            errors, sds, subjects = zip(*known, strict=True)
            tables[measure] = {
                "level": conformal.LEVEL,
                "factor": conformal.factor(errors, sds),
                "frames": len(known),
                "subjects": len(set(subjects)),
                "data": data,
            }
    return tables


def plane_temperature(rows: list[Row]) -> float | None:
    """The temperature that fits the planes of calibration frames best (Guo et al., ICML 2017).

    A frame whose class is not among the network's takes no part. None where there are too few frames, or all of them
    are of one class, which the lowest temperature fits best.
    """
    seen = [(r.planes, due) for r in rows if r.planes and (due := due_plane(r.plane, tuple(r.planes)))]
    if len(seen) < conformal.FEWEST or len({due for _, due in seen}) < 2:
        return None
    names = list(seen[0][0])
    return metrics.best_temperature([list(p.values()) for p, _ in seen], [names.index(t) for _, t in seen])
