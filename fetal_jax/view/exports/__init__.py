"""Corrections as files in `RESULTS/review`: tables, a data set to train on, FHIR and signed reports."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Any

from fetal_jax import __version__
from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.files import write_whole
from fetal_jax.outputs.examinations import tables as examination_tables
from fetal_jax.view import agreement
from fetal_jax.view.exports import data_set, reports, tables
from fetal_jax.view.exports.corrections import corrections
from fetal_jax.view.exports.data_set import DATA_SET
from fetal_jax.view.exports.reader_folder import ReaderFolder
from fetal_jax.view.exports.signed_report import Earlier
from fetal_jax.view.session import Session

TABLE, JSON = "corrections.csv", "corrections.json"
AGREEMENT = ("agreement.csv", "agreement.json")
EXAMINATIONS = ("examinations.csv", "examinations.json")
FOLDERS = ("fhir", "sr")
_ONE_AT_A_TIME = threading.Lock()


def write(session: Session) -> dict[str, Any]:
    """Write all exports, one call at a time; returns their names, and what was left out with the reason.

    Raises:
      UserError: the session is read-only or blinded, a file in the folder is not ours, or a signed report is damaged.
    """
    if session.blinded:
        raise UserError("exports show the machine's and other readers' values: open the folder without --blinded")
    with _ONE_AT_A_TIME:
        return _write(session)


def _write(session: Session) -> dict[str, Any]:
    if not session.store.writable:
        raise UserError("another server holds these results: this one only shows them")
    session.results.refresh()
    review = session.store.path.parent
    own = ReaderFolder(review, session.reader)
    earlier = Earlier(own.existing("sr/*.dcm"))  # before the first is replaced
    left_out: list[str] = []
    found = corrections(session, left_out)
    entries = [tables.entry(session, c) for c in found]
    names = [TABLE, JSON, *AGREEMENT]
    head = {"written_by": f"fetal_jax {__version__}", "schema": 2, "notice": NOT_CLINICAL}
    openings = [asdict(opening) for opening in session.store.openings]
    write_whole(own.common(JSON), json.dumps(head | {"corrections": entries, "openings": openings}, indent=1) + "\n")
    write_whole(own.common(TABLE), tables.as_csv(tables.COLUMNS, [tables.cells(entry) for entry in entries]))
    agreed = agreement.table(session)
    write_whole(own.common(AGREEMENT[0]), agreement.as_csv(agreed))
    write_whole(own.common(AGREEMENT[1]), json.dumps(head | agreed, indent=1) + "\n")
    mine = [c for c in found if c.event.reader == session.reader and c.event.answer.decision == "accepted"]
    written = reports.Written(session, own.claim, earlier, left_out=left_out)
    frames = data_set.write(session, mine, own.claim, written.left_out)
    own_names = [f"{DATA_SET}/frames.csv"] if frames else []
    for c in mine:
        written.frame(c)
    places = {key: k for k, key in enumerate(session.results.examinations)}
    touched = {places[key] for c in mine if (key := (c.row["examination"], c.row["fetus"])) in places}
    records = [record for k in sorted(touched) if (record := written.examination(k))]
    if records:
        write_whole(own.claim(EXAMINATIONS[0]), examination_tables.as_csv(records))
        write_whole(own.claim(EXAMINATIONS[1]), examination_tables.as_json(records))
        own_names += EXAMINATIONS
    own.sweep()
    written.say_why_none_is_signed(mine)
    own_names += [f"{folder}/" for folder in FOLDERS if any((review / own.folder / folder).glob("*"))]
    names += [own.folder + name for name in own_names]
    return {
        "files": [f"{review.absolute()}/{name}" for name in names],
        "corrections": sum(c.event.reader == session.reader and bool(c.event.answer.decision) for c in found),
        "frames": frames,
        "reports": written.signed,
        "left_out": written.left_out,
    }
