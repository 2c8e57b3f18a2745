"""Accepted frames and examinations -> verified Comprehensive SRs (TID 5000).

An answer that has not changed is the same object in every export. One that has changed names the report that was signed
before, and both name the machine's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fetal_jax.outputs import formats, structured_report
from fetal_jax.outputs.dicom_parts import header_of, report_at
from fetal_jax.outputs.examinations import structured_report as of_examination
from fetal_jax.outputs.examinations.examination import Summary
from fetal_jax.outputs.rows import NOTED, Row
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source
from fetal_jax.view.exports.corrections import Correction

Claim = Callable[[str], Path]
OF_EXAMINATION, OF_MACHINE = "examination_", "_machine"
"""Beginning of the name of an examination's report; end of the name of the machine's."""


@dataclass(frozen=True)
class Signed:
    """A report that was signed before: its file, its number in the series, and whether it is of an examination."""

    data: bytes
    number: int
    of_examination: bool


class Earlier:
    """The reports that a reader has signed before an export, by the images that they name.

    The names of the files follow from the numbers of the rows, which new frames shift.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the files.

        Raises:
          UserError: a report is damaged.
        """
        self._of_image = defaultdict[str, list[Signed]](list)
        for path in paths:
            if path.stem.endswith(OF_MACHINE) or (report := report_at(path)) is None:
                continue
            if images := structured_report.named(report):  # one that is cut short may lack its number too
                of_examination = path.stem.startswith(OF_EXAMINATION)
                signed = Signed(path.read_bytes(), int(report.InstanceNumber), of_examination)
                for image in images:
                    self._of_image[image].append(signed)

    def frame(self, header: Any, number: int) -> Signed | None:
        """The report of a frame, by its number in the image; None if there is none."""
        found = self._of_image[header.SOPInstanceUID]
        return next((s for s in found if not s.of_examination and s.number == number), None)

    def examination(self, headers: Sequence[Any], number: int) -> Signed | None:
        """The report of an examination that shares an image; of several the one of this number. None: there is none."""
        found = [s for h in headers for s in self._of_image[h.SOPInstanceUID] if s.of_examination]
        return max(found, key=lambda s: s.number == number, default=None)


def write(source: Source, c: Correction, row: Row, results: Path, claim: Claim, name: str, earlier: Earlier) -> None:
    """Write the corrected row as `sr/NAME.dcm`, signed by the reader.

    The machine's report is written first, if `measure` has not written it.

    Raises:
      UserError: highdicom is not installed, or the header lacks what a report must repeat.
    """
    header = header_of(source)
    predecessor = _machine_report(source, c, results, claim, name)
    root = structured_report.content(header, row)
    values = _said(c.row, MEASURED)
    notes = [f"Measured by the machine: {values} (status {c.row['status']})"]
    notes += [f"Comment of {c.event.reader}: {c.event.answer.comment}"] if c.event.answer.comment else []
    _sign(root, _person_name(c.event.reader), notes)
    path, at, number = claim(f"sr/{name}.dcm"), datetime.fromisoformat(c.event.time), row["frame"] + 1
    before = earlier.frame(header, number)
    signer = _person_name(c.event.reader)
    structured_report.sign(path, [header], root, number, signer, at, predecessor, before.data if before else None)


def write_examination(
    signed: Summary,
    machine: Summary,
    reader: str,
    at: datetime,
    header: Callable[[Row], Any],
    claim: Claim,
    k: int,
    name: str,
    notes: list[str],
    earlier: Earlier,
) -> None:
    """Write an examination as `sr/NAME.dcm`, signed by the reader, and the machine's own first.

    Args:
      signed: what the reader accepted; one structure has a value.
      machine: the same examination before anybody corrected it.
      reader: who signs.
      at: when the reader accepted the last of its frames.
      header: gives the DICOM header of a row.
      claim: gives the path of a file.
      k: number of the examination.
      name: of the file.
      notes: what the report says besides.
      earlier: the reports that were signed before.

    Raises:
      UserError: frames are not DICOM or of several studies, or a header lacks something that a report must repeat.
    """
    headers, root = of_examination.content(signed, header, NOTED)
    before = earlier.examination(headers, k + 1)
    number = before.number if before else k + 1  # which its UID follows from
    predecessor = None
    if machine.sizes_mm:
        predecessor = claim(f"sr/{name}{OF_MACHINE}.dcm")
        structured_report.save(predecessor, *of_examination.content(machine, header), number)
    sizes = {f"{key}_mm": mm for key, mm in machine.sizes_mm.items()}
    notes = [f"Measured by the machine: {_said(sizes, MEASURED)} (status {machine.status})", *notes]
    _sign(root, _person_name(reader), notes)
    path, signer = claim(f"sr/{name}.dcm"), _person_name(reader)
    structured_report.sign(path, headers, root, number, signer, at, predecessor, before.data if before else None)


def _said(values: Any, quantities: Any) -> str:
    found = [f"{q.label} {values[key]:.2f} mm" for key, q in quantities.items() if values.get(key) is not None]
    return ", ".join(found) or "no value"


def _person_name(reader: str) -> str:
    """Convert a name to DICOM's form: family name, caret, given name."""
    return reader if "^" in reader else f"{reader}^"


def _machine_report(source: Source, c: Correction, results: Path, claim: Claim, name: str) -> Path | None:
    """The machine's report of the same frame; None if the machine gave no value."""
    if not any(c.row[key] for key in MEASURED):
        return None
    there = results / formats.name("sr", c.row["overlay"] or f"{name}.png")
    if there.is_file() and _names_frame(there, c.row["frame"]):
        return there
    path = claim(f"sr/{name}{OF_MACHINE}.dcm")
    structured_report.write(source, c.row, path)
    return path


def _names_frame(path: Path, frame: int) -> bool:
    import pydicom

    return int(pydicom.dcmread(path, specific_tags=["InstanceNumber"]).get("InstanceNumber", 0)) == frame + 1


def _sign(root: Any, reader: str, notes: list[str]) -> None:
    """Add the person observer after the device, and notes to the summary."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    person = sr.PersonObserverIdentifyingAttributes(name=reader)
    observer = sr.ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person)
    end = next(i for i, item in enumerate(root.ContentSequence) if item.ValueType == "CONTAINER")
    for offset, item in enumerate(observer):
        root.ContentSequence.insert(end + offset, item)
    summary = next(
        item
        for item in root.ContentSequence
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeValue == "121111"
    )
    code = sr.CodedConcept("121106", "DCM", "Comment")
    for text in notes:
        summary.ContentSequence.append(sr.TextContentItem(code, text, sr.RelationshipTypeValues.CONTAINS))
