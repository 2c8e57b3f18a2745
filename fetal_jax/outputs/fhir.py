"""A row with a value -> FHIR R4 Observations, as one Bundle of type collection. Plain JSON."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.outputs.dicom_source import MANUFACTURER, header_of, software
from fetal_jax.outputs.results import GESTATIONAL_AGE, SPACING_SOURCES, Row, doubt
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source

UCUM, LOINC_SYSTEM, SNOMED = "http://unitsofmeasure.org", "http://loinc.org", "http://snomed.info/sct"
UNCERTAIN = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "UNCERTREL",
    "display": "uncertain reliability",
}
"""Mark of a value to review. All of ours are `preliminary`: nobody has looked at them."""
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def write(source: Source, row: Row, picture: Path) -> None:
    """Write a row as `picture`'s name with `.json`. For a DICOM file it names patient, study and time too."""
    try:
        context = _dicom_context(header_of(source))
    except UserError:  # a plain image, or no DICOM reader: there is nobody to name
        context = {}
    picture.with_suffix(".json").write_text(json.dumps(bundle(row, context), indent=1) + "\n")


def bundle(row: Row, context: dict[str, Any]) -> dict[str, Any]:
    """The Bundle of a row's values; `context` goes into every Observation."""
    values = [(key, row[key], (q.loinc, q.name), q.unit) for key, q in MEASURED.items() if row[key] is not None]
    if row["ga_weeks"] is not None:
        values.append(("ga_weeks", row["ga_weeks"], GESTATIONAL_AGE, "wk"))
    entries = [_observation(row, *value) | context for value in values]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": entry} for entry in entries],
    }


def _observation(row: Row, key: str, value: float, code: tuple[str, str], unit: str) -> dict[str, Any]:
    method = MEASURED[key].method if key in MEASURED else f"{row['ga_standard']}, from this frame"
    notes = [NOT_CLINICAL, *filter(None, [doubt(row)])]
    if row["spacing_source"]:
        notes.append(f"spacing from {SPACING_SOURCES[row['spacing_source']]}: {row['spacing_mm']:.5g} mm per pixel")
    mark = {"meta": {"security": [UNCERTAIN]}} if doubt(row) else {}
    return mark | {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": CATEGORY, "code": "imaging"}]}],
        "code": {"coding": [{"system": LOINC_SYSTEM, "code": code[0]}], "text": f"Fetal {code[1]}"},
        "bodySite": {"coding": [{"system": SNOMED, "code": "55460000"}], "text": "Fetus"},
        "method": {"text": method},
        "device": {"display": f"{MANUFACTURER} {software()}"},
        "valueQuantity": {"value": round(value, 2), "unit": unit, "system": UCUM, "code": unit},
        "note": [{"text": "; ".join(notes)}],
    }


def _dicom_context(header: Any) -> dict[str, Any]:
    context: dict[str, Any] = {
        "derivedFrom": [
            {
                "type": "ImagingStudy",
                "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{header.StudyInstanceUID}"},
            }
        ]
    }
    if header.PatientID:
        context["subject"] = {"type": "Patient", "identifier": {"value": str(header.PatientID)}}
    date = str(header.StudyDate)
    if len(date) == 8 and date.isdigit():
        context["effectiveDateTime"] = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return context
