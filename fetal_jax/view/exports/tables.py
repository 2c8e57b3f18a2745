"""Corrections as rows and objects: both values, the machine's and the person's, with reader and time."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fetal_jax.files import spreadsheet_text
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.view.answer import VALUES, Answer
from fetal_jax.view.exports.corrections import Correction
from fetal_jax.view.session import Session

COLUMNS = (
    *("number", "file", "frame", "reader", "time", "decision", "changes", "plane_machine", "plane"),
    *(name for value in VALUES for name in (f"{value.removesuffix('_mm')}_machine_mm", value)),
    *("spacing_mm", "column_spacing_mm", "comment", "role", "chosen", "checklist_met", "checklist_items", "checklist"),
)


def entry(session: Session, c: Correction) -> dict[str, Any]:
    """Make the object of a correction: both answers, the machine's and the person's, and the reader's checklist."""
    e = c.event
    return {
        "number": f"{c.number + 1:05d}",
        "file": e.file,
        "frame": e.frame,
        "reader": e.reader,
        "time": e.time,
        "decision": e.answer.decision,
        "changes": c.changes,
        "spacing_mm": c.row["spacing_mm"],
        "column_spacing_mm": c.row["column_spacing_mm"],
        "machine": {**_answer(Answer.parse(e.machine["answer"])), "status": e.machine["status"], **e.machine["mm"]},
        "person": {**_answer(e.answer), "comment": e.answer.comment, **e.mm},
        "role": e.role,
        "chosen": e.machine.get("chosen"),
        "checklist": session.checklist(c.row, e.answer),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    data, kind = answer.json(), SHAPE_OF_PLANE.get(answer.plane or "")
    shapes = {f"{k}_px": data[k] if k == kind else None for k in ("ellipse", "shaft")}
    return {"plane": answer.plane, **shapes}


def cells(entry: dict[str, Any]) -> dict[str, Any]:
    """Convert an entry to cells of `COLUMNS`."""
    machine, person = entry["machine"], entry["person"]
    found = {k: entry[k] for k in COLUMNS if k in entry}
    items = entry["checklist"]
    found |= {"chosen": "machine" if entry["chosen"] == "" else entry["chosen"]}
    found |= {"checklist_met": sum(i["met"] is True for i in items), "checklist_items": len(items)}
    found["checklist"] = "; ".join(
        f"{i['item']}={_WORDS[i['met']]}" + (f" ({i['by']})" if i["by"] else "") for i in items
    )
    found |= {"plane_machine": machine["plane"], "plane": person["plane"], "comment": person["comment"]}
    for value in VALUES:
        found |= {f"{value.removesuffix('_mm')}_machine_mm": machine[value], value: person[value]}
    return {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in found.items()}


def as_csv(columns: Sequence[str], rows: list[dict[str, Any]]) -> str:
    """Write a table as CSV text in which no cell is a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({k: spreadsheet_text(v) for k, v in row.items()})
    return text.getvalue()


_WORDS = {True: "met", False: "not met", None: "open"}
