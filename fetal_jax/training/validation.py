"""Validation during training: errors in millimetres and plane accuracy, on a fixed random draw of each split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from fetal_jax.data.pipeline import plane_index
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation import metrics
from fetal_jax.inference import Predictor
from fetal_jax.planes import PLANES, PRIMARY
from fetal_jax.training import distributed

Array = NDArray[Any]
BATCH = 16
PLANE, CLASS, PREDICTED, TRUTH, ERROR = range(5)
"""Columns of a row: index of its plane in `PLANES`; indices of its class and the predicted one in the planes of
the network; its size and the error of the size, in mm."""


def draw(length: int, count: int, seed: int) -> Array:
    """Draw indices (min(count, length),) without replacement, in order; the same at every validation."""
    return np.sort(np.random.default_rng(seed).permutation(length)[:count])


def measured(predictor: Predictor, frames: Split | Sequence[Frame], indices: Array) -> Array:
    """Measure some frames of a split, plane given -> rows (N, 5); NaN for unknown values and failed measurements.

    The class of a frame follows `data.pipeline.plane_index`, as in training: planes outside the network's list count
    as `other`. Frames are divided among processes by stride and the rows are all-gathered, so that each frame is
    counted once.

    Raises:
      FloatingPointError: a map is not finite, in all processes at the same call: the training has diverged.
    """
    first, step = jax.process_index(), jax.process_count()
    planes = predictor.info.planes
    rows = np.full((len(indices), 5), np.nan)
    own = range(first, len(rows), step)
    for start in range(0, len(own), BATCH):
        part = [(row, frames[int(indices[row])]) for row in own[start : start + BATCH]]
        seen = predictor.predict([f.image for _, f in part], [f.spacing_mm for _, f in part])
        for (row, frame), prediction in zip(part, seen, strict=True):
            if frame.plane is None:
                continue
            rows[row, PLANE] = PLANES.index(frame.plane)
            expected = plane_index(frame, planes)
            rows[row, CLASS] = expected if expected >= 0 else np.nan
            rows[row, PREDICTED] = planes.index(max(prediction.planes, key=lambda p: prediction.planes[p]))
            name = PRIMARY.get(frame.plane)
            if name and name in frame.truth_mm and frame.spacing_mm:
                rows[row, TRUTH] = frame.truth_mm[name]
                if not np.isfinite(prediction.probability).all():
                    rows[row, ERROR] = np.inf
                    continue
                value = predictor.find(prediction, frame.image, frame.plane, frame.spacing_mm).measurement.primary_mm
                rows[row, ERROR] = np.nan if value is None else value - frame.truth_mm[name]
    every = np.arange(len(rows))
    rows = distributed.gathered(rows)[every % step, every]
    if (diverged := np.isinf(rows[:, ERROR])).any():
        raise FloatingPointError(
            f"the maps of {diverged.sum()} of {len(rows)} validation frames are not finite: the training has diverged"
        )
    return rows


def summary(rows: Array, planes: Sequence[str]) -> dict[str, float]:
    """Compute the mean absolute error of each size in mm, with the number of frames and of failed measurements.

    If the network has several classes, also the accuracy of the planes, over the frames with a class.
    """
    report: dict[str, float] = {}
    for plane, name in PRIMARY.items():
        of_plane = rows[(rows[:, PLANE] == PLANES.index(plane)) & ~np.isnan(rows[:, TRUTH])]
        if len(of_plane):
            s = metrics.error_summary(of_plane[:, ERROR])
            report |= {f"{name}_mae": float(s.get("mae", np.nan))}
            report |= {f"{name}_frames": s["frames"], f"{name}_missing": s["missing"]}
    wrong = _misclassified(rows)
    if len(planes) > 1 and len(wrong):
        report |= {"plane_accuracy": float(np.mean(~wrong)), "plane_frames": len(wrong)}
    return report


def _misclassified(rows: Array) -> Array:
    """Whether the plane is wrong, for each frame that has a class."""
    rows = rows[~np.isnan(rows[:, CLASS])]
    return np.asarray(rows[:, CLASS] != rows[:, PREDICTED])


def validation_score(data_sets: Sequence[Array]) -> float | None:
    """Score of a checkpoint, the lower the better, from the rows of each data set; None if nothing is known.

    The mean, over the sizes of all data sets, of the mean of |error| / truth. A failed measurement and an error above
    the truth count as 1. If no frame has a size, the share of misclassified planes.
    """
    shares = []
    for rows in data_sets:
        relative = np.nan_to_num(np.minimum(np.abs(rows[:, ERROR]) / rows[:, TRUTH], 1), nan=1.0)
        sized = ~np.isnan(rows[:, TRUTH])
        shares += [relative[sized & (rows[:, PLANE] == p)].mean() for p in np.unique(rows[sized, PLANE])]
    if shares:
        return float(np.mean(shares))
    wrong = [w for rows in data_sets for w in _misclassified(rows)]
    return float(np.mean(wrong)) if wrong else None


def validate(
    predictor: Predictor, splits: dict[str, Split], count: int, seed: int
) -> tuple[dict[str, float], float | None]:
    """Measure up to `count` frames of each split.

    Returns:
      The `summary` of each data set, with its name before the keys if there are several, and the `validation_score`.
    """
    data_sets = {name: measured(predictor, split, draw(len(split), count, seed)) for name, split in splits.items()}
    report: dict[str, float] = {}
    for name, rows in data_sets.items():
        prefix = f"{name}/" if len(data_sets) > 1 else ""
        report |= {prefix + key: value for key, value in summary(rows, predictor.info.planes).items()}
    return report, validation_score(list(data_sets.values()))
