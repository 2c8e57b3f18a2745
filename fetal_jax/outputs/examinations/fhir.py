"""An examination -> FHIR R4 Observations, as one Bundle of type collection. Plain JSON."""

from __future__ import annotations

import json
import uuid
from typing import Any

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.growth import format_age
from fetal_jax.outputs import fhir
from fetal_jax.outputs.dicom_parts import MANUFACTURER, software
from fetal_jax.outputs.examinations.examination import Summary
from fetal_jax.outputs.rows import GESTATIONAL_AGE, TO_REVIEW
from fetal_jax.planes import MEASURED, QUANTITIES

WEIGHT = ("11727-5", "Estimated Weight")  # LOINC


def bundle(summary: Summary, lead: str = TO_REVIEW) -> dict[str, Any]:
    """Make the Bundle of an examination's sizes, age and weight; names of patient and fetus are those of the rows.

    `lead` begins the notes of an examination to review: `rows.TO_REVIEW` or `rows.NOTED`.
    """
    examination = summary.examination
    row: dict[str, Any] = {"examination": examination.name, "patient": examination.patient}
    row |= {"fetus": examination.fetus, "date": examination.date}
    entries = []
    doubt = _lead(lead, "; ".join(summary.notes)) if summary.status == "review" else ""
    for quantity in MEASURED.values():
        structure = summary.structures[quantity.plane or ""]
        if quantity.key in structure.sizes_mm:
            method = f"{quantity.method}; median over {len(structure.counted)} frame(s)"
            why = _lead(lead, structure.reason) if structure.status == "review" else ""
            code = (quantity.loinc, quantity.name)
            entries.append(_observation(code, structure.sizes_mm[quantity.key], quantity.unit, method, why))
    if summary.age:
        entries.append(_observation(GESTATIONAL_AGE, summary.age.weeks, "wk", summary.age.formula, doubt))
        low, high = format_age(summary.age.low), format_age(summary.age.high)
        entries[-1]["note"].append({"text": f"95 % range {low} to {high}"})
    if summary.weight:
        unit = QUANTITIES["efw"].unit
        entries.append(_observation(WEIGHT, summary.weight.grams, unit, summary.weight.formula, doubt))
    context = fhir.context(row)
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": entry | context} for entry in entries],
    }


def _lead(lead: str, doubt: str) -> str:
    return f"{lead}: {doubt}" if doubt else ""


def _observation(code: tuple[str, str], value: float, unit: str, method: str, doubt: str) -> dict[str, Any]:
    notes = [NOT_CLINICAL, *([doubt] if doubt else [])]
    return fhir.observation(code, value, unit, method, notes, f"{MANUFACTURER} {software()}", uncertain=bool(doubt))


def text(summary: Summary) -> str:
    """Serialise the Bundle of an examination."""
    return json.dumps(bundle(summary), indent=1) + "\n"
