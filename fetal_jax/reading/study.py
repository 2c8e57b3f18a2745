"""The examination that a frame belongs to, from its DICOM header and from the caller's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from fetal_jax.errors import UserError

COLUMNS = ("examination", "patient", "fetus", "date", "ga")
"""Columns of the spacing table about the examination of a frame."""


@dataclass(frozen=True)
class Study:
    """Identifiers of the DICOM study that a frame belongs to; empty if the header has none."""

    uid: str
    patient: str
    """PatientID, with its issuer where one is named."""
    date: str
    """As YYYY-MM-DD."""
    instance: str = ""
    """SOPInstanceUID of the object itself."""
    device: str = ""
    """Manufacturer and model."""
    serial: str = ""
    """DeviceSerialNumber, else StationName: distinguishes machines of one model."""
    operator: str = ""


@dataclass(frozen=True)
class Labels:
    """Statements of the caller's table about a frame; each may be empty."""

    examination: str = ""
    """Empty: that of the DICOM header, or of `--one-examination`."""
    patient: str = ""
    fetus: str = ""
    date: str = ""
    """As YYYY-MM-DD."""
    ga_weeks: float | None = None


def of_dicom(header: Any) -> Study:
    """Read the identifiers in a DICOM header; damaged ones count as missing."""

    def text(key: str) -> str:
        try:
            return str(header.get(key) or "").strip()
        except Exception:  # an element of another type than its tag's
            return ""

    patient, issuer, day = text("PatientID"), text("IssuerOfPatientID"), text("StudyDate")
    known = len(day) == 8 and day.isdigit()
    return Study(
        uid=text("StudyInstanceUID"),
        patient=f"{issuer}/{patient}" if patient and issuer else patient,
        date=f"{day[:4]}-{day[4:6]}-{day[6:]}" if known else "",
        instance=text("SOPInstanceUID"),
        device=" ".join(filter(None, (text("Manufacturer"), text("ManufacturerModelName")))),
        serial=text("DeviceSerialNumber") or text("StationName"),
        operator=text("OperatorsName"),
    )


def of_table(cells: Mapping[str, str], where: str) -> Labels | None:
    """Read the cells `COLUMNS` of a table's row; None if all are empty.

    Args:
      cells: by column; a column may be missing.
      where: file and line, for the message.

    Raises:
      UserError: a date or age is wrong.
    """
    from fetal_jax.growth import parse_age  # SciPy, which the reading process does not need

    said = {key: cells.get(key, "").strip() for key in COLUMNS}
    if not any(said.values()):
        return None
    age, other = said.pop("ga"), "or rename the column if it is about something else"
    if said["date"]:
        try:
            said["date"] = date.fromisoformat(said["date"]).isoformat()
        except ValueError:
            raise UserError(f"{where}: date is {said['date']!r}: write it as 2024-01-31, {other}") from None
    try:
        weeks = parse_age(age) if age else None
    except ValueError as e:  # a GrowthError
        raise UserError(f"{where}: ga: {e}, {other}") from None
    return Labels(**said, ga_weeks=weeks)
