"""The DICOM object that a row was measured in, as what is derived from it must name it."""

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
    """The header of a row's file, whole enough to be referred to.

    Raises:
      UserError: the file is no DICOM, or lacks the UIDs that name it; highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError("writing DICOM needs the dicom extra: pip install 'fetal_jax[dicom]'") from None
    file = source.open()
    if not is_dicom(head_of(file)):
        raise UserError(f"{source} is no DICOM, and what is derived must name the object that it comes from")
    header = read_header(file, str(source))
    lacking = [key for key in _IDENTIFY if not header.get(key)]
    if lacking:
        raise UserError(f"{source} lacks {', '.join(lacking)}: export it again")
    for key in _MAY_BE_EMPTY:
        if key not in header:
            setattr(header, key, "")
    return header


def software() -> str:
    """The version that made an object."""
    return version("fetal_jax")
