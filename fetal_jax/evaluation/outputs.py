"""The folder that an evaluation leaves: metrics.json, frames.csv, report.html."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.evaluation.frames import Row
from fetal_jax.evaluation.report.report import render
from fetal_jax.evaluation.summary import due_plane

METRICS, FRAMES, REPORT = "metrics.json", "frames.csv", "report.html"
NOT_CELLS = ("index", "found", "planes", "endpoint_errors", "interval_mm")
COLUMNS = [c for c in Row.__dataclass_fields__ if c not in NOT_CELLS] + ["plane_right", "low_mm", "high_mm", "flags"]


def write(
    out: Path,
    title: str,
    summary: dict[str, Any],
    rows: list[Row],
    frames: Split,
    command: str,
    training: dict[str, Any] | None = None,
) -> None:
    """Write the folder. Arguments are those of `report.render`."""
    out.mkdir(parents=True, exist_ok=True)
    told = {"title": title, "command": command, "data": frames.fingerprint}
    (out / METRICS).write_text(json.dumps(summary | told, indent=2) + "\n")
    (out / REPORT).write_text(render(title, summary, rows, frames, command, training))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(map(_cells, rows))
    (out / FRAMES).write_text(table.getvalue())


def _cells(row: Row) -> dict[str, Any]:
    due = due_plane(row.plane, tuple(row.planes)) if row.planes else None
    low, high = row.interval_mm or (None, None)
    more = {"plane_right": due and row.predicted_plane == due, "low_mm": low, "high_mm": high}
    return asdict(row) | more | {"flags": "; ".join(row.found.flags) if row.found else ""}


def read(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """(metrics.json, rows of frames.csv by file name) of an evaluation.

    Raises:
      UserError: the folder holds no evaluation, a damaged one, or a frame twice.
    """
    try:
        summary = json.loads((folder / METRICS).read_text())
        with (folder / FRAMES).open(newline="") as f:
            rows = list(csv.DictReader(f))
    except OSError:
        raise UserError(
            f"{folder} holds no evaluation: make one with fetal-jax evaluate --workdir=RUN --out={folder}, or --bundle="
        ) from None
    except ValueError:
        raise UserError(f"{folder / METRICS} is damaged: evaluate again") from None
    by_name = {r.get("filename", ""): r for r in rows}
    if not rows or not set(COLUMNS) <= set(rows[0]) or "data" not in summary:
        raise UserError(f"{folder / FRAMES} lacks rows or columns: evaluate again")
    if len(by_name) < len(rows):
        raise UserError(f"{folder / FRAMES} has a frame twice: its rows cannot be matched by name")
    return summary, by_name
