"""Structured reports as scanners write them: TID 5000 by hand with pydicom, TID 1500 by highdicom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, generate_uid

from tests.support.dicom_files import ultrasound

COMPREHENSIVE, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.59"
LOINC = {
    "hc": ("11984-2", "LN", "Head Circumference"),
    "ac": ("11979-2", "LN", "Abdominal Circumference"),
    "fl": ("11963-6", "LN", "Femur Length"),
    "bpd": ("11820-8", "LN", "Biparietal Diameter"),
    "ofd": ("11851-3", "LN", "Occipital-Frontal Diameter"),
}
MM, CM = ("mm", "UCUM", "millimeter"), ("cm", "UCUM", "centimeter")
MEAN, MEAN_SRT = ("373098007", "SCT", "Mean"), ("R-00317", "SRT", "Mean")
Code = tuple[str, str, str]
STUDY = "1.2.826.0.1.77"


def coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def item(kind: str, name: Code | None, *children: Dataset, relation: str = "CONTAINS", **values: object) -> Dataset:
    """A content item."""
    made = Dataset()
    made.RelationshipType, made.ValueType = relation, kind
    if name:
        made.ConceptNameCodeSequence = [coded(name)]
    for key, value in values.items():
        setattr(made, key, value)
    if kind == "CONTAINER":
        made.ContinuityOfContent = "SEPARATE"
    if children:
        made.ContentSequence = list(children)
    return made


def number(
    measure: str, value: object, *children: Dataset, unit: Code | None = MM, code: Code | None = None
) -> Dataset:
    made = item("NUM", code or LOINC[measure], *children)
    measured = Dataset()
    if unit:
        measured.MeasurementUnitsCodeSequence = [coded(unit)]
    measured.NumericValue = value
    made.MeasuredValueSequence = [measured]
    return made


def modifier(name: Code, value: Code) -> Dataset:
    return item("CODE", name, relation="HAS CONCEPT MOD", ConceptCodeSequence=[coded(value)])


def derivation(value: Code) -> Dataset:
    return modifier(("121401", "DCM", "Derivation"), value)


SELECTED = item(
    *("CODE", ("121404", "DCM", "Selection Status")),
    relation="HAS PROPERTIES",
    ConceptCodeSequence=[coded(("121410", "DCM", "User chosen value"))],
)


def image(uid: str, frame: int | None = None, relation: str = "INFERRED FROM") -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = UltrasoundImageStorage if frame is None else UltrasoundMultiFrameImageStorage
    reference.ReferencedSOPInstanceUID = uid
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    name = ("121112", "DCM", "Source of Measurement")
    return item("IMAGE", name, relation=relation, ReferencedSOPSequence=[reference])


def fetus(name: str) -> Dataset:
    return item("TEXT", ("11951-1", "LN", "Fetus ID"), relation="HAS OBS CONTEXT", TextValue=name)


def group(*children: Dataset) -> Dataset:
    return item("CONTAINER", ("125005", "DCM", "Biometry Group"), *children)


def biometry(*children: Dataset) -> Dataset:
    return item("CONTAINER", ("125002", "DCM", "Fetal Biometry"), *children)


def document(
    *content: Dataset, title: Code | None = None, class_: str = COMPREHENSIVE, **attributes: object
) -> FileDataset:
    """A report of a study on 2 January 2024 of the patient P1."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, class_
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = class_, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, generate_uid()
    made.Modality = "KO" if class_ == KEY_OBJECTS else "SR"
    made.Manufacturer, made.StudyDate, made.StudyTime = "Maker", "20240102", "101112"
    made.PatientID, made.PatientName, made.PatientBirthDate = "P1", "Doe^Jane", "19900101"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [coded(title or ("125000", "DCM", "OB-GYN Ultrasound Procedure Report"))]
    made.ContentSequence = list(content)
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


def evidence(uids: Iterable[str], study: str = STUDY) -> Dataset:
    """One item of an evidence or predecessor sequence."""
    instances = []
    for uid in uids:
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = UltrasoundImageStorage, uid
        instances.append(instance)
    series, of_study = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = generate_uid(), instances
    of_study.StudyInstanceUID, of_study.ReferencedSeriesSequence = study, [series]
    return of_study


def save(made: Dataset, path: Path) -> Path:
    made.save_as(path, enforce_file_format=True)
    return path


def measurement_report(sizes: Sequence[tuple[str, float]], fetus_id: str = "", **changes: object) -> FileDataset:
    """A TID 1500 report by highdicom: each size in a group of its own with an ellipse in one image."""
    import highdicom as hd
    from highdicom import sr
    from pydicom.sr.codedict import codes

    picture = ultrasound(np.zeros((64, 64), np.uint8))
    picture.StudyInstanceUID = STUDY
    for key, value in changes.items():
        setattr(picture, key, value)
    source = sr.SourceImageForRegion(picture.SOPClassUID, picture.SOPInstanceUID)
    groups = []
    for measure, mm in sizes:
        name = sr.CodedConcept(*LOINC[measure][:2], LOINC[measure][2])
        region = sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, np.array([[1.0, 1.0], [9.0, 9.0]]), source)
        measurement = sr.Measurement(name, mm, codes.UCUM.Millimeter)
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(hd.UID(), measure),
                referenced_region=region,
                measurements=[measurement],
            )
        )
    device = sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name="Maker")
    observers = sr.ObserverContext(codes.DCM.Device, device)
    subject = None
    if fetus_id:
        attributes = sr.SubjectContextFetus(subject_id=fetus_id)
        subject = sr.SubjectContext(codes.DCM.Fetus, attributes)
    context = sr.ObservationContext(observer_device_context=observers, subject_context=subject)
    content = sr.MeasurementReport(context, codes.SCT.DiagnosticUltrasonography, imaging_measurements=groups)
    return sr.ComprehensiveSR(
        *([picture], content[0], hd.UID(), 1, hd.UID(), 1, "Maker"), is_complete=True, is_final=True
    )
