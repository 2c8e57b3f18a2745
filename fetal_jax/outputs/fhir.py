"""A row with a value -> FHIR R4 Observations, as one Bundle of type collection. Plain JSON."""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

from fetal_jax.errors import with_notice
from fetal_jax.outputs.dicom_parts import MANUFACTURER, software
from fetal_jax.outputs.rows import GESTATIONAL_AGE, Row, doubt, pixel_size
from fetal_jax.planes import MEASURED
from fetal_jax.reading.sources import Source

UCUM, LOINC_SYSTEM, SNOMED = "http://unitsofmeasure.org", "http://loinc.org", "http://snomed.info/sct"
UNCERTAIN = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "UNCERTREL",
    "display": "uncertain reliability",
}
"""Interpretation of a value to review. All values are `preliminary`: nobody has looked at them."""
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def write(source: Source, row: Row, path: Path) -> None:
    """Write a row to a file. Patient, study and date are named as in the row."""
    path.write_text(json.dumps(bundle(row, context(row)), indent=1) + "\n")


def bundle(row: Row, named: dict[str, Any]) -> dict[str, Any]:
    """Make the Bundle of a row's values; `named` (from `context`) goes into every Observation."""
    values = [(key, row[key], (q.loinc, q.name), q.unit) for key, q in MEASURED.items() if row[key] is not None]
    if row["ga_weeks"] is not None:
        values.append(("ga_weeks", row["ga_weeks"], GESTATIONAL_AGE, "wk"))
    entries = [_observation(row, *value) | named for value in values]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": entry} for entry in entries],
    }


def _observation(row: Row, key: str, value: float, code: tuple[str, str], unit: str) -> dict[str, Any]:
    method = MEASURED[key].method if key in MEASURED else f"{row['ga_standard']}, from this frame"
    notes = [*filter(None, [doubt(row), pixel_size(row)])]
    device = f"{MANUFACTURER} {software()}"
    return observation(code, value, unit, method, [with_notice(notes)], device, uncertain=bool(doubt(row)))


def observation(
    code: tuple[str, str], value: float, unit: str, method: str, notes: list[str], device: str, uncertain: bool
) -> dict[str, Any]:
    """Make a preliminary Observation of the fetus.

    Args:
      code: LOINC code and its meaning.
      value: rounded to two digits.
      unit: UCUM code.
      method: how the value was measured.
      notes: in plain words.
      device: name of the program.
      uncertain: whether the value needs review.
    """
    mark = {"meta": {"security": [UNCERTAIN]}} if uncertain else {}
    return mark | {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": CATEGORY, "code": "imaging"}]}],
        "code": {"coding": [{"system": LOINC_SYSTEM, "code": code[0]}], "text": f"Fetal {code[1]}"},
        "bodySite": {"coding": [{"system": SNOMED, "code": "55460000"}], "text": "Fetus"},
        "method": {"text": method},
        "device": {"display": device},
        "valueQuantity": {"value": round(value, 2), "unit": unit, "system": UCUM, "code": unit},
        "note": [{"text": note} for note in notes],
    }


def context(row: Row) -> dict[str, Any]:
    """Study, patient, fetus and date of a row, hashed or plain; those that the row does not name are left out.

    The mother is the subject. The fetus is the focus, which R4 has for what is not the subject of record. A frame that
    is no DICOM object is named by its file.
    """
    found: dict[str, Any] = {}
    derived: list[dict[str, Any]] = []
    if row["examination"]:
        uid = re.fullmatch(r"\d+(\.\d+)+", row["examination"])
        name = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid[0]}"} if uid else {"value": row["examination"]}
        derived.append({"type": "ImagingStudy", "identifier": name})
    if row.get("file") and not row.get("instance"):
        file = os.path.basename(row["file"]).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        derived.append({"type": "Media", "display": file})
    if derived:
        found["derivedFrom"] = derived
    if row["patient"]:
        found["subject"] = {"type": "Patient", "identifier": {"value": row["patient"]}}
    if row["fetus"]:
        found["focus"] = [{"display": f"Fetus {row['fetus']}"}]
    if row["date"]:
        found["effectiveDateTime"] = row["date"]
    return found
