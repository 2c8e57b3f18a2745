"""An accepted frame -> a verified Comprehensive SR (TID 5000) that names the machine's as its predecessor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fetal_jax.outputs import formats, structured_report
from fetal_jax.outputs.dicom_source import header_of, refusing, save_report
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source
from fetal_jax.view.corrections import Correction

ORGANIZATION = "not stated"


def write(source: Source, c: Correction, row: Row, results: Path, claim: Callable[[str], Path], name: str) -> None:
    """Write the corrected row as `sr/NAME.dcm`, signed by the reader.

    The machine's report is written first, where `measure` has not written it.

    Raises:
      UserError: highdicom is not installed, or the header lacks what a report must repeat.
    """
    header = header_of(source)
    import pydicom

    predecessor = _machine_report(source, c, results, claim, name)
    reader = _person_name(c.event.reader)
    root = structured_report.content(header, row)[0]
    _add_person(root, reader)
    _add_comment(root, c)
    with refusing("there is a header or a name that no report"):
        signed = {
            "is_final": True,
            "is_verified": True,
            "verifying_observer_name": reader,
            "verifying_organization": ORGANIZATION,
            "previous_versions": [pydicom.dcmread(predecessor)] if predecessor else None,
        }
        save_report(header, root, row, 901, claim(f"sr/{name}.dcm"), **signed)


def _person_name(reader: str) -> str:
    """A name as DICOM has it: family name, caret, given name."""
    return reader if "^" in reader else f"{reader}^"


def _machine_report(
    source: Source, c: Correction, results: Path, claim: Callable[[str], Path], name: str
) -> Path | None:
    """The machine's report of the same frame; None where the machine gave no value."""
    if not any(c.row[key] for key in MEASURED):
        return None
    there = results / formats.name("sr", c.row["overlay"] or f"{name}.png")
    if there.is_file() and _names_frame(there, c.row["frame"]):
        return there
    path = claim(f"sr/{name}_machine.dcm")
    structured_report.write(source, c.row, path)
    return path


def _names_frame(path: Path, frame: int) -> bool:
    import pydicom

    return int(pydicom.dcmread(path, specific_tags=["InstanceNumber"]).get("InstanceNumber", 0)) == frame + 1


def _add_person(root: Any, reader: str) -> None:
    """The person observer, after the device."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    person = sr.PersonObserverIdentifyingAttributes(name=reader)
    observer = sr.ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person)
    end = next(i for i, item in enumerate(root.ContentSequence) if item.ValueType == "CONTAINER")
    for offset, item in enumerate(observer):
        root.ContentSequence.insert(end + offset, item)


def _add_comment(root: Any, c: Correction) -> None:
    """The machine's values and the reader's comment, in the summary."""
    from highdicom import sr

    summary = next(
        item
        for item in root.ContentSequence
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeValue == "121111"
    )
    values = [f"{q.label} {c.row[key]:.2f} mm" for key, q in MEASURED.items() if c.row[key] is not None]
    texts = [f"Measured by the machine: {', '.join(values) or 'no value'} (status {c.row['status']})"]
    texts += [f"Comment of {c.event.reader}: {c.event.answer.comment}"] if c.event.answer.comment else []
    code = sr.CodedConcept("121106", "DCM", "Comment")
    for text in texts:
        summary.ContentSequence.append(sr.TextContentItem(code, text, sr.RelationshipTypeValues.CONTAINS))
