"""What a segmentation says of its structure, and headers that cannot be repeated."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest

from fetal_jax import geometry
from fetal_jax.errors import UserError
from fetal_jax.geometry import Shaft
from fetal_jax.outputs import segmentation, structured_report
from fetal_jax.reading.sources import Source
from tests.outputs.test_status import MEASURED_ROW, PIXELS, REVIEW_ROW
from tests.support.dicom_files import save, ultrasound

SHAFT = Shaft(60, 80, 240, 120, 12)


def code(sequence) -> tuple[str, str, str]:
    (item,) = sequence
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


@pytest.mark.parametrize(
    ("plane", "structure"),
    [("head", ("69536005", "Head")), ("abdomen", ("818983003", "Abdomen")), ("femur", ("71341001", "Femur"))],
)
def test_segment_is_named_in_snomed(tmp_path, plane, structure):
    row = MEASURED_ROW | {"plane": plane}
    if plane == "femur":
        row |= {"ellipse_px": None, "shaft_px": list(np.asarray(SHAFT))}
    segmentation.write(Source(save(ultrasound(PIXELS), tmp_path / "head.dcm")), row, tmp_path / "a.dcm")
    found = highdicom.seg.segread(tmp_path / "a.dcm")
    (segment,) = found.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentNumber, segment.TrackingID) == (plane, 1, plane)
    assert code(segment.SegmentedPropertyTypeCodeSequence) == (structure[0], "SCT", structure[1])
    category = code(segment.SegmentedPropertyCategoryCodeSequence)
    assert category == ("123037004", "SCT", "Anatomical Structure")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert code(algorithm.AlgorithmFamilyCodeSequence) == ("123110", "DCM", "Artificial Intelligence")
    assert (found.InstanceNumber, found.SeriesNumber, segment.SegmentAlgorithmType) == (1, 901, "AUTOMATIC")
    if plane == "femur":
        np.testing.assert_array_equal(found.pixel_array, geometry.mask(SHAFT, *PIXELS.shape))


@pytest.mark.parametrize("kind", [segmentation, structured_report])
@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("StudyInstanceUID", "", "lacks StudyInstanceUID"),
        ("PatientSex", "X", "has a header that no (segmentation|report) can repeat"),
    ],
)
def test_header_that_cannot_be_repeated_is_refused(tmp_path, kind, tag, value, words):
    ds = ultrasound(PIXELS)
    setattr(ds, tag, value)
    with pytest.raises(UserError, match=rf"head\.dcm {words}"):
        kind.write(Source(save(ds, tmp_path / "head.dcm")), REVIEW_ROW, tmp_path / "a.png")
    assert not (tmp_path / "a.dcm").exists()
