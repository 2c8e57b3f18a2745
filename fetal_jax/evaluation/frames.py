"""Measure every labelled frame of a split and set it beside the truth: a row a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fetal_jax import metrics
from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation import bootstrap, conformal
from fetal_jax.evaluation.agreement import agreement
from fetal_jax.evaluation.conformal import coverage
from fetal_jax.growth import GrowthError, gestational_age
from fetal_jax.inference import Predictor
from fetal_jax.planes import CIRCUMFERENCE_OF_PLANE, SHAPE_OF_PLANE

BATCH = 16
FAILED_BELOW = 0.90  # Dice
MEASURES = ("hc_mm", "ac_mm", "fl_mm")
DIAMETERS = {"hc_mm": ("ofd", "bpd"), "ac_mm": ("long", "short"), "fl_mm": ("fl",)}
"""What the pairs of end points are: an ellipse cannot tell TAD from APAD."""
TRIMESTERS = {"first": (0.0, 14.0), "second": (14.0, 28.0), "third": (28.0, 99.0)}  # weeks


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
    hausdorff95_mm: float | None = None
    surface_mm: float | None = None
    endpoint_errors: tuple[float, ...] = ()  # of the long and the short axis, or of the shaft; NaN of a failure
    planes: dict[str, float] | None = None
    interval_mm: tuple[float, float] | None = None


def evaluate_frames(predictor: Predictor, frames: Split) -> Iterator[Row]:
    """Rows of all frames, in the split's order. The plane is given, and `accepted` ignored: nothing is left out."""
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
    measure = CIRCUMFERENCE_OF_PLANE.get(plane)
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
    base["endpoint_errors"] = tuple(
        np.nan if f is None else metrics.endpoint_error(f, t) for f, t in zip(found_ends, true_ends, strict=True)
    )
    if true is not None:
        base |= {"true_mm": true, "measured_mm": value, "error_mm": np.nan if value is None else value - true}
        base["interval_mm"] = interval_mm
    return Row(**base)


def summarise(rows: list[Row]) -> dict[str, Any]:
    """The numbers of `metrics.json`: each measure, overlap, agreement, failures and planes, with their counts."""
    summary: dict[str, Any] = {"frames": len(rows)}
    for measure in MEASURES:
        part = [r for r in rows if r.measure == measure and r.dice is not None]
        if part:
            summary[measure] = _summarise_measure(measure, part)
    planes = _summarise_planes(rows)
    return summary | ({"plane": planes} if planes else {})


def _summarise_measure(measure: str, rows: list[Row]) -> dict[str, Any]:
    errors = np.array([np.nan if r.error_mm is None else r.error_mm for r in rows])
    true = np.array([np.nan if r.true_mm is None else r.true_mm for r in rows])
    columns = {c: np.array([getattr(r, c) for r in rows], float) for c in ("dice", *DISTANCES)}
    summary: dict[str, Any] = metrics.error_summary([r.error_mm for r in rows if r.error_mm is not None])
    summary |= {"dice": float(columns["dice"].mean()), "dice_sd": _sd(columns["dice"])}
    for c in DISTANCES:
        known = columns[c][~np.isnan(columns[c])]
        summary |= {c: _mean(known), f"{c}_sd": _sd(known)}
    summary["distances_missing"] = int(np.isnan(columns["hausdorff_mm"]).sum())
    summary["failed"] = sum(r.failed for r in rows)
    summary["accepted"] = sum(bool(r.found and r.found.accepted) for r in rows)
    summary["endpoint_error"] = {
        name: {"mean": None if np.isnan(e).all() else _mean(e), "missing": int(np.isnan(e).sum())}
        for name, e in zip(DIAMETERS[measure], np.array([r.endpoint_errors for r in rows]).T, strict=True)
    }
    subjects = [r.subject for r in rows]
    labelled = ~np.isnan(true)
    if labelled.any():

        def statistics(chosen: Any) -> dict[str, float]:
            e, t = errors[chosen], true[chosen]
            e, t = e[~np.isnan(t)], t[~np.isnan(t)]
            known = e[~np.isnan(e)]
            percent = 100 * np.abs(known) / t[~np.isnan(e)]
            return {
                "mae": _mean(np.abs(known)),
                "bias": _mean(known),
                "mae_percent": _mean(percent),
                "within_5_percent": metrics.share_within(e, t, 5) if len(t) else np.nan,
                "within_10_percent": metrics.share_within(e, t, 10) if len(t) else np.nan,
                "dice": float(columns["dice"][chosen].mean()),
                "hausdorff_mm": _mean(columns["hausdorff_mm"][chosen]),
            }

        everything = statistics(np.arange(len(rows)))
        summary |= {k: everything[k] for k in ("mae_percent", "within_5_percent", "within_10_percent")}
        summary["ci"] = bootstrap.intervals(subjects, statistics)
        summary["age_days"] = _age_errors(measure, rows)
        summary["by_flag"] = _by_flag(rows)
    pairs = labelled & ~np.isnan(errors)
    if pairs.sum() >= 3:
        summary["agreement"] = agreement((true + errors)[pairs], true[pairs], measure)
    inside = [r for r in rows if r.interval_mm is not None and r.true_mm is not None]
    if inside:
        summary["interval"] = _coverage(measure, inside) | {"without": int(labelled.sum()) - len(inside)}
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in summary.items()}


