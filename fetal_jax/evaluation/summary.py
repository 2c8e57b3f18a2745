"""Evaluated frames -> the numbers of `metrics.json`, with intervals and counts of missing frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.evaluation import ages, metrics
from fetal_jax.evaluation.classes import plane_summary
from fetal_jax.evaluation.flow import flow
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.statistics import bootstrap, conformal, exact
from fetal_jax.evaluation.statistics.agreement import (
    OBSERVER_LIMIT_PERCENT,
    REPEAT_LIMIT_PERCENT,
    agreement,
    concordance,
    icc,
    limit_half_width,
    non_inferiority,
)
from fetal_jax.evaluation.subgroups import subgroups
from fetal_jax.planes import MEASURED, PRIMARY

Array = NDArray[Any]
Columns = dict[str, Array]
"""Values of frames (N,) by name; NaN if missing."""

MEASURES = tuple(PRIMARY.values())
NAMES = {column: MEASURED[column].label for column in MEASURES}
DISTANCES = ("hausdorff_mm", "hausdorff95_mm", "surface_mm")
PLANNED_SUBJECTS = (50, 100, 200, 500, 1000)
"""Numbers of subjects for which the report states the width of the limits of agreement."""


def summarise(
    frames: list[EvaluatedFrame],
    temperature: float = 1.0,
    intervals: Mapping[str, Mapping[str, Any]] | None = None,
    margins: Mapping[str, float] | None = None,
    no_table: str = "",
) -> dict[str, Any]:
    """Compute the numbers of `metrics.json`: errors by measure, overlap, agreement, failures, planes, flow of frames.

    `ci` holds the 95 % interval, by subject, of the value of the same name beside it: exact for shares, bootstrap for
    the others, absent if fewer than `bootstrap.FEWEST` subjects have the value.

    Args:
      frames: all frames of a split.
      temperature: that the averaged plane probabilities were tempered with.
      intervals: the bundle's tables, whose coverage is checked; None where the values come from a file.
      margins: non-inferiority margins in percent of the mean, by measure; by default those of two sonographers.
      no_table: why the bundle has no table of intervals, where it is known.
    """
    summary: dict[str, Any] = {"frames": len(frames), "subjects": len({f.subject for f in frames})}
    summary["flow"] = flow(frames)
    for measure in MEASURES:
        part = [f for f in frames if f.measure == measure and f.compared]
        if part:
            margin = (margins or {}).get(measure)
            summary[measure] = _measure(measure, part, (intervals or {}).get(measure, {}), margin)
    planes = plane_summary(frames, temperature)
    summary |= {"plane": planes} if planes else {}
    return summary | {"not_measured": _not_measured(frames, summary, intervals is not None, no_table)}


def over(measure: Mapping[str, Any]) -> str:
    """Say, of a measure of `summarise`, how many frames its mean errors are over; empty if all have an error."""
    frames = measure["frames"]
    lacking = measure["without_mm"] + measure["missing"]
    return f" over {frames - lacking} of {frames} frames" if lacking else ""


def _not_measured(
    frames: list[EvaluatedFrame], summary: dict[str, Any], of_a_bundle: bool, no_table: str
) -> dict[str, str]:
    """Reasons for empty tables, by name of the table."""
    reasons = {}
    present = [summary[m] for m in MEASURES if m in summary]
    if not present:
        no_class = all(f.plane == "unknown" for f in frames)
        reasons["shapes"] = (
            "no frame of the split has a class, and the class says what to measure"
            if no_class
            else "no frame of the split has a shape or a mask to compare with"
        )
    if not any(s.get("mae") is not None or s["missing"] for s in present):
        reasons["millimetres"] = reasons.get("shapes", "no frame of the split has a spacing or a length in mm")
    if "plane" not in summary:
        predicted = any(f.planes for f in frames)
        reasons["planes"] = (
            "no frame of the split has a class that the network knows"
            if predicted
            else "no planes are predicted: the network knows only one, or the predictions name none"
        )
    if not any(s.get("agreement") for s in present):
        reasons["agreement"] = reasons.get("millimetres", "fewer than three frames have both lengths in mm")
    if not any(s.get("interval") for s in present):
        no_table = no_table or (
            "there is no interval table: fetal-jax evaluate --bundle=BUNDLE --calibrate makes one of "
            f"{conformal.FEWEST} calibration frames or more of a measure, of at least "
            f"{conformal.FEWEST_SUBJECTS} subjects"
        )
        no_bundle = "only a bundle has a table of intervals, and these values come from a file"
        reasons["intervals"] = reasons.get("millimetres", no_table) if of_a_bundle else no_bundle
    return reasons


def _measure(
    measure: str, frames: list[EvaluatedFrame], table: Mapping[str, Any], margin: float | None
) -> dict[str, Any]:
    columns, subjects = _columns(measure, frames), [f.subject for f in frames]
    shares, means = _shares(measure, columns), _means(columns)
    known, found = ~np.isnan(columns["true_mm"]), ~np.isnan(columns["error_mm"])
    true, error = columns["true_mm"][found], columns["error_mm"][found]

    summary: dict[str, Any] = metrics.error_summary(columns["error_mm"][known])
    summary |= {"frames": len(frames), "without_mm": int((~known).sum()), "subjects": len(set(subjects))}
    summary |= {k: mean(v) for k, v in (means | shares).items()} | _spread(columns["true_mm"], columns["error_mm"])
    summary |= {f"{c}_sd": _sd(columns[c]) for c in ("dice", *DISTANCES)}
    summary |= {f"{c}_missing": int(np.isnan(columns[c]).sum()) for c in DISTANCES}
    summary["ci"] = (
        bootstrap.mean_intervals(subjects, means)
        | bootstrap.intervals(
            [s for s, f in zip(subjects, found, strict=True) if f], lambda i: _spread(true[i], error[i])
        )
        | exact.share_intervals(subjects, shares)
    )
    summary["failed"] = int(columns["failed"].sum())
    summary["measured"] = sum(f.status == "measured" for f in frames)
    summary["endpoint_error"] = {
        name: _endpoint(summary.pop(key), name, frames)
        for key in list(summary)
        if (name := key.removeprefix("endpoint_")) != key
    }
    if known.any():
        summary["age_days"] = _by_trimester(columns, known, lambda part: metrics.error_summary(part["days"]))
        summary["subgroups"] = subgroups(measure, frames)
    if found.sum() >= 3:
        independent = len({s for s, f in zip(subjects, found, strict=True) if f})
        summary["agreement"] = agreement(true + error, true, measure, independent)
        limits = summary["agreement"]["percent"]
        source = "two sonographers" if margin is None else "given"
        margin = OBSERVER_LIMIT_PERCENT[measure] if margin is None else margin
        inside = mean(_inside_percent_of_mean(columns, margin))
        summary["non_inferiority"] = non_inferiority(limits, inside, margin, source)
        summary["planned"] = {str(n): limit_half_width(limits["sd"], n) for n in PLANNED_SUBJECTS}
    if (~np.isnan(columns["inside"])).any():
        summary["interval"] = _coverage(columns, frames, table)
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in summary.items()}


def _endpoint(error: float, name: str, frames: list[EvaluatedFrame]) -> dict[str, Any]:
    errors = [f.endpoint_errors[name] for f in frames if name in f.endpoint_errors]
    return {
        "mean": None if np.isnan(error) else error,
        "frames": len(errors),
        "missing": int(np.isnan(errors).sum()),
    }


def _columns(measure: str, frames: list[EvaluatedFrame]) -> Columns:
    def column(name: str) -> Array:
        return np.array([getattr(f, name) for f in frames], float)  # None becomes NaN

    columns = {c: column(c) for c in ("true_mm", "error_mm", "dice", *DISTANCES, "failed")}
    true, measured = columns["true_mm"], column("measured_mm")
    low, high = np.array([f.interval_mm or (np.nan, np.nan) for f in frames], float).T
    weeks = np.array([ages.weeks(measure, t) for t in true])
    columns |= {
        "days": 7 * (np.array([ages.weeks(measure, m) for m in measured]) - weeks),
        "inside": np.where(np.isnan(low + true), np.nan, (low <= true) & (true <= high)),
        "width_mm": high - low,
        "trimester": np.array([ages.trimester(measure, t) for t in true]),
    }
    names = sorted({name for f in frames for name in f.endpoint_errors})
    return columns | {f"endpoint_{n}": np.array([f.endpoint_errors.get(n, np.nan) for f in frames]) for n in names}


def _means(columns: Columns) -> Columns:
    """Columns (N,) whose means are reported; NaN for frames that do not count."""
    error, true = columns["error_mm"], columns["true_mm"]
    means = {
        "mae": np.abs(error),
        "bias": error,
        "mae_percent": 100 * np.abs(error) / true,
        "bias_percent": 100 * error / true,
        "width_mm": columns["width_mm"],
    }
    for name in ages.TRIMESTERS:
        means[f"age_mae_days_{name}"] = np.where(columns["trimester"] == name, np.abs(columns["days"]), np.nan)
    return means | {k: v for k, v in columns.items() if k in ("dice", *DISTANCES) or k.startswith("endpoint_")}


def _shares(measure: str, columns: Columns) -> Columns:
    """Columns (N,) of ones and zeros whose means are shares of frames; NaN for frames that do not count."""
    error, true, failed = columns["error_mm"], columns["true_mm"], columns["failed"]
    shares = {"failed_share": failed, "coverage": columns["inside"]}
    for percent in (5, 10):
        shares[f"within_{percent}_percent"] = metrics.within(error, true, failed, percent)
    shares["within_repeat_limit"] = metrics.within(error, true, failed, REPEAT_LIMIT_PERCENT[measure])
    for name in ages.TRIMESTERS:
        shares[f"coverage_{name}"] = np.where(columns["trimester"] == name, columns["inside"], np.nan)
    return shares


def _inside_percent_of_mean(columns: Columns, margin: float) -> Array:
    """As `metrics.within`, but in percent of the mean of the pair, as for limits of agreement."""
    true = columns["true_mm"]
    middle = true + np.nan_to_num(columns["error_mm"]) / 2
    return metrics.within(columns["error_mm"], np.where(np.isnan(true), np.nan, middle), columns["failed"], margin)


def _spread(true: Array, error: Array) -> dict[str, float]:
    """Median absolute error, limits of agreement, ICC and concordance of lengths (N,); NaN if undefined."""
    known = ~np.isnan(error)
    true, error = true[known], error[known]
    found = {"median": float(np.median(np.abs(error))) if len(error) else np.nan}
    if len(error) >= 3:
        spread = 1.96 * float(error.std(ddof=1))
        found |= {"lower": mean(error) - spread, "upper": mean(error) + spread}
        found |= {"icc": icc(np.column_stack([true + error, true])), "concordance": concordance(true + error, true)}
    return found


def mean(values: Array) -> float:
    """Mean of the values that are not NaN; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _sd(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _by_trimester(columns: Columns, keep: Array, of: Any) -> dict[str, Any]:
    """Apply `of` to the frames of each trimester, by the true length."""
    parts = {name: columns["trimester"] == name for name in (*ages.TRIMESTERS, "unknown")}
    return {name: of({k: v[p & keep] for k, v in columns.items()}) for name, p in parts.items() if (p & keep).any()}


def _coverage(columns: Columns, frames: list[EvaluatedFrame], table: Mapping[str, Any]) -> dict[str, Any]:
    """Coverage of the conformal intervals, overall and by trimester, beside the 99 % range that chance alone allows.

    Frames of one subject are not independent: the range is computed for as many frames as there are subjects.
    """
    columns = columns | {"subject": np.unique([f.subject for f in frames], return_inverse=True)[1]}

    def of(part: Columns) -> dict[str, Any]:
        subjects = len(np.unique(part["subject"]))
        found: dict[str, Any] = {"frames": len(part["inside"]), "subjects": subjects, "coverage": mean(part["inside"])}
        found |= {"width_mm": mean(part["width_mm"])}
        # tables of older bundles may state no subjects, or too few of them
        expected = conformal.coverage_range(table.get("subjects", 0), subjects, table.get("level", conformal.LEVEL))
        return found | ({"range": list(expected)} if expected else {})

    known = ~np.isnan(columns["inside"])
    whole = of({k: v[known] for k, v in columns.items()})
    errors = np.abs(columns["error_mm"][~np.isnan(columns["error_mm"])])
    return whole | {
        "without": int((~np.isnan(columns["true_mm"])).sum() - known.sum()),
        "widest_allowed_mm": float(2 * np.quantile(errors, 0.9)),
        "by_trimester": _by_trimester(columns, known, of),
    }
