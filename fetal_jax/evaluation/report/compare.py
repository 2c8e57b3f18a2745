"""Two evaluations of the same frames side by side, with paired tests."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.errors import UserError
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.report.page import note, number, page, table
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.summary import MEASURES, NAMES, mean

Array = NDArray[Any]
Rows = dict[str, dict[str, str]]

JSON, PAGE = "comparison.json", "comparison.html"
SAME_MM = 0.05
"""The same truth, written by two versions."""
NAMED = 12
FIGURES = {
    "mae": "absolute error, mm",
    "bias": "signed error, mm",
    "mae_percent": "absolute error, %",
    "within_5_percent": "share within 5 %",
    "dice": "Dice",
    "hausdorff_mm": "Hausdorff, mm",
    "failed": "share failed",
    "plane": "share of planes named right",
}


def compare_runs(one: Path, other: Path, out: Path) -> dict[str, Any]:
    """Write comparison.json and comparison.html of two folders that `fetal-jax evaluate` left; returns the numbers.

    Raises:
      UserError: a folder is no evaluation, they share no frame, or disagree on what is true.
    """
    (first, a), (second, b) = outputs.read(one), outputs.read(other)
    names = [name for name in a if name in b]
    if not names:
        raise UserError(f"{one} and {other} have no frame in common: evaluate both on the same split")
    _same_truth(names, a, b, one, other)
    found: dict[str, Any] = {
        "runs": [
            {"folder": str(p), "title": s.get("title", ""), "data": s["data"]}
            for p, s in zip((one, other), (first, second), strict=True)
        ],
        "frames": len(names),
        "subjects": len({a[n]["subject"] for n in names}),
        "only_in": [[n for n in a if n not in b], [n for n in b if n not in a]],
        "shared": {},
    }
    for measure in (*MEASURES, "plane"):
        there = [n for n in names if measure in ("plane", a[n]["measure"])]
        columns = [_columns(there, rows, measure) for rows in (a, b)]
        figures = _paired([a[n]["subject"] for n in there], *columns)
        if figures:
            found[measure] = figures
        if "bias" in figures:
            found["shared"] |= {measure: shared(*(c["bias"] for c in columns))}
    out.mkdir(parents=True, exist_ok=True)
    (out / JSON).write_text(json.dumps(found, indent=2) + "\n")
    (out / PAGE).write_text(_page(found, f"fetal-jax evaluate --compare {one} {other} --out={out}"))
    return found


def _same_truth(names: list[str], a: Rows, b: Rows, one: Path, other: Path) -> None:
    for name in names:
        x, y = a[name], b[name]
        apart = abs(_number(x["true_mm"]) - _number(y["true_mm"])) > SAME_MM
        if x["plane"] != y["plane"] or apart:
            told = [f"{r['plane']} {r['true_mm']}".strip() for r in (x, y)]
            raise UserError(f"{name} is {told[0]} in {one} and {told[1]} in {other}: evaluate both on the same data")


def _number(cell: str) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError:
        raise UserError(f"frames.csv holds {cell} in place of a number: evaluate again") from None


def _columns(names: list[str], rows: Rows, measure: str) -> dict[str, Array]:
    """Figures of frames (N,), NaN where there is none; a frame without a figure is not within 5 %."""
    if measure == "plane":
        named = np.array([rows[n]["plane_right"] != "" for n in names], bool)  # the network knows the frame's class
        right = np.array([rows[n]["plane_right"] == "True" for n in names], float)
        return {"plane": np.where(named, right, np.nan)}
    error, true, dice, hausdorff = (
        np.array([_number(rows[n][c]) for n in names]) for c in ("error_mm", "true_mm", "dice", "hausdorff_mm")
    )
    with np.errstate(invalid="ignore"):
        within = np.where(np.isnan(true), np.nan, np.abs(error) <= 0.05 * true)
    failed = np.array([rows[n]["failed"] == "True" for n in names], float)
    return {
        "mae": np.abs(error),
        "bias": error,
        "mae_percent": 100 * np.abs(error) / true,
        "within_5_percent": within,
        "dice": dice,
        "hausdorff_mm": hausdorff,
        "failed": np.where(np.isnan(dice), np.nan, failed),
    }


def _paired(subjects: list[str], a: dict[str, Array], b: dict[str, Array]) -> dict[str, Any]:
    """Of each figure: both means over the frames where both have it, their difference, its interval and p."""
    both = {k: np.where(np.isnan(a[k] + b[k]), np.nan, b[k] - a[k]) for k in a}
    both = {k: v for k, v in both.items() if not np.isnan(v).all()}
    if not both:
        return {}

    def differences(i: Array) -> dict[str, float]:
        return {k: mean(v[i]) for k, v in both.items()}

    drawn = bootstrap.draws(subjects, differences)
    ci, p = bootstrap.percentiles(drawn), bootstrap.two_sided(drawn)
    return {
        k: {
            "pairs": int((~np.isnan(v)).sum()),
            "lacking": [int((np.isnan(one[k]) & ~np.isnan(two[k])).sum()) for one, two in ((a, b), (b, a))],
            "means": [mean(np.where(np.isnan(v), np.nan, x[k])) for x in (a, b)],
            "difference": mean(v),
            "ci": ci[k],
            "p": p[k],
        }
        for k, v in both.items()
    }


def shared(a: Array, b: Array) -> dict[str, float | None]:
    """What two networks' signed errors (N,) in mm have in common, over the frames where both have one.

    `apart`: mean absolute difference of the two measurements. `correlation`: of the errors. `sd`: the root of their
    covariance; where the networks are independent, what the frames and their labels do to any network. None of the
    last two without three frames that differ, no `sd` where the errors run against each other.
    """
    both = ~np.isnan(a + b)
    a, b = a[both], b[both]
    found: dict[str, float | None] = {"apart": mean(np.abs(a - b)), "correlation": None, "sd": None}
    if len(a) >= 3 and a.std() > 0 and b.std() > 0:
        covariance = float(np.cov(a, b)[0, 1])
        found["correlation"] = float(np.corrcoef(a, b)[0, 1])
        found["sd"] = float(np.sqrt(covariance)) if covariance >= 0 else None
    return found


def _page(found: dict[str, Any], command: str) -> str:
    a, b = found["runs"]
    runs = [[key, html.escape(a[key]), html.escape(b[key])] for key in a]
    sections = {"The two": table(["", "A", "B"], runs, text_columns=(1, 2))}
    for measure, name in {**NAMES, "plane": "Planes"}.items():
        if measure in found:
            sections[name] = _table(found[measure]) + _shared_note(found["shared"].get(measure))
    sections["Frames of one alone"] = "".join(
        f"<p>Only in {label}: {_named(names)}</p>" for label, names in zip("AB", found["only_in"], strict=True)
    )
    intro = f"{found['frames']} frames of {found['subjects']} subjects, matched by name."
    return page("A and B on the same frames", intro, sections, command)


def _table(figures: dict[str, Any]) -> str:
    rows = [
        [
            FIGURES[k],
            str(f["pairs"])
            + "".join(f"<small>{n} without in {x}</small>" for x, n in zip("AB", f["lacking"], strict=True) if n),
            *(number(m, 3) for m in f["means"]),
            f"{f['difference']:+.3f}",
            number(f["ci"], 3),
            f"{f['p']:.3f}",
        ]
        for k, f in figures.items()
    ]
    return table(["", "pairs", "A", "B", "B - A", "95 % interval", "p"], rows) + note(
        "Over the frames where both have the figure. Interval and two-sided p by paired bootstrap over subjects "
        f"({bootstrap.RESAMPLES} draws; no p is below {2 / bootstrap.RESAMPLES:g})."
    )


def _shared_note(figures: dict[str, float | None] | None) -> str:
    if not figures or figures["correlation"] is None:
        return ""
    told = f"A and B are {number(figures['apart'])} mm from each other on average; their errors correlate by "
    told += number(figures["correlation"])
    if figures["sd"] is not None:
        told += f". An SD of {number(figures['sd'])} mm is common to both: "
        told += "of the frames and their labels, as far as A and B are independent"
    return note(told + ".")


def _named(names: list[str]) -> str:
    if not names:
        return "none."
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)}: {html.escape(', '.join(names[:NAMED]))}{more}."
