"""The TID 1500 report (`--also=sr1500`), read by highdicom, dciodvfy and DicomSRValidator."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest

from fetal_jax import bundle
from fetal_jax.cli.measure import measure_paths
from fetal_jax.outputs import measurement_report
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing_table import Spacings
from tests.outputs.test_outputs import dciodvfy, walk
from tests.support.dicom_files import region, save, ultrasound
from tests.support.folders import SMALL
from tests.support.sr_validator import faults
from tfds_builders.fetal_phantom.phantom import draw

HEAD = {"hc_mm": 171.234, "bpd_mm": 47.5, "ofd_mm": 60.25, "ellipse_px": [160.0, 120.0, 80.0, 60.0, 0.3]}
FEMUR = {"fl_mm": 31.25, "shaft_px": [100.0, 120.0, 260.0, 150.0, 12.0]}
LOINC = {"hc_mm": "11984-2", "bpd_mm": "11820-8", "ofd_mm": "11851-3", "ac_mm": "11979-2", "fl_mm": "11963-6"}
SITE = {"head": "69536005", "abdomen": "818983003", "femur": "71341001"}


def row(plane: str, **values) -> dict:
    empty = dict.fromkeys((*LOINC, "ellipse_px", "shaft_px", "ga_weeks", "reason", "fetus"))
    empty |= {"spacing_mm": 0.2, "column_spacing_mm": 0.2}
    base = {"plane": plane, "frame": 0, "status": "measured", "spacing_source": "dicom", "flags": []}
    return empty | base | values


def report_of(tmp_path, row, cine: int = 0) -> tuple[pydicom.Dataset, pydicom.Dataset]:
    frame = np.zeros((240, 320), np.uint8)
    ds = ultrasound(np.stack([frame] * cine) if cine else frame, [region()])
    measurement_report.write(Source(save(ds, tmp_path / "image.dcm")), row, tmp_path / "report.dcm")
    return ds, highdicom.sr.srread(tmp_path / "report.dcm")


def groups(report) -> dict[str, pydicom.Dataset]:
    """The measurement groups by the code of their number."""
    found = [i for i in walk(report) if i.ConceptNameCodeSequence[0].CodeValue == "125007"]
    return {next(i for i in walk(g) if i.ValueType == "NUM").ConceptNameCodeSequence[0].CodeValue: g for g in found}


@pytest.mark.parametrize(("plane", "values"), [("head", HEAD), ("femur", FEMUR)])
@pytest.mark.parametrize("cine", [0, 3])
def test_values_shapes_sites_and_images(tmp_path, plane, values, cine):
    given = row(plane, **values, frame=2 if cine else 0)
    image, report = report_of(tmp_path, given, cine)
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.StudyInstanceUID) == ("UNVERIFIED", image.StudyInstanceUID)
    found = groups(report)
    assert set(found) == {LOINC[key] for key in values if key.endswith("_mm")}
    for key in values:
        if not key.endswith("_mm"):
            continue
        items = list(walk(found[LOINC[key]]))
        (number,) = (i for i in items if i.ValueType == "NUM")
        measured = number.MeasuredValueSequence[0]
        assert float(measured.NumericValue) == round(values[key], 2)
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
        (site,) = (i for i in items if i.ConceptNameCodeSequence[0].CodeValue == "363698007")
        assert site.ConceptCodeSequence[0].CodeValue == SITE[plane]
        (shape,) = number.ContentSequence
        assert shape.GraphicType == ("ELLIPSE" if key == "hc_mm" else "POLYLINE")
        points = np.reshape(shape.GraphicData, (-1, 2))
        lengths = np.hypot(*(points[1::2] - points[::2]).T)
        expected = {"hc_mm": [160, 120], "ofd_mm": [160], "bpd_mm": [120], "fl_mm": [np.hypot(160, 30)]}[key]
        np.testing.assert_allclose(lengths, expected, rtol=1e-5)
        for item in items:
            if item.ValueType == "IMAGE":
                reference = item.ReferencedSOPSequence[0]
                assert reference.ReferencedSOPInstanceUID == image.SOPInstanceUID
                assert reference.get("ReferencedFrameNumber") == (3 if cine else None)
    assert "Error" not in dciodvfy(tmp_path / "report.dcm")


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        row("femur", **FEMUR),
        row("abdomen", ac_mm=210.0, ellipse_px=[160.0, 120.0, 80.0, 70.0, 0.1], status="review", reason="poor fit"),
        row("head", **HEAD | {"ellipse_px": [20.0, 120.0, 80.0, 60.0, 1.5]}),  # leaves the frame, one axis does not
        row("femur", **FEMUR, fetus="A"),
    ],
    ids=["femur", "review", "outside", "twin"],
)
def test_the_template_is_kept(tmp_path, given):
    report_of(tmp_path, given)
    assert faults(tmp_path / "report.dcm") == []


@pytest.mark.slow
def test_the_validator_finds_a_wrong_procedure(tmp_path):
    _, report = report_of(tmp_path, row("femur", **FEMUR))
    (procedure,) = (i for i in walk(report) if i.ConceptNameCodeSequence[0].CodeValue == "121058")
    procedure.ConceptCodeSequence[0].CodeValue = "1234"
    report.save_as(tmp_path / "report.dcm")
    (fault,) = faults(tmp_path / "report.dcm")
    assert "not found in context group 100" in fault


def test_a_shape_that_leaves_the_frame_has_no_coordinates(tmp_path):
    _, report = report_of(tmp_path, row("head", **HEAD | {"ellipse_px": [20.0, 120.0, 80.0, 60.0, 0.3]}))
    (item,) = next(i for i in walk(groups(report)["11984-2"]) if i.ValueType == "NUM").ContentSequence
    assert item.ValueType == "IMAGE"


def test_a_value_to_review_says_so(tmp_path):
    _, report = report_of(tmp_path, row("femur", **FEMUR, status="review", reason="a dim end"))
    texts = [i.TextValue for i in walk(groups(report)["11963-6"]) if i.ValueType == "TEXT"]
    assert any("reviewed by a person: a dim end" in text for text in texts)
    assert any("Not for clinical use" in text for text in texts)


def test_measure_writes_it_of_dicom_files(tmp_path):
    phantom = draw("femur", 2, SMALL)
    (tmp_path / "in").mkdir()
    save(ultrasound(phantom.image, [region(phantom.spacing_mm, phantom.spacing_mm)]), tmp_path / "in" / "a.dcm")
    out = tmp_path / "out"
    measure_paths([tmp_path / "in"], bundle.DEFAULT, Spacings("none"), "femur", out, ("sr", "sr1500"))
    written = [highdicom.sr.srread(out / kind / "a.dcm") for kind in ("sr", "sr1500")]
    assert [r.ContentTemplateSequence[0].TemplateIdentifier for r in written] == ["5000", "1500"]
    values = [
        {
            i.ConceptNameCodeSequence[0].CodeValue: i.MeasuredValueSequence[0].NumericValue
            for i in walk(r)
            if i.ValueType == "NUM"
        }
        for r in written
    ]
    assert values[1]["11963-6"] == values[0]["11963-6"]
