"""Errors by device, trimester, spacing and outcome, and the worst subgroup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fetal_jax.evaluation import ages, metrics
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.statistics import bootstrap, exact
from fetal_jax.evaluation.statistics.agreement import REPEAT_LIMIT_PERCENT

SPACING_BANDS = (0.0, 0.1, 0.15, 0.2, 0.3, np.inf)
"""Edges of the bands of spacing, in mm per pixel."""
LEAST_FRAMES = 10
"""Least frames with a measurement for a group to count as the worst."""

GROUPINGS: dict[str, Callable[[EvaluatedFrame], str]] = {
    "device": lambda f: f.device or "not recorded",
    "trimester": lambda f: ages.trimester(f.measure or "", f.true_mm or np.nan),
    "spacing": lambda f: _band(f.spacing_mm),
    "outcome": lambda f: f.status or "",
}


def subgroups(measure: str, frames: list[EvaluatedFrame]) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute the errors of the frames with a true length in each group of each grouping.

    A group has `frames`, `subjects`, `failed`, `missing`, `mae`, `mae_percent`, `bias_percent` (None without any
    measurement), `within_repeat_limit` and `ci`, its 95 % intervals.
    """
    known = [f for f in frames if f.true_mm is not None]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for grouping, group_of in GROUPINGS.items():
        groups: dict[str, list[EvaluatedFrame]] = {}
        for frame in known:
            groups.setdefault(group_of(frame), []).append(frame)
        found[grouping] = {name: _errors(measure, groups[name]) for name in sorted(groups)}
    return found


def worst(
    groups: dict[str, dict[str, dict[str, Any]]], by: str = "mae_percent"
) -> tuple[str, str, dict[str, Any]] | None:
    """Find the group with the largest mean error, in percent or in mm ("mae"): (grouping, group, errors).

    Groups of all frames are ignored, and so are outcomes, which are not known before the measurement. None if no group
    has enough frames.
    """
    candidates = [
        (grouping, name, errors)
        for grouping, parts in groups.items()
        for name, errors in parts.items()
        if grouping != "outcome" and len(parts) > 1 and errors["frames"] - errors["missing"] >= LEAST_FRAMES
    ]
    return max(candidates, key=lambda c: c[2][by], default=None)


def _errors(measure: str, frames: list[EvaluatedFrame]) -> dict[str, Any]:
    error, true, failed = (np.array([getattr(f, c) for f in frames], float) for c in ("error_mm", "true_mm", "failed"))
    subjects = [f.subject for f in frames]
    means = {
        "mae": np.abs(error),
        "mae_percent": 100 * np.abs(error) / true,
        "bias_percent": 100 * error / true,
    }
    shares = {"within_repeat_limit": metrics.within(error, true, failed, REPEAT_LIMIT_PERCENT[measure])}
    measured = ~np.isnan(error)
    return {
        "frames": len(frames),
        "subjects": len(set(subjects)),
        "failed": int(failed.sum()),
        "missing": int((~measured).sum()),
        **{k: float(v[measured].mean()) if measured.any() else None for k, v in means.items()},
        **{k: float(v.mean()) for k, v in shares.items()},
        "ci": bootstrap.mean_intervals(subjects, means) | exact.share_intervals(subjects, shares),
    }


def _band(spacing_mm: float | None) -> str:
    if spacing_mm is None:
        return "not known"
    i = int(np.searchsorted(SPACING_BANDS, spacing_mm, side="right"))
    low, high = SPACING_BANDS[i - 1], SPACING_BANDS[min(i, len(SPACING_BANDS) - 1)]
    if np.isinf(high):
        return f"{low:.2f} mm per pixel and more"
    return f"{low:.2f} to {high:.2f} mm per pixel" if low else f"0 to {high:.2f} mm per pixel"
