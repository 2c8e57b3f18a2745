"""A DICOM frame with a value -> a Comprehensive SR: TID 5000 OB-GYN Ultrasound Procedure Report (PS3.16).

highdicom has the value types, but no template for it: the tree is built here. Fetal Biometry (TID 5005) holds one
Biometry Group (TID 5008) with a measurement (TID 300) for each value, inferred from the ellipse or line in the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.dicom_source import MANUFACTURER, MODEL, header_of, software
from fetal_jax.outputs.rows import GESTATIONAL_AGE, SPACING_SOURCES, Row, doubt
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source


def write(source: Source, row: Row, picture: Path) -> None:
    """Write the row of a DICOM file as `picture`'s name with `.dcm`.

    Raises:
      UserError: the file is no DICOM, or its header does not hold what a report must repeat.
    """
    header = header_of(source)
    import highdicom as hd

    try:
        document = hd.sr.ComprehensiveSR(
            evidence=[header],
            content=content(header, row)[0],
            series_instance_uid=hd.UID(),
            series_number=900,
            sop_instance_uid=hd.UID(),
            instance_number=row["frame"] + 1,
            manufacturer=MANUFACTURER,
            is_complete=True,
        )
        document.ManufacturerModelName, document.SoftwareVersions = MODEL, software()
        document.DeviceSerialNumber = "1"
        document.save_as(picture.with_suffix(".dcm"), enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, KeyError) as e:
        raise UserError(f"{source} has a header that no report can repeat ({str(e)[:80]}): export it again") from None


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

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_device_uid(), name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=MODEL
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    context = sr.ObservationContext(observer_device_context=observer)
    notes = [NOT_CLINICAL, *filter(None, [doubt(row)]), f"spacing from {SPACING_SOURCES[row['spacing_source']]}"]
    note = sr.TextContentItem(dcm("121106", "Comment"), "; ".join(notes), contains)
    group = container(dcm("125005", "Biometry Group"), values, "5008")
    biometry = container(dcm("125002", "Fetal Biometry"), [group], "5005")
    summary = container(dcm("121111", "Summary"), [note], "5002")
    image = _image(header, row, dcm("121080", "Best illustration of finding"), contains)
    library = container(dcm("111028", "Image Library"), [image], None)
    root = sr.ContainerContentItem(dcm("125000", "OB-GYN Ultrasound Procedure Report"), template_id="5000")
    root.ContentSequence = sr.ContentSequence([*context, library, summary, biometry])
    return sr.ContentSequence([root], is_root=True)


def _image(header: Any, row: Row, name: Any, relation: Any) -> Any:
    from highdicom import sr

    frames = [row["frame"] + 1] if int(header.get("NumberOfFrames") or 1) > 1 else None
    return sr.ImageContentItem(name, header.SOPClassUID, header.SOPInstanceUID, frames, relationship_type=relation)


def _where(header: Any, row: Row, key: str, name: Any) -> Any:
    """The shape in the image that a value was taken from; the image alone if the shape leaves the frame.

    DICOM counts from the corner of the first pixel, as we do (PS3.3 C.18.6).
    """
    from highdicom import sr

    points, outline = _points(row, key)
    inside = (outline >= 0).all() and (outline <= [int(header.Columns), int(header.Rows)]).all()
    if not inside:
        return _image(header, row, name, sr.RelationshipTypeValues.INFERRED_FROM)
    kind = sr.GraphicTypeValues.ELLIPSE if len(points) == 4 else sr.GraphicTypeValues.POLYLINE
    item = sr.ScoordContentItem(name, kind, points, relationship_type=sr.RelationshipTypeValues.INFERRED_FROM)
    item.ContentSequence = sr.ContentSequence([_image(header, row, name, sr.RelationshipTypeValues.SELECTED_FROM)])
    return item


def _points(row: Row, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Points that DICOM draws (ends of both axes of an ellipse, two ends of a line), and those of the outline."""
    if row["shaft_px"]:
        ends = Shaft(*row["shaft_px"]).ends
        return ends, ends
    ellipse = Ellipse(*row["ellipse_px"])
    ends = ellipse.ends
    axis = {"ofd_mm": ends[:2], "bpd_mm": ends[2:]}.get(key)
    return (ends, ellipse.points(90)) if axis is None else (axis, axis)


def _device_uid() -> Any:
    """The same for every report of this version."""
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[MANUFACTURER, software()])