DISTANCES = ("hausdorff_mm", "hausdorff95_mm", "surface_mm")


def _mean(values: Any) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _sd(values: Any) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _weeks(measure: str, value: float) -> float:
    try:
        return gestational_age(standard="hadlock", **{measure: float(value)}).weeks  # type: ignore[arg-type]
    except GrowthError:
        return float("nan")


def _trimester(weeks: float) -> str:
    return next((name for name, (low, high) in TRIMESTERS.items() if low <= weeks < high), "unknown")


def _age_errors(measure: str, rows: list[Row]) -> dict[str, Any]:
    """Of gestational age in days, both from the one measure (Hadlock 1984), by trimester of the true one."""
    pairs = [(r.measured_mm, r.true_mm) for r in rows if r.true_mm is not None]
    true = np.array([_weeks(measure, t) for _, t in pairs])
    days = 7 * (np.array([np.nan if m is None else _weeks(measure, m) for m, _ in pairs]) - true)
    of = np.array([_trimester(w) for w in true])
    return {name: metrics.error_summary(days[of == name]) for name in [*TRIMESTERS, "unknown"] if (of == name).any()}


def _by_flag(rows: list[Row]) -> dict[str, Any]:
    """The error of frames whose millimetres stand and of the others."""
    known = [r for r in rows if r.error_mm is not None]
    parts = {
        name: [r.error_mm for r in known if bool(r.found and r.found.accepted) == keep]
        for name, keep in (("accepted", True), ("refused", False))
    }
    return {name: metrics.error_summary(np.array(e, float)) for name, e in parts.items()}


def _coverage(measure: str, rows: list[Row]) -> dict[str, Any]:
    low, high = np.array([r.interval_mm for r in rows], float).T
    true = np.array([r.true_mm for r in rows], float)
    of = np.array([_trimester(_weeks(measure, t)) for t in true])
    parts = {name: coverage(low[of == name], high[of == name], true[of == name]) for name in np.unique(of).tolist()}
    return coverage(low, high, true) | {"by_trimester": parts}


def _summarise_planes(rows: list[Row]) -> dict[str, Any]:
    seen = [(r, r.planes) for r in rows if r.predicted_plane is not None]
    if not seen:
        return {}
    pairs = [(r.plane, str(r.predicted_plane)) for r, _ in seen]
    true, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    classes = sorted(set(true) | set(predicted))
    table = metrics.confusion(true, predicted, classes)
    summary = {
        "frames": len(seen),
        "accuracy": metrics.accuracy(true, predicted),
        "recall": metrics.recall(true, predicted),
        "balanced_accuracy": metrics.balanced_accuracy(table),
        "macro_f1": metrics.macro_f1(table),
        "classes": classes,
        "confusion": table.tolist(),
    }
    planes = [p for _, p in seen if p is not None]
    if len(planes) == len(seen):
        right = [t == p for t, p in pairs]
        summary["calibration_error"] = metrics.calibration_error([max(p.values()) for p in planes], right)
        other = [1 - sum(v for k, v in p.items() if k in SHAPE_OF_PLANE) for p in planes]
        area = metrics.auroc([t not in SHAPE_OF_PLANE for t in true], other)
        summary["rejection_auroc"] = None if np.isnan(area) else area
    return summary


def interval_tables(rows: list[Row]) -> dict[str, dict[str, float]]:
    """The bundle's interval table of each measure with enough calibration frames.

    A frame without a figure or its error estimate takes no part, nor does it get an interval.
    """
    tables = {}
    for measure in MEASURES:
        known = [
            (r.error_mm, r.found.sd_mm)
            for r in rows
            if r.measure == measure and r.error_mm is not None and r.found and r.found.sd_mm
        ]
        pairs = np.array([pair for pair in known if not np.isnan(pair).any()], float)
        if len(pairs) >= conformal.FEWEST:
            tables[measure] = {"level": conformal.LEVEL, "factor": conformal.factor(*pairs.T)}
    return tables


def plane_temperature(rows: list[Row]) -> float:
    """The temperature that fits the planes of calibration frames best; 1 where the network knows only one."""
    seen = [(r.planes, r.plane) for r in rows if r.planes and r.plane in r.planes]
    if len(seen) < conformal.FEWEST:
        return 1.0
    names = list(seen[0][0])
    return metrics.best_temperature([list(p.values()) for p, _ in seen], [names.index(t) for _, t in seen])
