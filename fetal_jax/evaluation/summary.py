"""Rows of frames -> the numbers of `metrics.json`, each with its interval and with what is missing from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.frames import Row
from fetal_jax.evaluation.statistics import bootstrap, conformal
from fetal_jax.evaluation.statistics.agreement import agreement, concordance, icc
from fetal_jax.growth import GrowthError, gestational_age
from fetal_jax.planes import MEASURED, PRIMARY, SHAPE_OF_PLANE

Array = NDArray[Any]
Columns = dict[str, Array]
"""Figures of frames (N,), NaN where there is none."""

MEASURES = tuple(PRIMARY.values())
NAMES = {column: MEASURED[column].label for column in MEASURES}
TRIMESTERS = {"first": (0.0, 14.0), "second": (14.0, 28.0), "third": (28.0, 99.0)}  # weeks
DISTANCES = ("hausdorff_mm", "hausdorff95_mm", "surface_mm")


def summarise(
    rows: list[Row], temperature: float = 1.0, intervals: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The numbers of `metrics.json`: each measure, overlap, agreement, failures and planes, with their counts.

    `ci` holds the 95 % bootstrap interval, by subject, of the figure of the same name beside it.

    Args:
      rows: of all frames of a split.
      temperature: that the planes' logits were divided by.
      intervals: the bundle's tables, of which coverage is judged.
    """
    summary: dict[str, Any] = {"frames": len(rows), "subjects": len({r.subject for r in rows})}
    for measure in MEASURES:
        part = [r for r in rows if r.measure == measure and r.dice is not None]
        if part:
            summary[measure] = _measure(measure, part, (intervals or {}).get(measure, {}))
    planes = _planes(rows, temperature)
    summary |= {"plane": planes} if planes else {}
    return summary | {"not_measured": _not_measured(rows, summary)}


def _not_measured(rows: list[Row], summary: dict[str, Any]) -> dict[str, str]:
    """Why a table has nothing to show, by its name."""
    reasons = {}
    there = [summary[m] for m in MEASURES if m in summary]
    if not there:
        no_class = all(r.plane == "unknown" for r in rows)
        reasons["shapes"] = (
            "no frame of the split has a class, and the class says what to measure"
            if no_class
            else "no frame of the split has a shape or a mask to compare with"
        )
    if not any(s.get("mae") is not None or s["missing"] for s in there):
        reasons["millimetres"] = reasons.get("shapes", "no frame of the split has a spacing or a length in mm")
    if "plane" not in summary:
        named = any(r.planes for r in rows)
        reasons["planes"] = (
            "no frame of the split has a class that the network knows"
            if named
            else "no planes are predicted: the network knows only one, or the predictions name none"
        )
    if not any(s.get("agreement") for s in there):
        reasons["agreement"] = reasons.get("millimetres", "fewer than three frames have both lengths in mm")
    if not any(s.get("interval") for s in there):
        reasons["intervals"] = reasons.get(
            "millimetres", "there is no interval table: fetal-jax evaluate --bundle=BUNDLE --calibrate makes one"
        )
    return reasons


# ------------------------------------------------------------------------------------------------- millimetres


def _measure(measure: str, rows: list[Row], table: dict[str, Any]) -> dict[str, Any]:
    columns, subjects = _columns(measure, rows), [r.subject for r in rows]
    labelled = ~np.isnan(columns["true_mm"])
    found = ~np.isnan(columns["error_mm"])
    summary: dict[str, Any] = metrics.error_summary(columns["error_mm"][labelled])
    summary |= {"frames": len(rows), "without_mm": int((~labelled).sum()), "subjects": len(set(subjects))}
    summary |= statistics(columns)
    summary |= {f"{c}_sd": _sd(columns[c]) for c in ("dice", *DISTANCES)}
    summary |= {f"{c}_missing": int(np.isnan(columns[c]).sum()) for c in DISTANCES}
    summary["ci"] = bootstrap.intervals(subjects, lambda i: statistics({k: v[i] for k, v in columns.items()}))
    summary["failed"] = int(columns["failed"].sum())
    summary["accepted"] = sum(bool(r.found and r.found.accepted) for r in rows)
    summary["endpoint_error"] = {
        name: _endpoint(summary.pop(key), name, rows)
        for key in list(summary)
        if (name := key.removeprefix("endpoint_")) != key
    }
    if labelled.any():
        summary["age_days"] = _by_trimester(columns, labelled, lambda part: metrics.error_summary(part["days"]))
        summary["by_flag"] = _by_flag(rows)
    if found.sum() >= 3:
        true, error = columns["true_mm"][found], columns["error_mm"][found]
        summary["agreement"] = agreement(true + error, true, measure)
    if (~np.isnan(columns["inside"])).any():
        summary["interval"] = _coverage(columns, rows, table)
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in summary.items()}


