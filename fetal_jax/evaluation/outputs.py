"""The results folder of an evaluation: metrics.json, frames.csv, report.html."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax import files
from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.report.report import Origin, render
from fetal_jax.planes import expected_class

FILES = METRICS, FRAMES, REPORT = "metrics.json", "frames.csv", "report.html"
LIST = "evaluated.jsonl"
"""Name of the list of files that evaluations wrote; `measure` has another list, and writes a `report.html`, too."""
Claim = Callable[[str], Path]
"""Gives the path of a file that may be written, from its name in the results folder."""
NEEDED = ("filename", "subject", "plane", "measure", "true_mm", "error_mm", "dice", "hausdorff_mm", "failed")
"""Columns that are required to compare two evaluations."""
COLUMNS = [
    *("filename", "subject", "plane", "predicted_plane", "measure", "true_mm", "measured_mm", "error_mm", "dice"),
    *("hausdorff_mm", "failed", "hausdorff95_mm", "surface_mm", "plane_right", "low_mm", "high_mm", "flags"),
    *("status", "device", "spacing_mm", "shape_px", "reason", "error_probability"),
]


@contextmanager
def claiming(out: Path) -> Iterator[Claim]:
    """Lock a results folder, so that no other process writes there and only files of evaluations are overwritten.

    The folder is made at the first claim, so that a call that is refused before leaves none. A bucket has neither lock
    nor list.

    Raises, from the yielded function:
      UserError: another process writes there, or a file is not from an evaluation.
      OSError: the folder cannot be made or written.
    """
    if files.in_bucket(out):
        yield lambda name: out / name
        return
    with ExitStack() as held:

        @cache
        def own() -> files.OwnFiles:
            held.enter_context(files.lock(out, "wait for it to end, or give another --out"))
            return files.OwnFiles(Path(out), LIST)  # `out` may be an `epath.Path`

        yield lambda name: own().claim(name)


def claim_in(claim: Claim, folder: str) -> Claim:
    """`claim` for names in a subfolder of the results folder; "" is that folder itself."""
    return lambda name: claim(f"{folder}/{name}" if folder else name)


def write(
    claim: Claim, summary: dict[str, Any], evaluated: list[EvaluatedFrame], frames: Split, origin: Origin
) -> None:
    """Write the files; the other arguments are those of `report.render`.

    Old files are deleted first and metrics.json is written last, so that a kill never leaves a mix of two evaluations.
    """
    source = {"dataset": frames.dataset, "split": frames.name, "data_dir": origin.data_dir}
    stated = {"title": origin.title, "command": origin.command, "data": frames.fingerprint, "source": source}
    stated |= {"network": origin.identity} if origin.identity else {}
    write_files(claim, summary | stated, evaluated, render(summary, evaluated, frames, origin))


def write_files(claim: Claim, summary: dict[str, Any], evaluated: list[EvaluatedFrame], page: str) -> None:
    """Write metrics.json, frames.csv and report.html, in an order that never mixes two evaluations."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(map(_cells, evaluated))
    paths = [claim(name) for name in FILES]
    for path in paths:
        path.unlink(missing_ok=True)
    files.write_whole(paths[1], table.getvalue())
    files.write_whole(paths[2], page)
    write_json(paths[0], summary)


def write_json(path: Path, values: Any) -> None:
    """Write JSON, with null for NaN, which JSON does not have."""
    files.write_whole(path, json.dumps(_without_nan(values), indent=2, allow_nan=False) + "\n")


def _without_nan(values: Any) -> Any:
    if isinstance(values, dict):
        return {k: _without_nan(v) for k, v in values.items()}
    if isinstance(values, list | tuple):
        return [_without_nan(v) for v in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _cells(frame: EvaluatedFrame) -> dict[str, Any]:
    name = expected_class(frame.plane, tuple(frame.planes)) if frame.planes else None
    low, high = frame.interval_mm or (None, None)
    found = frame.found
    shape = (found.ellipse or found.shaft) if found else None
    return asdict(frame) | {
        "plane_right": name and frame.predicted_plane == name,
        "low_mm": low,
        "high_mm": high,
        "flags": "; ".join(found.flags) if found else "",
        "reason": "; ".join(frame.reasons),
        "shape_px": "" if shape is None else " ".join(f"{v:.6g}" for v in np.asarray(shape)),
    }


def read(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Read an evaluation: (metrics.json, rows of frames.csv by file name).

    Raises:
      UserError: the folder has no evaluation, a damaged one, or one with a frame twice.
    """
    try:
        summary = json.loads((folder / METRICS).read_text())
        with (folder / FRAMES).open(newline="") as f:
            rows = list(csv.DictReader(f))
    except OSError:
        raise UserError(
            f"{folder} holds no evaluation: make one with fetal-jax evaluate --workdir=RUN --out={folder}, "
            "or with --bundle=BUNDLE in place of --workdir=RUN"
        ) from None
    except ValueError:
        raise UserError(f"{folder / METRICS} is damaged: evaluate again") from None
    by_name = {r.get("filename", ""): r for r in rows}
    if not rows or not set(NEEDED) <= set(rows[0]) or "data" not in summary:
        raise UserError(f"{folder / FRAMES} lacks rows or columns: evaluate again")
    if len(by_name) < len(rows):
        raise UserError(f"{folder / FRAMES} has a frame twice: its rows cannot be matched by name")
    return summary, by_name
