"""The DICOM object that a row was measured in: objects derived from it must name it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.reading.dicom import read_header
from fetal_jax.reading.sources import Source, head_of, is_dicom

MANUFACTURER = "fetal_jax"
MODEL = "fetal_jax measure"
_IDENTIFY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def header_of(source: Source) -> Any:
    """Read the header of a row's file and check that it can be referred to.

    Raises:
      UserError: the file is not DICOM, or lacks the UIDs that name it; highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError("writing DICOM needs the dicom extra: pip install '.[dicom]'") from None
    file = source.open()
    if not is_dicom(head_of(file)):
        raise UserError(f"{source} is no DICOM file: a report must name the DICOM object that it comes from")
    header = read_header(file, str(source))
    lacking = [key for key in _IDENTIFY if not header.get(key)]
    if lacking:
        raise UserError(f"{source} lacks {', '.join(lacking)}: export it again")
    for key in _MAY_BE_EMPTY:
        if key not in header:
            setattr(header, key, "")
    return header


def software() -> str:
    """Version of this program."""
    return version("fetal_jax")
