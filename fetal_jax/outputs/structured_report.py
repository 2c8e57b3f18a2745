"""DICOM frames with values -> a Comprehensive SR: TID 5000 OB-GYN Ultrasound Procedure Report (PS3.16).

highdicom has the value types, but not this template: the tree is built here. Fetal Biometry (TID 5005) holds Biometry
Groups (TID 5008) with a measurement (TID 300) for each value, inferred from the ellipse or line in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fetal_jax.errors import with_notice
from fetal_jax.outputs.dicom_parts import (
    fetus_context,
    frame_numbers,
    graphic_type,
    header_of,
    notes,
    observation_context,
    refusing,
    report_at,
    report_in,
    save_report,
    shape_points,
)
from fetal_jax.outputs.rows import GESTATIONAL_AGE, Row, doubt
from fetal_jax.planes import MEASURED, Quantity
from fetal_jax.reading.sources import Source

ORGANIZATION = "not stated"
"""Organization of a verifying observer."""


def write(source: Source, row: Row, path: Path) -> None:
    """Write the row of a DICOM file to a file.

    Raises:
      UserError: the file is not DICOM, or its header lacks something that a report must repeat.
    """
    header = header_of(source)
    with refusing(f"{source} has a header that no report"):
        save_report(path, [header], content(header, row), row["frame"] + 1, "sr")


def save(path: Path, headers: Sequence[Any], root: Any, number: int) -> None:
    """Write a report that nobody has verified.

    Args:
      path: of the file.
      headers: of the images that the content names.
      root: the content container.
      number: the instance number.

    Raises:
      UserError: a header that lacks what a report must repeat.
    """
    with refusing("there is a header that no report"):
        save_report(path, headers, root, number, "sr")


def sign(
    path: Path,
    headers: Sequence[Any],
    root: Any,
    number: int,
    signer: str,
    at: datetime,
    machine: Path | None,
    earlier: bytes | None,
) -> None:
    """Write a verified report.

    It names the reports that it takes the place of: the machine's, and the one that was signed before. If that one is
    the same, it is written again.

    Args:
      path, headers, root, number: as `save` takes them.
      signer: who verifies it, as DICOM has names.
      at: when.
      machine: the machine's report; None where it gave no value.
      earlier: the file of the report that was signed before of the same frames; None: there is none.

    Raises:
      UserError: a header lacks something that a report must repeat, or the name is not valid in DICOM.
    """
    before = [report_at(machine)] if machine else []
    before += [report_in(earlier)] if earlier else []
    with refusing("there is a header or a name that no report"):
        save_report(
            *(path, headers, root, number, "signed sr", at, earlier),
            is_final=True,
            is_verified=True,
            verifying_observer_name=signer,
            verifying_organization=ORGANIZATION,
            previous_versions=before or None,
        )


def named(report: Any) -> set[str]:
    """The images that a report names; none in one that is cut short."""
    evidence = report.get("CurrentRequestedProcedureEvidenceSequence", ())
    series = [s for e in evidence for s in e.ReferencedSeriesSequence]
    return {image.ReferencedSOPInstanceUID for s in series for image in s.ReferencedSOPSequence}


def content(header: Any, row: Row) -> Any:
    """Make the root container of a row's report."""
    from pydicom.sr.codedict import codes

    values = measurements(header, row)
    if row["ga_weeks"] is not None:
        age = number(GESTATIONAL_AGE, row["ga_weeks"], codes.UCUM.Week)
        mark(age, doubt(row))
        values.append(age)
    groups = [container(dcm("125005", "Biometry Group"), values, "5008")]
    return tree([(header, row)], [with_notice(notes(row))], groups, row["fetus"])


