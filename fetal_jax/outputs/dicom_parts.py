"""Parts shared by the DICOM writers: the source object of a row, the equipment, the shape, the SR document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.files import write_whole
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.rows import SPACING_SOURCES, Row, doubt, spacing_of
from fetal_jax.reading.dicom import read_header
from fetal_jax.reading.sources import Source, head_of, is_dicom

MANUFACTURER = "fetal_jax"
MODEL = "fetal_jax measure"
STRUCTURES = {"head": ("69536005", "Head"), "abdomen": ("818983003", "Abdomen"), "femur": ("71341001", "Femur")}
"""SNOMED CT code and meaning of a plane."""
SERIES_NUMBERS = {"sr": 900, "seg": 901, "sr1500": 902, "signed sr": 903}
"""Series numbers: viewers sort series by them, and each series holds objects of one kind."""
_IDENTIFY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def header_of(source: Source) -> Any:
    """Read the header of a row's file, and check that a report can refer to it.

    Raises:
      UserError: the file is not DICOM or lacks its UIDs, or highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError("writing DICOM needs the dicom extra: pip install '.[dicom]'") from None
    file = source.open()
    if not is_dicom(head_of(file)):
        raise UserError(f"{source} is not a DICOM file: a report must name the DICOM object that it comes from")
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


def uid_of(*facts: Any) -> str:
    """A UID that follows from facts and the version of this program: the same again is the same object."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[json.dumps([MANUFACTURER, software(), *facts])]))


def identity(headers: Sequence[Any], instance_number: int, kind: str, *says: Any) -> dict[str, Any]:
    """Arguments of every highdicom object: its names, and who made it.

    The object's UID follows from its sources, its kind and what it says; the series' from the study and the kind.

    Args:
      headers: of the images that the object names.
      instance_number: of the object in its series.
      kind: one of `SERIES_NUMBERS`.
      says: the content, as JSON has values.
    """
    sources = [str(header.SOPInstanceUID) for header in headers]
    return {
        "series_instance_uid": uid_of(kind, str(headers[0].StudyInstanceUID)),
        "series_number": SERIES_NUMBERS[kind],
        "series_description": f"fetal_jax. {NOT_CLINICAL}",
        "sop_instance_uid": uid_of(kind, sources, instance_number, *says),
        "instance_number": instance_number,
        "manufacturer": MANUFACTURER,
    }


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn an exception of highdicom about a header into a `UserError`.

    Args:
      what: beginning of the message, such as "FILE has a header that no report".

    Raises:
      UserError: the header lacks something that the object must repeat.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as e:
        raise UserError(f"{what} can repeat ({str(e)[:80]}): export it again") from None


def save_report(
    path: Path,
    headers: Sequence[Any],
    root: Any,
    instance_number: int,
    kind: str,
    at: datetime | None = None,
    earlier: bytes | None = None,
    **signed: Any,
) -> None:
    """Write a content tree as a Comprehensive SR: complete, and unverified unless `signed` says more.

    Where `earlier` or the file that is there is this report, the file is that one, byte by byte.

    Args:
      path: of the file.
      headers: of the images that the content names.
      root: the container (highdicom content item).
      instance_number: of the document in its series.
      kind: of `SERIES_NUMBERS`.
      at: when it was verified, with a time zone; None: it is not.
      earlier: the file of the report that was signed before; None: there is none.
      signed: highdicom's arguments of a verified document.

    Raises:
      UserError: the file that is there is damaged.
      ValueError, TypeError, AttributeError, KeyError: a header lacks what a report must repeat (see `refusing`).
    """
    import highdicom as hd

    says = [root.to_json(), signed.get("verifying_observer_name"), at and at.astimezone(UTC).isoformat()]
    names = identity(headers, instance_number, kind, *says)
    before = report_at(path) if earlier is None else report_in(earlier)
    if before is not None and before.SOPInstanceUID == names["sop_instance_uid"]:
        write_whole(path, earlier or path.read_bytes())  # an export deletes what it has not written
        return
    document = hd.sr.ComprehensiveSR(
        evidence=headers,
        content=hd.sr.ContentSequence([root], is_root=True),
        is_complete=True,
        **names,
        **signed,
    )
    document.ManufacturerModelName, document.SoftwareVersions = MODEL, software()
    document.DeviceSerialNumber = "1"
    if at:
        _date(document, headers[0], at)
    write_whole(path, encoded(document))  # a signed report that is there stays until this one is complete


def encoded(document: Any) -> bytes:
    """The file of a DICOM object. Written by us: pydicom's error on a full disk has its traceback for a message."""
    file = BytesIO()
    document.save_as(file, enforce_file_format=True)
    return file.getvalue()