def _endpoint(error: float, name: str, rows: list[Row]) -> dict[str, Any]:
    of = [r.endpoint_errors[name] for r in rows if name in r.endpoint_errors]
    return {"mean": None if np.isnan(error) else error, "frames": len(of), "missing": int(np.isnan(of).sum())}


def _columns(measure: str, rows: list[Row]) -> Columns:
    def column(name: str) -> Array:
        return np.array([getattr(r, name) for r in rows], float)  # None becomes NaN

    columns = {c: column(c) for c in ("true_mm", "error_mm", "dice", *DISTANCES, "failed")}
    true, measured = columns["true_mm"], column("measured_mm")
    low, high = np.array([r.interval_mm or (np.nan, np.nan) for r in rows], float).T
    weeks = np.array([_weeks(measure, t) for t in true])
    columns |= {
        "weeks": weeks,
        "days": 7 * (np.array([_weeks(measure, m) for m in measured]) - weeks),
        "inside": np.where(np.isnan(low + true), np.nan, (low <= true) & (true <= high)),
        "width_mm": high - low,
    }
    names = sorted({name for r in rows for name in r.endpoint_errors})
    return columns | {f"endpoint_{n}": np.array([r.endpoint_errors.get(n, np.nan) for r in rows]) for n in names}


def statistics(columns: Columns) -> dict[str, float]:
    """The figures of frames that are a mean or the like; NaN where no frame has what it takes.

    A share is of all frames with a true length: one without a figure is not within, and it is in no mean.
    """
    true, error = columns["true_mm"], columns["error_mm"]
    labelled, found = ~np.isnan(true), ~np.isnan(error)
    e, t = error[found], true[found]
    figures = {
        "mae": mean(np.abs(e)),
        "bias": mean(e),
        "median": float(np.median(np.abs(e))) if len(e) else np.nan,
        "mae_percent": mean(100 * np.abs(e) / t),
        "bias_percent": mean(100 * e / t),
        "failed_share": mean(columns["failed"]),
        "coverage": mean(columns["inside"]),
        "width_mm": mean(columns["width_mm"]),
    }
    for percent in (5, 10):
        share = metrics.share_within(error[labelled], true[labelled], percent) if labelled.any() else np.nan
        figures[f"within_{percent}_percent"] = share
    figures |= {k: mean(columns[k]) for k in columns if k in ("dice", *DISTANCES) or k.startswith("endpoint_")}
    for name, (low, high) in TRIMESTERS.items():
        part = (columns["weeks"] >= low) & (columns["weeks"] < high)
        figures[f"age_mae_days_{name}"] = mean(np.abs(columns["days"][part]))
        figures[f"coverage_{name}"] = mean(columns["inside"][part])
    if len(e) >= 3:
        spread = 1.96 * float(e.std(ddof=1))
        figures |= {"lower": mean(e) - spread, "upper": mean(e) + spread}
        figures |= {"icc": icc(np.column_stack([t + e, t])), "concordance": concordance(t + e, t)}
    return figures


def mean(values: Array) -> float:
    """Of those that are there; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _sd(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _weeks(measure: str, value: float) -> float:
    """Gestational age of one length (Hadlock, Radiology 1984; 152: 497-501); NaN outside its formula's range."""
    try:
        return gestational_age(standard="hadlock", **{measure: float(value)}).weeks  # type: ignore[arg-type]
    except GrowthError:
        return float("nan")


def _by_trimester(columns: Columns, keep: Array, of: Any) -> dict[str, Any]:
    """Something of the frames of each trimester, by the true length's age; `unknown`: outside the formula's range."""
    weeks = columns["weeks"]
    parts = {name: (low <= weeks) & (weeks < high) for name, (low, high) in TRIMESTERS.items()}
    parts["unknown"] = np.isnan(weeks)
    return {name: of({k: v[p & keep] for k, v in columns.items()}) for name, p in parts.items() if (p & keep).any()}