def tree(
    parts: Sequence[tuple[Any, Row]],
    notes: Sequence[str],
    groups: list[Any],
    fetus: str | None,
    of_fetus: Sequence[Any] = (),
) -> Any:
    """Make the root container of a report.

    Args:
      parts: header and row of each frame in the report.
      notes: for the summary, in plain words.
      groups: Biometry Groups.
      fetus: its name if there are several: the headings of its values state it (PS3.17 I.3).
      of_fetus: items of the Fetus Summary (TID 5003); empty: it is left out.
    """
    from highdicom import sr

    contains = sr.RelationshipTypeValues.CONTAINS
    best = dcm("121080", "Best illustration of finding")
    images = [_image(header, row, best, contains) for header, row in parts]
    summary: list[Any] = [sr.TextContentItem(dcm("121106", "Comment"), note, contains) for note in notes]
    if of_fetus:
        summary.append(container(dcm("125008", "Fetus Summary"), [*fetus_context(fetus), *of_fetus], "5003"))
    root = sr.ContainerContentItem(dcm("125000", "OB-GYN Ultrasound Procedure Report"), template_id="5000")
    root.ContentSequence = sr.ContentSequence(
        [
            *observation_context(),
            container(dcm("111028", "Image Library"), images, None),
            container(dcm("121111", "Summary"), summary, "5002"),
            container(dcm("125002", "Fetal Biometry"), [*fetus_context(fetus), *groups], "5005"),
        ]
    )
    return root


def measurements(header: Any, row: Row) -> list[Any]:
    """Make a measurement item for each value of a frame, inferred from its outline."""
    found, source = [], dcm("121112", "Source of Measurement")
    for key, quantity in MEASURED.items():
        if row[key] is not None:
            item = measurement(quantity, row[key])
            item.ContentSequence.append(_where(header, row, key, source))
            mark(item, doubt(row))
            found.append(item)
    return found


def measurement(quantity: Quantity, value: float) -> Any:
    """Make the item of a size in millimetres, with its method."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    item = number((quantity.loinc, quantity.name), value, codes.UCUM.Millimeter)
    comment = sr.TextContentItem(dcm("121050", "Equivalent Meaning of Concept Name"), quantity.method)
    comment.RelationshipType = sr.RelationshipTypeValues.HAS_CONCEPT_MOD.value
    item.ContentSequence = sr.ContentSequence([comment])
    return item


def mark(item: Any, text: str) -> None:
    """Add a comment to a value; an empty text adds nothing."""
    from highdicom import sr

    if text:
        comment = sr.TextContentItem(dcm("121106", "Comment"), text, sr.RelationshipTypeValues.HAS_PROPERTIES)
        item.ContentSequence = sr.ContentSequence([*item.get("ContentSequence", ()), comment])


def dcm(value: str, meaning: str) -> Any:
    """Make a code of DICOM's own scheme."""
    from highdicom import sr

    return sr.CodedConcept(value, "DCM", meaning)


def container(name: Any, items: list[Any], template: str | None) -> Any:
    """Make a container below another one."""
    from highdicom import sr

    item = sr.ContainerContentItem(name, template_id=template, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    item.ContentSequence = sr.ContentSequence(items)
    return item


def number(name: tuple[str, str], value: float, unit: Any) -> Any:
    """Make a number with a LOINC code, rounded to two digits."""
    from highdicom import sr

    code = sr.CodedConcept(name[0], "LN", name[1])
    return sr.NumContentItem(code, round(value, 2), unit, relationship_type=sr.RelationshipTypeValues.CONTAINS)


def _image(header: Any, row: Row, name: Any, relation: Any) -> Any:
    from highdicom import sr

    frames = frame_numbers(header, row)
    return sr.ImageContentItem(name, header.SOPClassUID, header.SOPInstanceUID, frames, relationship_type=relation)


def _where(header: Any, row: Row, key: str, name: Any) -> Any:
    """The measured shape in its image, or only the image if the shape leaves the frame."""
    from highdicom import sr

    points = shape_points(header, row, key)
    if points is None:
        return _image(header, row, name, sr.RelationshipTypeValues.INFERRED_FROM)
    item = sr.ScoordContentItem(
        name, graphic_type(points), points, relationship_type=sr.RelationshipTypeValues.INFERRED_FROM
    )
    item.ContentSequence = sr.ContentSequence([_image(header, row, name, sr.RelationshipTypeValues.SELECTED_FROM)])
    return item
