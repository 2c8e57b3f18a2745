"""Structured reports of scanners and people: TID 5000 (OB-GYN) and TID 1500 (measurement report) of DICOM PS3.16."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.planes import QUANTITIES
from fetal_jax.reading import study
from fetal_jax.reading.scanner.values import Reader, Refusal, Value, concept, referenced
from fetal_jax.reading.sources import head_of, is_dicom
from fetal_jax.reading.study import Study

TITLES = {"125000": "TID 5000", "126000": "TID 1500"}
REPORT_CLASSES, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.88.59"
REJECTIONS = ("113001", "113037", "113038", "113039")
"""CID 7011: titles of a Key Object Selection that rejects the objects it names."""
OURS = "fetal_jax"


@dataclass(frozen=True)
class Report:
    """A report that was read."""

    name: str
    uid: str
    title: str
    """"TID 5000" or "TID 1500"; empty for a rejection."""
    study: Study
    verified: bool
    """Whether a person has signed it. Reports from scanners rarely are signed."""
    complete: bool
    values: tuple[Value, ...] = ()
    refused: tuple[Refusal, ...] = ()
    replaces: tuple[str, ...] = ()
    """SOP Instance UIDs of its earlier versions."""
    rejects: tuple[str, ...] = ()
    """SOP Instance UIDs that a Key Object Selection rejects; such an object has no values."""


class NoReport(UserError):
    """The file is not a structured report."""


def read_folder(folder: Path) -> tuple[list[Report], list[Refusal]]:
    """Read all reports below a folder, or one file. Files of other kinds are ignored.

    Only the last version of a report is used. Reports, and values from images, are refused if a Key Object Selection of
    the folder rejects them.

    Returns:
      The reports, each with its refused values, and the refused reports.

    Raises:
      UserError: there is no such folder, or no report in it.
    """
    if not folder.exists():
        raise UserError(f"{folder} does not exist: give the folder of the scanner's structured reports")
    paths = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
    found: dict[str, Report] = {}
    refused: list[Refusal] = []
    for path in paths:
        try:
            report = read_report(path)
        except NoReport:
            continue
        except UserError as e:
            refused.append(Refusal(str(path), str(e)))
            continue
        if report.uid in found:
            refused.append(Refusal(str(path), "the same report as another file"))
        found.setdefault(report.uid, report)
    if not found and not refused:
        raise UserError(f"{folder} holds no DICOM report: give the folder of the scanner's structured reports")
    old = {uid for report in found.values() for uid in report.replaces if uid != report.uid}
    rejected = {uid for report in found.values() for uid in report.rejects}
    used = []
    for report in found.values():
        if report.uid in rejected:
            refused.append(Refusal(report.name, "rejected by a Key Object Selection"))
        elif report.uid in old:
            refused.append(Refusal(report.name, "a later version of it is there"))
        elif not report.rejects:
            used.append(_without_images(report, rejected))
    return used, refused


def read_report(path: Path) -> Report:
    """Read one file.

    Raises:
      NoReport: the file is not a structured report.
      UserError: the report is damaged, of another kind, or made by this program.
    """
    document = _open(path)
    try:
        return _report(document, str(path))
    except UserError:
        raise
    except Exception as e:  # a mutated tree raises anything
        raise UserError(f"damaged ({type(e).__name__}: {' '.join(str(e).split())[:80]}): export it again") from None


def _open(path: Path) -> Any:
    try:
        import pydicom
    except ImportError:
        raise UserError("reading DICOM needs the dicom extra: pip install '.[dicom]'") from None
    try:
        if not is_dicom(head_of(path)):
            raise NoReport(f"{path} is not a DICOM file")
        document = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        class_ = str(document.get("SOPClassUID", ""))
    except UserError:
        raise
    except Exception as e:  # of the disk, or of a mutated file
        raise UserError(f"damaged ({type(e).__name__}: {' '.join(str(e).split())[:80]}): export it again") from None
    if not class_.startswith(REPORT_CLASSES):
        raise NoReport(f"{path} is not a structured report")
    tree = document.get_item("ContentSequence")
    if len(getattr(tree, "value", None) or b"") < (getattr(tree, "length", None) or 0):  # pydicom reads 29 of a cut 290
        raise UserError("cut short: export it again")
    return document


def _report(document: Any, name: str) -> Report:
    title, scheme, meaning = concept(document)
    report = Report(
        name=name,
        uid=str(document.get("SOPInstanceUID", "")),
        title="",
        study=study.of_dicom(document),
        verified=document.get("VerificationFlag") == "VERIFIED",
        complete=document.get("CompletionFlag") == "COMPLETE",
    )
    if document.SOPClassUID == KEY_OBJECTS:
        rejects = referenced(document, "CurrentRequestedProcedureEvidenceSequence") if title in REJECTIONS else {}
        if not rejects:
            raise NoReport(f"{name} rejects nothing")
        return replace(report, rejects=tuple(rejects))
    if title not in TITLES or scheme != "DCM":
        raise UserError(f"a report of another kind ({meaning or 'without a title'}): TID 5000 and 1500 are read")
    if OURS in str(document.get("Manufacturer", "")):
        raise UserError("made by this program: no reference for itself")
    if not report.uid or not report.study.uid:
        raise UserError("without SOPInstanceUID or StudyInstanceUID: export it again")
    values, refused = Reader(document, name).read()
    if not values and not refused:
        raise UserError("without HC, AC, FL, BPD or OFD")
    earlier = tuple(referenced(document, "PredecessorDocumentsSequence"))
    return replace(report, title=TITLES[title], values=values, refused=refused, replaces=earlier)


def _without_images(report: Report, rejected: set[str]) -> Report:
    """Refuse the values that were measured in a rejected image."""
    why = [
        Refusal(f"{report.name}: {QUANTITIES[v.measure].label}", "measured in a rejected image")
        for v in report.values
        if v.image in rejected
    ]
    kept = tuple(v for v in report.values if v.image not in rejected)
    return replace(report, values=kept, refused=(*report.refused, *why))
