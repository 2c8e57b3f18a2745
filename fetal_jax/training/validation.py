"""Errors in millimetres of the network in training, over the first frames of each validation split."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from fetal_jax.data.source import Split
from fetal_jax.evaluation import metrics
from fetal_jax.inference import Predictor
from fetal_jax.planes import PLANES, PRIMARY
from fetal_jax.training import distributed

Array = NDArray[Any]
BATCH = 16
PLANE, NAMED, ERROR, TRUTH = range(4)
"""Columns of a frame's row: its plane and the one it was named, into `PLANES`; error and truth of its size in mm."""


def measured(predictor: Predictor, frames: Split, count: int) -> Array:
    """(N, 4) of the first `count` frames, the plane given; NaN where there is nothing.

    Each process measures every so manieth frame, and all of them get all rows: none is dropped, none counted twice.
    """
    first, step = jax.process_index(), jax.process_count()
    rows = np.full((min(count, len(frames)), 4), np.nan)
    own = range(first, len(rows), step)
    for start in range(0, len(own), BATCH):
        part = [(i, frames[i]) for i in own[start : start + BATCH]]
        seen = predictor.predict([f.image for _, f in part], [f.spacing_mm for _, f in part])
        for (i, frame), prediction in zip(part, seen, strict=True):
            if frame.plane is None:
                continue
            rows[i, PLANE] = PLANES.index(frame.plane)
            rows[i, NAMED] = PLANES.index(max(prediction.planes, key=lambda p: prediction.planes[p]))
            name = PRIMARY.get(frame.plane)
            if name and name in frame.truth_mm and frame.spacing_mm:
                shape = (frame.image.shape[0], frame.image.shape[1])
                found = predictor.measure_map(prediction.probability, frame.plane, shape, frame.spacing_mm).primary_mm
                rows[i, TRUTH] = frame.truth_mm[name]
                rows[i, ERROR] = np.nan if found is None else found - frame.truth_mm[name]
    every = np.arange(len(rows))
    return distributed.gathered(rows)[every % step, every]


def summary(rows: Array, planes: tuple[str, ...]) -> dict[str, float]:
    """Of `measured` rows: of each size the mean absolute error in mm, the frames it is of and those without a figure.

    Where planes are told apart, also the share that is named right, of the frames of those planes.
    """
    report: dict[str, float] = {}
    for plane, name in PRIMARY.items():
        of_plane = rows[(rows[:, PLANE] == PLANES.index(plane)) & ~np.isnan(rows[:, TRUTH])]
        if len(of_plane):
            s = metrics.error_summary(of_plane[:, ERROR])
            report |= {f"{name}_mae": float(s.get("mae", np.nan))}
            report |= {f"{name}_frames": s["frames"], f"{name}_missing": s["missing"]}
    told = _told_apart(rows, planes)
    if len(planes) > 1 and len(told):
        report |= {"plane_accuracy": float(np.mean(told[:, PLANE] == told[:, NAMED])), "plane_frames": len(told)}
    return report


def _told_apart(rows: Array, planes: tuple[str, ...]) -> Array:
    return rows[np.isin(rows[:, PLANE], [PLANES.index(p) for p in planes])]


def failure(every: list[Array], planes: tuple[str, ...]) -> float | None:
    """One figure by which the best checkpoint is kept, the smaller the better; None where nothing is known.

    The mean, over every size of every data set, of its mean |error| / truth, a frame without a figure and an error
    above the truth counting as 1; where no frame has a size, the share of planes named wrong.
    """
    shares = []
    for rows in every:
        relative = np.nan_to_num(np.minimum(np.abs(rows[:, ERROR]) / rows[:, TRUTH], 1), nan=1.0)
        sized = ~np.isnan(rows[:, TRUTH])
        shares += [relative[sized & (rows[:, PLANE] == p)].mean() for p in np.unique(rows[sized, PLANE])]
    if not shares:
        told = _told_apart(np.concatenate(every), planes)
        shares = [np.mean(told[:, PLANE] != told[:, NAMED])] if len(told) else []
    return float(np.mean(shares)) if shares else None


def validate(predictor: Predictor, splits: dict[str, Split], count: int) -> tuple[dict[str, float], float | None]:
    """(the `summary` of each data set by its own, its name before the keys where there are several; `failure`)."""
    every, planes = {name: measured(predictor, split, count) for name, split in splits.items()}, predictor.info.planes
    report: dict[str, float] = {}
    for name, rows in every.items():
        prefix = f"{name}/" if len(every) > 1 else ""
        report |= {prefix + key: value for key, value in summary(rows, planes).items()}
    return report, failure(list(every.values()), planes)
