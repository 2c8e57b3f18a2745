"""An examination -> the content of one Comprehensive SR (TID 5000): head, abdomen and femur, age and weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fetal_jax.errors import UserError, with_notice
from fetal_jax.growth import format_age
from fetal_jax.outputs.dicom_parts import spacing_note
from fetal_jax.outputs.examinations.examination import Structure, Summary
from fetal_jax.outputs.examinations.fhir import WEIGHT
from fetal_jax.outputs.rows import TO_REVIEW, Row
from fetal_jax.outputs.structured_report import (
    container,
    dcm,
    mark,
    measurement,
    measurements,
    number,
    tree,
)
from fetal_jax.planes import MEASURED

AGE = ("11888-5", "Composite Ultrasound Age")  # LOINC
_MEDIAN = ("373099004", "SCT", "Median")


def content(summary: Summary, header_of: Callable[[Row], Any], lead: str = TO_REVIEW) -> tuple[list[Any], Any]:
    """Make the report: the headers it refers to, and its root container.

    A Biometry Group for each structure holds the values of all counted frames, and their median if there are
    several; the Fetus Summary holds weight and age.

    Args:
      summary: of an examination with at least one value.
      header_of: reads the DICOM header of a row.
      lead: begins the notes of an examination to review: `rows.TO_REVIEW` or `rows.NOTED`.

    Raises:
      UserError: a counted frame is not DICOM, or the frames are of several studies or patients.
    """
    from highdicom import sr
    from pydicom.sr.codedict import codes

    counted = [row for s in summary.structures.values() for row in s.counted]
    parts = [(header_of(row), row) for row in counted]
    if len({(str(h.StudyInstanceUID), str(h.PatientID)) for h, _ in parts}) != 1:
        raise UserError("its frames are of several DICOM studies or patients: one report cannot hold them")
    headers = list({str(h.SOPInstanceUID): h for h, _ in parts}.values())
    of_row = {id(row): header for header, row in parts}
    groups = [_group(s, of_row) for s in summary.structures.values() if s.counted]
    doubt = "; ".join(summary.notes) if summary.status == "review" else ""
    of_fetus = []
    if summary.weight:
        of_fetus.append(number(WEIGHT, summary.weight.grams, sr.CodedConcept("g", "UCUM", "gram")))
        mark(of_fetus[-1], f"formula {summary.weight.formula}")
    if summary.age:
        of_fetus.append(number(AGE, summary.age.weeks, codes.UCUM.Week))
        low, high = format_age(summary.age.low), format_age(summary.age.high)
        mark(of_fetus[-1], f"{summary.age.formula}; 95 % range {low} to {high}")
    spacing = dict.fromkeys(spacing_note(row) for row in counted)
    said = [f"{lead}: {doubt}"] if doubt else []
    return headers, tree(parts, [with_notice(spacing), *said], groups, summary.examination.fetus, of_fetus)


def _group(structure: Structure, headers: dict[int, Any]) -> Any:
    from highdicom import sr

    items = [item for row in structure.counted for item in measurements(headers[id(row)], row)]
    if len(structure.counted) > 1:
        for quantity in MEASURED.values():
            if quantity.key in structure.sizes_mm:
                item = measurement(quantity, structure.sizes_mm[quantity.key])
                relation = sr.RelationshipTypeValues.HAS_CONCEPT_MOD
                item.ContentSequence.append(
                    sr.CodeContentItem(dcm("121401", "Derivation"), sr.CodedConcept(*_MEDIAN), relation)
                )
                items.append(item)
    return container(dcm("125005", "Biometry Group"), items, "5008")
