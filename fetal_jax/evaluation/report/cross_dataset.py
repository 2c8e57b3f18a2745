"""Trained on A, tested on B: one table of several networks on several data sets."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from fetal_jax.evaluation.report.page import note, number, page, table, with_interval
from fetal_jax.evaluation.summary import MEASURES, NAMES

JSON, PAGE = "matrix.json", "matrix.html"
Cell = dict[str, Any] | str
"""What `summary.summarise` gives, or why there is nothing."""


def write_matrix(out: Path, cells: dict[str, dict[str, Cell]], trained: dict[str, str], command: str) -> None:
    """Write matrix.json and matrix.html.

    Args:
      out: a folder that is there.
      cells: of each network, by its name, and each data set.
      trained: what each network was trained on.
      command: what makes them again.
    """
    (out / JSON).write_text(json.dumps({"trained": trained, "cells": cells}, indent=2) + "\n")
    datasets = list(next(iter(cells.values())))
    sections = {}
    for measure in (*MEASURES, "plane"):
        rows = [
            [
                f"{html.escape(name)}<small>{html.escape(trained[name])}</small>",
                *(_cell(row[d], measure) for d in datasets),
            ]
            for name, row in cells.items()
        ]
        title = f"{NAMES[measure]}: mean absolute error, mm" if measure in NAMES else "Planes: accuracy"
        sections[title] = table(["trained on", *map(html.escape, datasets)], rows)
    sections["How to read it"] = note(
        "A row a network, a column a data set. In small type: 95 % interval by bootstrap over subjects, Dice and "
        "failures, of frames. The plane is given; a network is also shown planes that it never learnt."
    )
    (out / PAGE).write_text(page("Trained on A, tested on B", f"{len(cells)} networks.", sections, command))


def _cell(cell: Cell, measure: str) -> str:
    if isinstance(cell, str):
        return f"not measured<small class=why>{html.escape(cell)}</small>"
    s = cell.get(measure)
    if s is None:
        why = cell["not_measured"].get("planes") if measure == "plane" else "no frame has it"
        return f"not measured<small class=why>{html.escape(str(why))}</small>"
    if measure == "plane":
        return with_interval(s["accuracy"], s["ci"].get("accuracy"), 3) + f"<small>{s['frames']} frames</small>"
    told = f"Dice {number(s['dice'], 3)}, failed {s['failed']} of {s['frames']}"
    if s["missing"]:
        told += f", {s['missing']} without a figure"
    return (
        with_interval(s["mae"], s["ci"].get("mae")) if s.get("mae") is not None else "no mm"
    ) + f"<small>{told}</small>"