def _by_flag(rows: list[Row]) -> dict[str, Any]:
    """The error of frames whose millimetres stand and of the others."""
    known = [r for r in rows if r.error_mm is not None]
    parts = {
        name: [r.error_mm for r in known if bool(r.found and r.found.accepted) == keep]
        for name, keep in (("accepted", True), ("refused", False))
    }
    return {name: metrics.error_summary(np.array(e, float)) for name, e in parts.items()}


def _coverage(columns: Columns, rows: list[Row], table: dict[str, Any]) -> dict[str, Any]:
    """How often the intervals hold, overall and by trimester, beside the 99 % range that chance alone allows.

    Frames of one subject are alike: the range is that of as many frames as there are subjects.
    """
    columns = columns | {"subject": np.unique([r.subject for r in rows], return_inverse=True)[1]}

    def of(part: Columns) -> dict[str, Any]:
        subjects = len(np.unique(part["subject"]))
        found: dict[str, Any] = {"frames": len(part["inside"]), "subjects": subjects, "coverage": mean(part["inside"])}
        found |= {"width_mm": mean(part["width_mm"])}
        if "subjects" in table:
            found["range"] = list(conformal.coverage_range(table["subjects"], subjects, table["level"]))
        return found

    there = ~np.isnan(columns["inside"])
    whole = of({k: v[there] for k, v in columns.items()})
    errors = np.abs(columns["error_mm"][~np.isnan(columns["error_mm"])])
    return whole | {
        "without": int((~np.isnan(columns["true_mm"])).sum() - there.sum()),
        "widest_allowed_mm": float(2 * np.quantile(errors, 0.9)),
        "by_trimester": _by_trimester(columns, there, of),
    }


# ------------------------------------------------------------------------------------------------------ planes


def due_plane(plane: str, known: tuple[str, ...]) -> str | None:
    """What a network that tells `known` planes apart should call one: itself, else `other`; None where it cannot."""
    if plane in known:
        return plane
    return "other" if plane != "unknown" and "other" in known else None


def _planes(rows: list[Row], temperature: float) -> dict[str, Any]:
    seen = [(r, r.planes, due) for r in rows if r.planes and (due := due_plane(r.plane, tuple(r.planes)))]
    if not seen:
        return {}
    classes = list(seen[0][1])
    probability = np.array([list(p.values()) for _, p, _ in seen])
    true = np.array([classes.index(due) for *_, due in seen])
    predicted, confidence = probability.argmax(1), probability.max(1)
    before = metrics.tempered(probability, 1 / temperature).max(1)  # as it would be without the temperature
    structure = np.array([r.plane in SHAPE_OF_PLANE for r, *_ in seen])
    doubt = 1 - sum((probability[:, classes.index(c)] for c in classes if c in SHAPE_OF_PLANE), np.zeros(len(seen)))
    planes = np.array([r.plane for r, *_ in seen])

    def statistics(i: Array) -> dict[str, float]:
        table, right = metrics.confusion(true[i], predicted[i], len(classes)), true[i] == predicted[i]
        return {
            "accuracy": float(right.mean()),
            "balanced_accuracy": metrics.balanced_accuracy(table),
            "macro_f1": metrics.macro_f1(table),
            "rejection_auroc": metrics.auroc(~structure[i], doubt[i]),
            "calibration_error": metrics.calibration_error(confidence[i], right),
            "calibration_error_before": metrics.calibration_error(before[i], right),
            **{f"recall_{p}": mean(right[planes[i] == p].astype(float)) for p in np.unique(planes).tolist()},
        }

    everything = statistics(np.arange(len(seen)))
    bins = metrics.reliability(confidence, true == predicted)
    return {
        "frames": len(seen),
        "without_class": len(rows) - len(seen),
        "temperature": temperature,
        **{k: None if np.isnan(v) else v for k, v in everything.items() if not k.startswith("recall_")},
        "recall": {k.removeprefix("recall_"): v for k, v in everything.items() if k.startswith("recall_")},
        "ci": bootstrap.intervals([r.subject for r, *_ in seen], statistics),
        "classes": classes,
        "confusion": metrics.confusion(true, predicted, len(classes)).tolist(),
        "reliability": [
            {"share": float(s), "confidence": float(c), "accuracy": float(a)}
            for s, c, a in zip(*bins, strict=True)
            if s > 0
        ],
    }
