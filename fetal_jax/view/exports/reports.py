"""Accepted frames and examinations as FHIR Observations and signed DICOM reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError, amount
from fetal_jax.files import write_whole
from fetal_jax.outputs import fhir
from fetal_jax.outputs.dicom_parts import header_of
from fetal_jax.outputs.examinations import fhir as examination_fhir
from fetal_jax.outputs.examinations import tables as examination_tables
from fetal_jax.outputs.rows import NOTED, TO_REVIEW, Row
from fetal_jax.reading.sources import Source
from fetal_jax.view import checklist, examinations
from fetal_jax.view.answer import VALUES, corrected_row
from fetal_jax.view.exports import signed_report
from fetal_jax.view.exports.corrections import Correction
from fetal_jax.view.frames import is_dicom_file
from fetal_jax.view.session import Session
from fetal_jax.view.store import Event

NO_DICOM = "no signed DICOM report: none of the accepted frames is of a DICOM file"
NO_FILE = "no signed report: a DICOM file is gone, changed or damaged"
NO_NAME = "a signed report needs a name: start with --reader=NAME"


@dataclass
class Written:
    """Signed reports that were written, and what was left out, with the reason."""

    session: Session
    claim: Callable[[str], Path]
    earlier: signed_report.Earlier
    signed: int = 0
    left_out: list[str] = field(default_factory=list)
    _files: dict[str, Source | None] = field(default_factory=dict)

    def frame(self, c: Correction) -> None:
        """Write FHIR of an accepted value, and a signed SR if the source is DICOM."""
        row = corrected_row(c.row, c.event.answer, c.event.mm)
        if not any(row[value] for value in VALUES):
            return
        name, what = f"{c.number + 1:05d}", self.session.results.name(c.row)
        bundle = fhir.bundle(row, fhir.context(row))
        items = self.session.checklist(c.row, c.event.answer)
        score = f"checklist {checklist.score(items)} ({checklist.SOURCE})" if items else ""
        comment = c.event.answer.comment and f"comment of {self._reader}: {c.event.answer.comment}"
        self._fhir(name, bundle, score, comment)
        source, results = self._dicom(c.row), self.session.results.folder
        if source is None:
            if self._was_dicom(c.row):
                self.left_out.append(f"{what}: {NO_FILE}")
            return
        self._sign(what, lambda: signed_report.write(source, c, row, results, self.claim, name, self.earlier))

    def examination(self, k: int) -> dict[str, Any] | None:
        """Write FHIR and signed SR of an examination's accepted frames; returns its record, None if there are none."""
        found, index, undecided = examinations.accepted(self.session, k)
        summary = found.visits[index]
        if not summary.sizes_mm:
            return None
        what = " · ".join(filter(None, [f"examination {summary.examination.name}", summary.examination.fetus]))
        missing = f"report is without {amount(undecided, 'frame')} that nobody decided on" if undecided else ""
        if missing:
            self.left_out.append(f"{what}: its {missing}")
        counted = [row for s in summary.structures.values() for row in s.counted]
        notes = [*([f"This {missing}"] if missing else []), *self._comments(counted)]
        machine, at = examinations.of_machine(self.session, k)
        name = f"{signed_report.OF_EXAMINATION}{k + 1:05d}"
        beside = ", ".join(f"{key.upper()} {mm:.2f} mm" for key, mm in machine.visits[at].sizes_mm.items())
        lead = NOTED if self.session.reader else TO_REVIEW
        said = f"measured by the machine: {beside or 'no value'}"
        self._fhir(name, examination_fhir.bundle(summary, lead), said, *notes)
        if all(map(self._dicom, counted)):
            reader, decided = self.session.reader, self._decided(counted)
            self._sign(
                what,
                lambda: signed_report.write_examination(
                    *(summary, machine.visits[at], reader, decided, self._header, self.claim, k, name, notes),
                    self.earlier,
                ),
            )
        elif any(self._was_dicom(row) and not self._dicom(row) for row in counted):
            self.left_out.append(f"{what}: {NO_FILE}")
        return examination_tables.record(found, index) | {"signed": bool(self.session.reader)}

    def say_why_none_is_signed(self, accepted: list[Correction]) -> None:
        """Name the reason that no frame by itself has: there is no DICOM source at all."""
        if accepted and not any(self._dicom(c.row) for c in accepted):
            self.left_out.append(NO_DICOM)

    def _fhir(self, name: str, bundle: dict[str, Any], *notes: str) -> None:
        """Write a Bundle as final, with its performer."""
        reader = self.session.reader
        for item in bundle["entry"]:
            item["resource"] |= {"status": "final", "performer": [{"display": reader}]} if reader else {}
            item["resource"]["note"] += [{"text": note} for note in notes if note]
        write_whole(self.claim(f"fhir/{name}.json"), json.dumps(bundle, indent=1) + "\n")

    def _sign(self, what: str, write: Callable[[], None]) -> None:
        if not self.session.reader:
            self.left_out.append(f"{what}: {NO_NAME}")
            return
        try:
            write()
            self.signed += 1
        except UserError as e:
            self.left_out.append(f"{what}: {e}")

    @property
    def _reader(self) -> str:
        return self.session.reader or "the reader"

    def _answered(self, row: Row) -> Event:
        """The reader's last event of a frame that counts."""
        return self.session.store.histories[self.session.reader, row["file"], row["frame"]].events[-1]

    def _decided(self, rows: list[Row]) -> datetime:
        """When the reader accepted the last of the frames that count."""
        return max(datetime.fromisoformat(self._answered(row).time) for row in rows)

    def _comments(self, rows: list[Row]) -> list[str]:
        """The reader's comments on the frames that count, each with its plane: a file's name may name a patient."""
        said = [(row["plane"], self._answered(row).answer.comment) for row in rows]
        return [f"Comment of {self._reader} on the {plane}: {comment}" for plane, comment in said if comment]

    def _dicom(self, row: Row) -> Source | None:
        """The DICOM file of a row; None if it is none, gone or changed. An export looks at each file once."""
        if row["file"] not in self._files:
            source = self.session.results.source(row)
            self._files[row["file"]] = source if source is not None and is_dicom_file(source) else None
        return self._files[row["file"]]

    def _was_dicom(self, row: Row) -> bool:
        """Whether a row's file was DICOM when it was measured."""
        return bool(row["instance"]) or row["spacing_source"] == "dicom"

    def _header(self, row: Row) -> Any:
        if (source := self._dicom(row)) is None:
            raise UserError("a frame is no DICOM, not where it was measured, or has changed since: bring the file back")
        return header_of(source)
