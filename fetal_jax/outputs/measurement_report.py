"""A DICOM frame with a value -> a Comprehensive SR: TID 1500 Measurement Report (PS3.16), by highdicom.

Viewers that load measurements back (OHIF, 3D Slicer) read this template; obstetric report systems read TID 5000
(`structured_report`). Each value is a measurement group (TID 1501) with one number, inferred from the ellipse or line
in its image, and its frame in a cine: the form in which viewers write their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.outputs.dicom_parts import (
    MANUFACTURER,
    STRUCTURES,
    fetus_context,
    frame_numbers,
    graphic_type,
    header_of,
    notes,
    observation_context,
    refusing,
    save_report,
    shape_points,
    software,
    uid_of,
)
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source


def write(source: Source, row: Row, path: Path) -> None:
    """Write the row of a DICOM file to a file.

    Raises:
      UserError: the file is not DICOM, or its header lacks something that a report must repeat.
    """
    header = header_of(source)
    with refusing(f"{source} has a header that no report"):
        save_report(path, [header], content(header, row)[0], row["frame"] + 1, "sr1500")


def content(header: Any, row: Row) -> Any:
    """Make the content tree (highdicom MeasurementReport) of a row: a group for each value."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    keys = [key for key in MEASURED if row[key] is not None]
    context = observation_context()
    if row["fetus"]:  # once for all groups: TID 1501 has no item for it
        subject = sr.CodedConcept("121024", "DCM", "Subject Class")
        context.append(sr.CodeContentItem(subject, codes.DCM.Fetus, sr.RelationshipTypeValues.HAS_OBS_CONTEXT))
        context.extend(fetus_context(row["fetus"]))
    return sr.MeasurementReport(
        observation_context=context,
        procedure_reported=codes.SCT.ImagingProcedure,  # CID 100 has no code for ultrasound
        imaging_measurements=[_group(header, row, key) for key in keys],
        referenced_images=[header],
    )


def _group(header: Any, row: Row, key: str) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    quantity, points = MEASURED[key], shape_points(header, row, key)
    image = (header.SOPClassUID, header.SOPInstanceUID, frame_numbers(header, row))
    where: dict[str, Any] = {}
    if points is None:
        where["referenced_images"] = [sr.SourceImageForMeasurement(*image)]
    else:
        shape = sr.CoordinatesForMeasurement(graphic_type(points), points, sr.SourceImageForRegion(*image))
        where["referenced_coordinates"] = [shape]
    name = sr.CodedConcept(quantity.loinc, "LN", quantity.name)
    code, meaning = STRUCTURES[row["plane"]]
    tracked = uid_of(key, str(header.SOPInstanceUID), row["frame"], row["fetus"])
    # the notes are parameters of the algorithm: the template has no place for a comment
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(tracked, quantity.label),
        algorithm_id=sr.AlgorithmIdentification(MANUFACTURER, software(), [quantity.method, NOT_CLINICAL, *notes(row)]),
        finding_sites=[sr.FindingSite(sr.CodedConcept(code, "SCT", meaning))],
        measurements=[sr.Measurement(name, round(row[key], 2), codes.UCUM.Millimeter, **where)],
        source_images=[sr.SourceImageForMeasurementGroup(*image)],
    )
