"""A DICOM frame with a value -> a Comprehensive SR: TID 5000 OB-GYN Ultrasound Procedure Report (PS3.16).

highdicom has the value types, but no template for it: the tree is built here. Fetal Biometry (TID 5005) holds one
Biometry Group (TID 5008) with a measurement (TID 300) for each value, inferred from the ellipse or line in the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.outputs.dicom_source import (
    frame_numbers,
    header_of,
    observation_context,
    refusing,
    save_report,
    shape_points,
)
from fetal_jax.outputs.rows import GESTATIONAL_AGE, SPACING_SOURCES, Row, doubt
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source


def write(source: Source, row: Row, picture: Path) -> None:
    """Write the row of a DICOM file as `picture`'s name with `.dcm`.

    Raises:
      UserError: the file is no DICOM, or its header does not hold what a report must repeat.
    """
    header = header_of(source)
    with refusing(f"{source} has a header that no report"):
        save_report(header, content(header, row)[0], row, 900, picture.with_suffix(".dcm"))


def content(header: Any, row: Row) -> Any:
    """The content tree (highdicom ContentSequence) of a row."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    def dcm(value: str, meaning: str) -> Any:
        return sr.CodedConcept(value, "DCM", meaning)

    contains = sr.RelationshipTypeValues.CONTAINS

    def container(name: Any, items: list[Any], template: str | None) -> Any:
        item = sr.ContainerContentItem(name, template_id=template, relationship_type=contains)
        item.ContentSequence = sr.ContentSequence(items)
        return item

    def number(name: tuple[str, str], value: float, unit: Any, digits: int) -> Any:
        code = sr.CodedConcept(name[0], "LN", name[1])
        return sr.NumContentItem(code, round(value, digits), unit, relationship_type=contains)

    def marks() -> list[Any]:
        """A comment on a value to review. The document is preliminary and unverified in any case."""
        relation = sr.RelationshipTypeValues.HAS_PROPERTIES
        return [sr.TextContentItem(dcm("121106", "Comment"), doubt(row), relation)] if doubt(row) else []

    values, source = [], dcm("121112", "Source of Measurement")
    for key, quantity in MEASURED.items():
        if row[key] is None:
            continue
        item = number((quantity.loinc, quantity.name), row[key], codes.UCUM.Millimeter, 2)
        comment = sr.TextContentItem(dcm("121050", "Equivalent Meaning of Concept Name"), quantity.method)
        comment.RelationshipType = sr.RelationshipTypeValues.HAS_CONCEPT_MOD.value
        item.ContentSequence = sr.ContentSequence([comment, _where(header, row, key, source), *marks()])
        values.append(item)
    if row["ga_weeks"] is not None:
        age = number(GESTATIONAL_AGE, row["ga_weeks"], codes.UCUM.Week, 2)
        if doubt(row):
            age.ContentSequence = sr.ContentSequence(marks())
        values.append(age)

    notes = [NOT_CLINICAL, *filter(None, [doubt(row)]), f"spacing from {SPACING_SOURCES[row['spacing_source']]}"]
    note = sr.TextContentItem(dcm("121106", "Comment"), "; ".join(notes), contains)
    group = container(dcm("125005", "Biometry Group"), values, "5008")
    biometry = container(dcm("125002", "Fetal Biometry"), [group], "5005")
    summary = container(dcm("121111", "Summary"), [note], "5002")
    image = _image(header, row, dcm("121080", "Best illustration of finding"), contains)
    library = container(dcm("111028", "Image Library"), [image], None)
    root = sr.ContainerContentItem(dcm("125000", "OB-GYN Ultrasound Procedure Report"), template_id="5000")
    root.ContentSequence = sr.ContentSequence([*observation_context(), library, summary, biometry])
    return sr.ContentSequence([root], is_root=True)


def _image(header: Any, row: Row, name: Any, relation: Any) -> Any:
    from highdicom import sr

    frames = frame_numbers(header, row)
    return sr.ImageContentItem(name, header.SOPClassUID, header.SOPInstanceUID, frames, relationship_type=relation)


def _where(header: Any, row: Row, key: str, name: Any) -> Any:
    """The shape in the image that a value was taken from; the image alone if the shape leaves the frame."""
    from highdicom import sr

    points = shape_points(header, row, key)
    if points is None:
        return _image(header, row, name, sr.RelationshipTypeValues.INFERRED_FROM)
    kind = sr.GraphicTypeValues.ELLIPSE if len(points) == 4 else sr.GraphicTypeValues.POLYLINE
    item = sr.ScoordContentItem(name, kind, points, relationship_type=sr.RelationshipTypeValues.INFERRED_FROM)
    item.ContentSequence = sr.ContentSequence([_image(header, row, name, sr.RelationshipTypeValues.SELECTED_FROM)])
    return item
