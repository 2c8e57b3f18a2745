"""Cross-dataset table: several networks, each tested on several data sets."""

from __future__ import annotations

from typing import Any

from fetal_jax import files
from fetal_jax.errors import amount
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.report.page import Cell, Sections, Table, Text, number, page, with_interval
from fetal_jax.evaluation.summary import MEASURES, NAMES

JSON, PAGE = "matrix.json", "matrix.html"
Result = dict[str, Any] | str
"""The numbers of `summary.summarise`, or the reason why there are none."""


def write_cross_dataset(
    claim: outputs.Claim, cells: dict[str, dict[str, Result]], trained: dict[str, str], command: str
) -> None:
    """Write matrix.json and matrix.html.

    Args:
      claim: gives their paths.
      cells: the result of each network, by its name, on each data set.
      trained: the data sets that each network was trained on.
      command: the command that repeats the evaluation.
    """
    outputs.write_json(claim(JSON), {"trained": trained, "cells": cells})
    datasets = list(next(iter(cells.values())))
    sections: Sections = {}
    for measure in (*MEASURES, "plane"):
        rows = [[Cell(name, trained[name]), *(_cell(row[d], measure) for d in datasets)] for name, row in cells.items()]
        title = f"{NAMES[measure]}: mean absolute error, mm" if measure in NAMES else "Planes: accuracy"
        sections[title] = [Table(["trained on", *datasets], rows, tuple(range(1, len(datasets) + 1)))]
    sections["How to read it"] = [
        Text(
            "A row is a network, a column a data set. Small type: 95 % interval by subject, Dice and failures. The "
            "plane is given; a network is also shown planes that it was not trained on."
        )
    ]
    text = page("Trained on A, tested on B", f"{len(cells)} networks.", sections, command)
    files.write_whole(claim(PAGE), text)


def _cell(result: Result, measure: str) -> Cell:
    if isinstance(result, str):
        return Cell("not measured", result)
    s = result.get(measure)
    if s is None:
        why = result["not_measured"].get("planes") if measure == "plane" else "no frame has it"
        return Cell("not measured", str(why))
    if measure == "plane":
        cell, more = with_interval(s["accuracy"], s["ci"].get("accuracy"), 3), amount(s["frames"], "frame")
    else:
        cell = Cell("no mm") if s.get("mae") is None else with_interval(s["mae"], s["ci"].get("mae"))
        more = f"Dice {number(s['dice'], 3)}, failed {s['failed']} of {s['frames']}"
        more += f", {s['missing']} without a measurement" if s["missing"] else ""
    return cell._replace(small="; ".join(filter(None, (cell.small, more))))
