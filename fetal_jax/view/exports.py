"""Corrections as files in `RESULTS/review`: tables, a data set to train on, FHIR and signed reports."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fetal_jax import __version__
from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.files import OwnFiles, spreadsheet_text, write_whole
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs import fhir
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.view import signed_report
from fetal_jax.view.answer import VALUES, Answer, corrected_row
from fetal_jax.view.corrections import Correction, corrections
from fetal_jax.view.frames import is_dicom_file
from fetal_jax.view.session import Session

TABLE, JSON, DATA_SET = "corrections.csv", "corrections.json", "corrected"
COLUMNS = (
    *("file", "frame", "reader", "time", "decision", "changes", "plane_machine", "plane"),
    *(name for value in VALUES for name in (f"{value.removesuffix('_mm')}_machine_mm", value)),
    *("spacing_mm", "column_spacing_mm", "comment"),
)
SHAPES = ("cx", "cy", "a", "b", "theta", "x1", "y1", "x2", "y2", "width")
TRAINING_COLUMNS = ("filename", "plane", "spacing_mm", "subject", *SHAPES)


_ONE_AT_A_TIME = threading.Lock()


def write(session: Session) -> dict[str, Any]:
    """Write all exports, one call after the other; see `_write`."""
    with _ONE_AT_A_TIME:
        return _write(session)


def _write(session: Session) -> dict[str, Any]:
    """Write all exports; returns their names and what was left out, with the reason.

    Raises:
      UserError: the session is read-only, or a file there is not ours.
    """
    if not session.store.writable:
        raise UserError("another server holds these results: this one only shows them")
    session.results.refresh()
    own = OwnFiles(session.store.path.parent)
    own.clear(keep=lambda _: False)
    found = list(corrections(session))
    entries = [_entry(c) for c in found]
    head = {"written_by": f"fetal_jax {__version__}", "schema": 1, "notice": NOT_CLINICAL}
    write_whole(own.claim(JSON), json.dumps(head | {"corrections": entries}, indent=1) + "\n")
    write_whole(own.claim(TABLE), _csv(COLUMNS, [_cells(entry) for entry in entries]))
    left_out: list[str] = []
    mine = [c for c in found if c.event.reader == session.reader and c.event.answer.decision == "accepted"]
    frames = _write_data_set(session, mine, own.claim, left_out)
    reports = _write_reports(session, mine, own.claim, left_out)
    place = session.store.path.parent.name
    return {
        "files": [f"{place}/{name}" for name in (TABLE, JSON, *([f"{DATA_SET}/frames.csv"] if frames else []))],
        "corrections": len(found),
        "frames": frames,
        "reports": reports,
        "left_out": left_out,
    }


def _entry(c: Correction) -> dict[str, Any]:
    """Both answers, the machine's and the person's."""
    e = c.event
    return {
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
    }


def _answer(answer: Answer) -> dict[str, Any]:
    data, kind = answer.json(), SHAPE_OF_PLANE.get(answer.plane or "")
    shapes = {f"{k}_px": data[k] if k == kind else None for k in ("ellipse", "shaft")}
    return {"plane": answer.plane, **shapes}


def _cells(entry: dict[str, Any]) -> dict[str, Any]:
    machine, person = entry["machine"], entry["person"]
    cells = {k: entry[k] for k in COLUMNS if k in entry}
    cells |= {"plane_machine": machine["plane"], "plane": person["plane"], "comment": person["comment"]}
    for value in VALUES:
        cells |= {f"{value.removesuffix('_mm')}_machine_mm": machine[value], value: person[value]}
    return {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in cells.items()}


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({k: spreadsheet_text(v) for k, v in row.items()})
    return text.getvalue()


def _write_data_set(
    session: Session, accepted: list[Correction], claim: Callable[[str], Path], left_out: list[str]
) -> int:
    """A folder as docs/own-data.md describes it, of the frames that this reader accepted; returns how many.

    Frames get numbers for names. A file is a subject of its own, since nothing says which files are one woman's.
    """
    rows: list[dict[str, Any]] = []
    subjects: dict[str, str] = {}
    for c in accepted:
        try:
            data, is_frame = session.frames.png(c.row)
        except UserError as e:
            left_out.append(f"frame {c.number + 1}: {e}")
            continue
        if not is_frame:
            left_out.append(f"frame {c.number + 1}: the file is not where it was measured: not in {DATA_SET}/")
            continue
        name = f"{c.number + 1:05d}.png"
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG", compress_level=4)
        write_whole(claim(f"{DATA_SET}/{name}"), encoded.getvalue())
        subject = subjects.setdefault(c.row["file"], f"s{len(subjects) + 1:05d}")
        rows.append({"filename": name, "plane": c.event.answer.plane, "subject": subject, **_training_cells(c)})
        if c.row["spacing_mm"] != c.row["column_spacing_mm"]:
            rows[-1]["spacing_mm"] = ""  # the table knows square pixels only
            left_out.append(f"frame {c.number + 1}: pixels that are not square have no spacing in {DATA_SET}/")
    if rows:
        write_whole(claim(f"{DATA_SET}/frames.csv"), _csv(TRAINING_COLUMNS, rows))
    return len(rows)


def _training_cells(c: Correction) -> dict[str, Any]:
    shape, cells = c.event.answer.shape, dict.fromkeys(SHAPES, "")
    spacing = {"spacing_mm": "" if c.row["spacing_mm"] is None else repr(c.row["spacing_mm"])}
    if isinstance(shape, Ellipse):
        return cells | spacing | dict(zip(SHAPES[:5], map(repr, np.asarray(shape).tolist()), strict=True))
    if isinstance(shape, Shaft):
        numbers = ["" if np.isnan(v) else repr(v) for v in np.asarray(shape).tolist()]
        return cells | spacing | dict(zip(SHAPES[5:], numbers, strict=True))
    return cells | spacing


def _write_reports(
    session: Session, accepted: list[Correction], claim: Callable[[str], Path], left_out: list[str]
) -> int:
    """FHIR of every accepted value, a signed SR where the source is DICOM; returns how many SR."""
    signed = 0
    for c in accepted:
        row = corrected_row(c.row, c.event.answer, c.event.mm)
        if not any(row[value] for value in VALUES):
            continue
        name = f"{c.number + 1:05d}"
        performer = {"status": "final", "performer": [{"display": session.reader}]} if session.reader else {}
        write_whole(claim(f"fhir/{name}.json"), json.dumps(fhir.bundle(row, performer), indent=1) + "\n")
        source = session.results.source(c.row)
        if source is None or not is_dicom_file(source):
            continue
        if not session.reader:
            left_out.append(f"frame {c.number + 1}: a signed report needs a name: start with --reader=NAME")
            continue
        try:
            signed_report.write(source, c, row, session.results.folder, claim, name)
            signed += 1
        except UserError as e:
            left_out.append(f"frame {c.number + 1}: {e}")
    return signed
