"""A DICOM frame with a value -> a DICOM SEG of the structure: the fitted shape at the frame's own resolution."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.dicom_parts import (
    MANUFACTURER,
    MODEL,
    STRUCTURES,
    encoded,
    header_of,
    identity,
    refusing,
    software,
    uid_of,
)
from fetal_jax.outputs.rows import TO_REVIEW, Row, doubt
from fetal_jax.reading.sources import Source

_SINGLE_FRAME = "1.2.840.10008.5.1.4.1.1.6.1"
"""Ultrasound Image Storage."""


def write(source: Source, row: Row, path: Path) -> None:
    """Write the shape of a DICOM file's row to a file.

    Raises:
      UserError: the file is not DICOM, or its header lacks something that a segmentation must repeat.
    """
    header = header_of(source)
    import highdicom as hd

    multi_frame = header.SOPClassUID if "NumberOfFrames" in header else None
    if multi_frame:  # highdicom places a cine's frames by coordinates, which ultrasound does not have
        header.SOPClassUID = hd.UID(_SINGLE_FRAME)
        del header.NumberOfFrames

    says = [row["fetus"], row["plane"], row["ellipse_px"], row["shaft_px"], doubt(row)]
    shape = Ellipse(*row["ellipse_px"]) if row["ellipse_px"] else Shaft(*row["shaft_px"])
    mask = geometry.mask(shape, int(header.Rows), int(header.Columns))[None].astype(np.uint8)
    with refusing(f"{source} has a header that no segmentation"):
        segmentation = hd.seg.Segmentation(
            source_images=[header],
            pixel_array=mask,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(header, row)],
            content_description=TO_REVIEW if doubt(row) else None,
            manufacturer_model_name=MODEL,
            software_versions=software(),
            device_serial_number="1",
            **identity([header], row["frame"] + 1, "seg", *says),
        )
        segmentation.PatientOrientation = ""
        if multi_frame:
            _refer_to_frame(segmentation, multi_frame, row["frame"] + 1)
        path.write_bytes(encoded(segmentation))


def _refer_to_frame(segmentation: Any, sop_class: Any, frame: int) -> None:
    """Refer to the cine and its frame wherever the segmentation refers to its source."""
    derivation = segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    for image in derivation.SourceImageSequence:
        image.ReferencedFrameNumber = frame
    series = segmentation.ReferencedSeriesSequence[0]
    named = (segmentation.SourceImageSequence, derivation.SourceImageSequence, series.ReferencedInstanceSequence)
    for instance in itertools.chain(*named):
        instance.ReferencedSOPClassUID = sop_class


def _description(header: Any, row: Row) -> Any:
    import highdicom as hd

    plane = row["plane"]
    code, meaning = STRUCTURES[plane]
    algorithm = hd.AlgorithmIdentificationSequence(
        name=MANUFACTURER, family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"), version=software()
    )
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=plane,
        segmented_property_category=hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=hd.sr.CodedConcept(code, "SCT", meaning),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id=plane,
        tracking_uid=uid_of("segment", str(header.SOPInstanceUID), row["frame"], plane, row["fetus"]),
    )
    if doubt(row):
        description.SegmentDescription = doubt(row)
    return description
