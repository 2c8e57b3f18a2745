"""Two evaluations of the same frames side by side, with paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import files
from fetal_jax.data.source import Split
from fetal_jax.errors import UserError, amount
from fetal_jax.evaluation import metrics, outputs
from fetal_jax.evaluation.report.page import Block, Cell, Pictures, Sections, Table, Text, number, page
from fetal_jax.evaluation.report.pictures import picture
from fetal_jax.evaluation.statistics import bootstrap, exact
from fetal_jax.evaluation.summary import MEASURES, NAMES, mean
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import SHAPE_OF_PLANE

Array = NDArray[Any]
Rows = dict[str, dict[str, str]]

JSON, PAGE = "comparison.json", "comparison.html"
SAME_MM = 0.05
"""Largest difference of one true length written by two versions of the program."""
NAMED, SHOWN = 12, 12
VALUES = {
    "mae": "absolute error, mm",
    "bias": "signed error, mm",
    "mae_percent": "absolute error, %",
    "within_5_percent": "share within 5 %",
    "dice": "Dice",
    "hausdorff_mm": "Hausdorff, mm",
    "failed": "share failed",
    "plane": "share of planes named right",
}


def compare_runs(one: Path, other: Path, out: Path, data_dir: str | None = None) -> dict[str, Any]:
    """Write comparison.json and comparison.html of two folders of `fetal-jax evaluate`; returns the numbers.

    Args:
      one: a folder, A on the page.
      other: a folder, B on the page.
      out: where the two files go.
      data_dir: the prepared data, for the pictures; by default where A was evaluated from.

    Raises:
      UserError: a folder has no evaluation, or the two share no frame or differ in true values.
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
        part = [n for n in names if measure in ("plane", a[n]["measure"])]
        columns = [_columns(part, rows, measure) for rows in (a, b)]
        values = _paired([a[n]["subject"] for n in part], *columns)
        if values:
            found[measure] = values
        if "bias" in values:
            found["shared"] |= {measure: shared(*(c["bias"] for c in columns))}
    differing = _most_different(names, a, b)
    found["most_different"] = differing
    pictures = _pictures(differing, a, b, first.get("source", {}), data_dir)
    command = f"fetal-jax evaluate --compare {one} {other} --out={out}" + (
        f" --data-dir={data_dir}" if data_dir else ""
    )
    text = _page(found, pictures, command)
    with outputs.claiming(out) as claim:
        files.write_whole(claim(PAGE), text)
        outputs.write_json(claim(JSON), found)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Format the comparison for a terminal."""
    written = []
    for measure, name in {**NAMES, "plane": "planes"}.items():
        for key, v in found.get(measure, {}).items():
            a, b = (number(m, 3) for m in v["means"])
            ci = f"  95 % {number(v['ci'], 3)}" if v["ci"] else ""
            difference = f"{v['difference']:+.3f}{ci}  p {v['p']:.3f}"
            written.append(f"{name}  {VALUES[key]}: A {a}  B {b}  B - A {difference}  {v['pairs']} pairs")
    return written


def _same_truth(names: list[str], a: Rows, b: Rows, one: Path, other: Path) -> None:
    for name in names:
        x, y = a[name], b[name]
        differ = abs(_number(x["true_mm"]) - _number(y["true_mm"])) > SAME_MM
        if x["plane"] != y["plane"] or differ:
            truths = [f"{r['plane']} {r['true_mm']}".strip() for r in (x, y)]
            raise UserError(
                f"{name} is {truths[0]} in {one} and {truths[1]} in {other}: evaluate both on the same data"
            )


def _number(cell: str) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError:
        raise UserError(f"frames.csv holds {cell} in place of a number: evaluate again") from None


def _columns(names: list[str], rows: Rows, measure: str) -> dict[str, Array]:
    """Values of frames (N,) by column, NaN if missing; a failure counts as not within 5 %."""
    if measure == "plane":
        known = np.array([rows[n].get("plane_right", "") != "" for n in names], bool)  # by the network's classes
        right = np.array([rows[n].get("plane_right") == "True" for n in names], float)
        return {"plane": np.where(known, right, np.nan)}
    error, true, dice, hausdorff = (
        np.array([_number(rows[n][c]) for n in names]) for c in ("error_mm", "true_mm", "dice", "hausdorff_mm")
    )
    failed = np.array([rows[n]["failed"] == "True" for n in names], float)
    return {
        "mae": np.abs(error),
        "bias": error,
        "mae_percent": 100 * np.abs(error) / true,
        "within_5_percent": metrics.within(error, true, failed, 5),
        "dice": dice,
        "hausdorff_mm": hausdorff,
        "failed": np.where(np.isnan(dice) & np.isnan(true), np.nan, failed),  # scanners' values have no outline
    }


def _paired(subjects: list[str], a: dict[str, Array], b: dict[str, Array]) -> dict[str, Any]:
    """Compute both means over the frames where both have a value, their difference, its interval (or None) and p."""
    differences = {k: b[k] - a[k] for k in a if not np.isnan(b[k] - a[k]).all()}
    ci = bootstrap.mean_intervals(subjects, differences)
    return {
        k: {
            "pairs": int((~np.isnan(v)).sum()),
            "lacking": [int((np.isnan(one[k]) & ~np.isnan(two[k])).sum()) for one, two in ((a, b), (b, a))],
            "means": [mean(np.where(np.isnan(v), np.nan, x[k])) for x in (a, b)],
            "difference": mean(v),
            "ci": ci.get(k),
            "p": exact.sign_flip_p(subjects, v),
        }
        for k, v in differences.items()
    }


def shared(a: Array, b: Array) -> dict[str, float | None]:
    """Compute the shared part of the signed errors (N,) in mm of two networks, over the frames where both have one.

    `apart`: mean absolute difference of the two measurements. `correlation`: of the errors. `sd`: root of their
    covariance; for independent networks, this is the part due to the frames and their labels. The last two are None
    without three frames that differ, `sd` also if the correlation is negative.
    """
    both = ~np.isnan(a + b)
    a, b = a[both], b[both]
    found: dict[str, float | None] = {"apart": mean(np.abs(a - b)), "correlation": None, "sd": None}
    if len(a) >= 3 and a.std() > 0 and b.std() > 0:
        covariance = float(np.cov(a, b)[0, 1])
        found["correlation"] = float(np.corrcoef(a, b)[0, 1])
        found["sd"] = float(np.sqrt(covariance)) if covariance >= 0 else None
    return found


def _most_different(names: list[str], a: Rows, b: Rows) -> list[str]:
    """Sort frames: first those on which only one failed, then by the difference of errors, then of Dice."""

    def difference(name: str) -> tuple[bool, float, float]:
        x, y = a[name], b[name]
        error, dice = (abs(_number(x[c]) - _number(y[c])) for c in ("error_mm", "dice"))
        return x["failed"] != y["failed"], float(np.nan_to_num(error)), float(np.nan_to_num(dice))

    ordered = sorted(names, key=difference, reverse=True)
    return [name for name in ordered if any(difference(name))][:SHOWN]


def _pictures(names: list[str], a: Rows, b: Rows, source: dict[str, str], data_dir: str | None) -> list[Block]:
    if not names:
        return [Text("None: the two agree on every frame.")]
    if not source:
        return [Text("No pictures: A is of scanners' reports, or of an older version: it names no data set.")]
    try:
        dataset = source["dataset"].rpartition("/")[0]
        frames = Split(dataset, source["split"], data_dir or source["data_dir"])
    except UserError as e:
        return [Text(f"No pictures: {e}, or give --data-dir.")]
    index = {frames[i].filename: i for i in range(len(frames))}
    legend = "Green, dashed: annotated. A: yellow, solid. B: blue, dotted. Click a frame to enlarge it."
    items = []
    for name in names:
        if name in index:
            frame = frames[index[name]]
            shapes = {"annotated": frame.shape, "a": _shape(a[name]), "b": _shape(b[name])}
            items.append(picture(frame, shapes, f"{name}: A {_error(a[name])}; B {_error(b[name])}"))
    return [Text(legend), Pictures(items)]


def _shape(row: dict[str, str]) -> Ellipse | Shaft | None:
    cells = row.get("shape_px", "").split()
    shape = Ellipse if SHAPE_OF_PLANE.get(row["plane"]) == "ellipse" else Shaft
    return shape(*map(_number, cells)) if cells else None


def _error(row: dict[str, str]) -> str:
    error = _number(row["error_mm"])
    text = "no measurement" if np.isnan(error) else f"{error:+.2f} mm"
    return text + ", failed" * (row["failed"] == "True")


def _page(found: dict[str, Any], pictures: list[Block], command: str) -> str:
    a, b = found["runs"]
    sections: Sections = {"The two": [Table(["", "A", "B"], [[key, a[key], b[key]] for key in a], (1, 2))]}
    for measure, name in {**NAMES, "plane": "Planes"}.items():
        if measure in found:
            sections[name] = [*_tables(found[measure]), *_shared_text(found["shared"].get(measure))]
    sections["Frames that differ most"] = pictures
    sections["Frames of one alone"] = [
        Text(f"Only in {label}: {_named(names)}") for label, names in zip("AB", found["only_in"], strict=True)
    ]
    intro = f"{amount(found['frames'], 'frame')} of {amount(found['subjects'], 'subject')}, matched by name."
    return page("A and B on the same frames", intro, sections, command)


def _tables(values: dict[str, Any]) -> list[Block]:
    rows = [
        [
            VALUES[k],
            Cell(str(v["pairs"]), ", ".join(f"{n} not in {x}" for x, n in zip("AB", v["lacking"], strict=True) if n)),
            *(number(m, 3) for m in v["means"]),
            f"{v['difference']:+.3f}",
            number(v["ci"], 3) if v["ci"] else "none",
            f"{v['p']:.4f}",
        ]
        for k, v in values.items()
    ]
    return [
        Table(["", "pairs", "A", "B", "B - A", "95 % interval", "p"], rows),
        Text(
            "Over the frames where both have the value. p, two-sided: sign-flip permutation test over subjects, exact "
            f"up to {exact.ENUMERATED} subjects that differ (n of them give no p below 2 / 2^n), {exact.DRAWS:,} "
            f"random patterns above. Interval: paired bootstrap over subjects, from {bootstrap.FEWEST} subjects on, "
            "none if all are equal."
        ),
    ]


def _shared_text(values: dict[str, float | None] | None) -> list[Block]:
    if not values or values["correlation"] is None:
        return []
    text = f"A and B differ by {number(values['apart'])} mm on average; their errors have a correlation of "
    text += number(values["correlation"])
    if values["sd"] is not None:
        text += f". An SD of {number(values['sd'])} mm is common to both: "
        text += "that of the frames and their labels, if A and B are independent"
    return [Text(text + ".")]


def _named(names: list[str]) -> str:
    if not names:
        return "none."
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)}: {', '.join(names[:NAMED])}{more}."