def report_at(path: Path) -> Any:
    """The report in a file; None where there is no file.

    Raises:
      UserError: it is damaged.
    """
    import pydicom

    if not path.is_file():
        return None
    try:
        return report_in(path.read_bytes())
    except pydicom.errors.InvalidDicomError:
        raise UserError(f"{path} is damaged: remove it") from None


def report_in(data: bytes) -> Any:
    """The report of a file that was read."""
    import pydicom

    return pydicom.dcmread(BytesIO(data))


def _date(document: Any, header: Any, at: datetime) -> None:
    """Date a verified document in the time zone of its source, or of this computer where the source states none.

    A zone speaks for the dates of the study too: it is stated where the source states it. `VerificationDateTime`
    always names its own.
    """
    stated = header.get("TimezoneOffsetFromUTC")
    zone = datetime.strptime(stated, "%z").tzinfo if stated else None
    signed, created = at.astimezone(zone), datetime.now(UTC).astimezone(zone)
    document.VerifyingObserverSequence[0].VerificationDateTime = signed.strftime("%Y%m%d%H%M%S.%f%z")
    document.ContentDate, document.ContentTime = signed.strftime("%Y%m%d"), signed.strftime("%H%M%S.%f")
    document.InstanceCreationDate = created.strftime("%Y%m%d")
    document.InstanceCreationTime = created.strftime("%H%M%S.%f")
    if stated:
        document.TimezoneOffsetFromUTC = stated


def observation_context() -> Any:
    """This program as the observer of a report."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of(),  # the same for every report of this version
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return sr.ObservationContext(observer_device_context=observer)


def fetus_context(fetus: str | None) -> list[Any]:
    """The fetus of a container's values (TID 1008): one item, or none for a single fetus."""
    from highdicom import sr

    name, relation = sr.CodedConcept("11951-1", "LN", "Fetus ID"), sr.RelationshipTypeValues.HAS_OBS_CONTEXT
    return [sr.TextContentItem(name, fetus, relation)] if fetus else []


def spacing_note(row: Row) -> str:
    """State the source of the spacing in mm."""
    return f"spacing from {SPACING_SOURCES[row['spacing_source']]}"


def notes(row: Row) -> list[str]:
    """Notes that every report of a row contains, beside the disclaimer."""
    return [*filter(None, [doubt(row)]), spacing_note(row)]


def frame_numbers(header: Any, row: Row) -> list[int] | None:
    """Frame numbers for a reference to a frame of a cine, from 1; None for an object of one frame."""
    return [row["frame"] + 1] if int(header.get("NumberOfFrames") or 1) > 1 else None


def shape_points(header: Any, row: Row, key: str) -> np.ndarray | None:
    """Points (n, 2) of a measured shape for SCOORD; None if it leaves the frame, which SCOORD does not allow.

    Four points (ends of the long axis in pixels, then of the short one) are an ellipse, two are a line: of OFD and BPD,
    the diameter in millimetres. DICOM counts from the corner of the first pixel, as we do (PS3.3 C.18.6).
    """
    if row["shaft_px"]:
        points = outline = Shaft(*row["shaft_px"]).ends
    elif key in ("ofd_mm", "bpd_mm"):
        diameters = Ellipse(*row["ellipse_px"]).diameters(spacing_of(row) or 1.0)
        points = outline = diameters[:2] if key == "ofd_mm" else diameters[2:]
    else:
        ellipse = Ellipse(*row["ellipse_px"])
        points, outline = ellipse.ends, ellipse.points(90)
    inside = (outline >= 0).all() and (outline <= [int(header.Columns), int(header.Rows)]).all()
    return points if inside else None


def graphic_type(points: np.ndarray) -> Any:
    """DICOM's graphic type of `shape_points`: four points are an ellipse, two a line."""
    from highdicom import sr

    return sr.GraphicTypeValues.ELLIPSE if len(points) == 4 else sr.GraphicTypeValues.POLYLINE
