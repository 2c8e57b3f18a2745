"""How each status shows in rows, schema, captions, pictures, SR, SEG and FHIR; and HC18's file."""

from __future__ import annotations

import csv
import json
import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import jsonschema
import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from PIL import Image

from fetal_jax import geometry
from fetal_jax.biometry import Measurement
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.inference.acceptance import NO_SPACING
from fetal_jax.inference.result import FrameResult
from fetal_jax.outputs import cines, contact_sheet, fhir, hc18_submission, overlay, segmentation, structured_report
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY, SCHEMA, caption, cells, result_row
from fetal_jax.reading.frame import Frame, PixelSize
from fetal_jax.reading.images import read_image
from fetal_jax.reading.sources import Source
from tests.support.dicom_files import region, save, ultrasound

PIXELS = np.full((200, 300), 40, np.uint8)
FRAME = Frame(Source(Path("head.dcm")), 0, PIXELS, PixelSize())
SIZE = PixelSize((0.5, 0.5), "dicom")
ELLIPSE = Ellipse(150, 100, 80, 60, 0.2)
HC = 0.5 * ELLIPSE.perimeter
FOUND = Measurement("head", ELLIPSE, hc_mm=HC, bpd_mm=60.0, ofd_mm=80.0, diameters_mm=(80.0, 60.0), sd_mm=2.0, seen=1.0)
MEASURED = FrameResult("measured", "head", 0.99, FOUND, (), (HC - 3, HC + 3), "heads 36 frames abc", 0.02)
WHY = "the network is not sure that this is a head (70 %); the outline is soft on the left side"
REVIEW = replace(MEASURED, status="review", reasons=(WHY,), plane_probability=0.7)
REFUSED = replace(MEASURED, status="refused", reasons=(NO_SPACING,), interval_mm=None)
MEASURED_ROW, REVIEW_ROW, REFUSED_ROW = (result_row(FRAME, SIZE, r) for r in (MEASURED, REVIEW, REFUSED))
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))

VERSION_1 = {
    **{"file": "a.png", "frame": 0, "status": "measured", "plane": "head", "plane_probability": 1.0},
    **{"hc_mm": 60.0, "bpd_mm": 17.0, "ofd_mm": 21.0, "ac_mm": None, "fl_mm": None, "long_mm": 21.0, "short_mm": 17.0},
    **{"spacing_mm": 0.1, "spacing_source": "csv", "ga_weeks": None, "ga_standard": None, "flags": []},
    **{"reason": "no age: HC 60 mm is too small", "column_spacing_mm": 0.1, "spacing_confidence": None},
    **{"overlay": "overlays/a.png", "sd_mm": 1.0, "low_mm": 58.0, "high_mm": 62.0},
    **{"ellipse_px": [1, 2, 30, 20, 0.1], "shaft_px": None},
}
"""A row as fetal_jax 0.1.0 wrote it: a missing age was a reason, and an interval did not name its data."""


def test_value_is_given_for_measured_and_review_and_reason_only_for_doubt():
    assert (MEASURED_ROW["hc_mm"], MEASURED_ROW["reason"]) == (HC, None)
    assert (REVIEW_ROW["hc_mm"], REVIEW_ROW["reason"], REVIEW_ROW["low_mm"]) == (HC, WHY, HC - 3)
    assert {REFUSED_ROW[name] for name in ("hc_mm", "bpd_mm", "long_mm", "low_mm", "interval_data", "ga_weeks")} == {
        None
    }
    assert [row["error_probability"] for row in (MEASURED_ROW, REVIEW_ROW, REFUSED_ROW)] == [0.02, 0.02, None]
    assert cells(MEASURED_ROW)["reason"] == ""
    assert cells(MEASURED_ROW)["interval_data"] == "heads 36 frames abc"


def test_missing_age_is_no_reason():
    tiny = replace(FOUND, hc_mm=20.0)
    row = result_row(FRAME, SIZE, replace(MEASURED, measurement=tiny))
    assert (row["status"], row["reason"], row["ga_weeks"]) == ("measured", None, None)
    assert MEASURED_ROW["ga_weeks"] > 10


def test_schema_accepts_each_status_and_files_of_version_1():
    VALIDATOR.validate([MEASURED_ROW, REVIEW_ROW, REFUSED_ROW, VERSION_1])


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (MEASURED_ROW, {"reason": "soft"}),
        (MEASURED_ROW, {"interval_data": None}),
        (MEASURED_ROW, {"status": "refused", "reason": "x"}),
        (REVIEW_ROW, {"reason": None}),
        (REVIEW_ROW, {"reason": ""}),
        (REVIEW_ROW, {"hc_mm": None}),
        (REVIEW_ROW, {"spacing_mm": None}),
        (REFUSED_ROW, {"hc_mm": 100.0}),
        (REFUSED_ROW, {"ga_weeks": 20.0}),
        (MEASURED_ROW, {"error_probability": 1.2}),
    ],
)
def test_schema_refuses_a_row_that_contradicts_its_status(row, wrong):
    assert VALIDATOR.is_valid([row])
    assert not VALIDATOR.is_valid([row | wrong])


def test_schema_knows_every_column():
    assert set(COLUMNS) | set(GEOMETRY) == set(VALIDATOR.schema["items"]["properties"])


def test_caption_of_each_status():
    first, *rest = caption(MEASURED_ROW)
    assert first.startswith(f"head (99 %)   HC {HC:.1f} mm (90 % interval {HC - 3:.1f} to {HC + 3:.1f})   BPD 60.0 mm")
    assert first.endswith("age 24w1d by Hadlock 1984 (HC)")
    assert "BPD and OFD: axes of the ellipse, outer to outer" in rest
    assert not any("review" in line for line in rest)
    assert "0.5 mm per pixel from the DICOM header" in rest
    assert caption(REVIEW_ROW)[0].startswith("head   HC")  # the reason states the probability
    assert caption(MEASURED_ROW | {"plane_probability": 0.8})[0].startswith("head (80 %)   HC")  # sure from there on
    assert f"to review: {WHY}" in caption(REVIEW_ROW)
    assert f"refused: {NO_SPACING}" in caption(REFUSED_ROW)
    outside = MEASURED_ROW | {"flags": ["leaves the frame"]}
    assert "the head leaves the picture" in caption(outside)


# ----------------------------------------------------------------------------------------------------- pictures


def drawn_share(status: str) -> float:
    """Share of the outline's points that are drawn on."""
    picture = overlay.draw(np.zeros_like(PIXELS), Measurement("head", ELLIPSE), [], status=status).max(2)
    x, y = np.floor(ELLIPSE.points(2000)).astype(int).T
    return float((picture[y, x] > 60).mean())


def test_line_style_tells_the_statuses_apart_without_colour():
    assert drawn_share("measured") > 0.99
    assert 0.55 < drawn_share("review") < 0.85
    assert drawn_share("refused") < 0.6
    assert len({style.colour for style in (*overlay.STYLES.values(), overlay.TRUE)}) == 4


def test_dashes_of_a_shaft_have_their_length():
    shaft = Measurement("femur", shaft=Shaft(50.5, 80.5, 250.5, 80.5, 12))
    row = overlay.draw(np.zeros((200, 300), np.uint8), shaft, [], status="review")[80, 70:230, 0] > 100
    starts = np.flatnonzero(np.diff(row.astype(int)) == 1)
    assert set(np.diff(starts)) <= {14, 15, 16}  # 9 drawn and 6 left out


def test_lines_grow_with_the_frame():
    shaft = Shaft(500.5, 800.5, 2500.5, 800.5, 120)
    column = overlay.draw(np.zeros((1000, 3200), np.uint8), Measurement("femur", shaft=shaft), [])[780:821, 1500, 0]
    wide = column.astype(float).sum() / overlay.STYLES["measured"].colour[0]
    assert wide == pytest.approx(4 * overlay.LINE_WIDTH, abs=0.1)
    assert 'stroke-width="6"' in overlay.svg(np.zeros((1000, 3200), np.uint8), Measurement("femur", shaft=shaft), [])


def test_svg_is_dashed_only_where_it_is_to_be_reviewed():
    found = Measurement("head", ELLIPSE)
    assert overlay.svg(PIXELS, found, [], "review").count('stroke-dasharray="9 6"') == 1  # the calipers are solid
    assert "dasharray" not in overlay.svg(PIXELS, found, [], "measured")


def test_svg_holds_the_frame_itself():
    frame = np.arange(200 * 300).astype(np.uint8).reshape(200, 300)
    embedded = re.search('base64,([^"]+)"', overlay.svg(frame, Measurement("head", ELLIPSE), []))
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(b64decode(embedded[1])))), frame)


def test_contact_sheet_holds_each_tile_once_in_reading_order(tmp_path):
    rows = [
        (MEASURED_ROW, REVIEW_ROW, REFUSED_ROW)[i % 3] for i in range(contact_sheet.COLUMNS * contact_sheet.ROWS + 2)
    ]
    sheet = contact_sheet.ContactSheet(lambda name: tmp_path / name)
    for row in rows:
        sheet.add(row, None)
    sheet.close()
    pages = [read_image(tmp_path / f"contact_sheet_0{n}.png") for n in (1, 2)]
    assert all(page[-contact_sheet.LINE :].max() == 255 for page in pages)  # the disclaimer, below the tiles
    pages = [page[: -contact_sheet.LINE] for page in pages]
    width, height = contact_sheet.TILE
    tiles = [
        page[y : y + height, x : x + width]
        for page in pages
        for y in range(0, page.shape[0], height)
        for x in range(0, page.shape[1], width)
    ]
    assert len(pages[1]) == height
    for row, tile in zip(rows, tiles, strict=False):
        np.testing.assert_array_equal(tile, np.asarray(contact_sheet._tile(row, None)))
    assert not np.any(tiles[len(rows) :])


def test_tile_shows_the_status_in_words_and_dashes():
    tiles = {row["status"]: np.asarray(contact_sheet._tile(row, None)) for row in (MEASURED_ROW, REVIEW_ROW)}
    dark = {status: int((tile[2, 3:-3].max(-1) < 50).sum()) for status, tile in tiles.items()}
    assert dark["measured"] == 0
    assert 60 < dark["review"] < 160
    assert contact_sheet._summary(REVIEW_ROW) == f"review: HC {HC:.1f} mm; {WHY}"
    assert contact_sheet._summary(MEASURED_ROW) == f"HC {HC:.1f} mm"
    assert contact_sheet._summary(REFUSED_ROW).startswith("refused: no spacing")


# --------------------------------------------------------------------------------------------- other programs


def test_cine_takes_its_best_frame_from_those_that_stand():
    surer = REVIEW_ROW | {"frame": 1, "plane_probability": 1.0, "hc_mm": 300.0}
    (summary,) = cines.summarise([MEASURED_ROW, surer])
    assert (summary.best["frame"], summary.measured, summary.review, summary.median["hc_mm"]) == (0, 1, 1, HC)
    near = [MEASURED_ROW | {"hc_mm": hc, "plane_probability": p} for hc, p in ((100, 0.994), (101, 0.991), (110, 0.99))]
    assert cines.summarise(near)[0].best["hc_mm"] == 101  # all as sure to a per cent
    near[2] |= {"plane_probability": 1.0}
    assert cines.summarise(near)[0].best["hc_mm"] == 110
    (only,) = cines.summarise([surer, REFUSED_ROW])
    assert (only.best["frame"], only.measured, only.review, only.frames) == (1, 0, 1, 2)
    assert only.cells()["best_status"] == "review"
    assert set(only.cells()) == set(cines.COLUMNS)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory) -> Source:
    path = tmp_path_factory.mktemp("dicom") / "head.dcm"
    return Source(save(ultrasound(PIXELS, [region(0.5, 0.5)]), path))


def comments(item) -> list[str]:
    own = [item.TextValue] if item.get("ValueType") == "TEXT" and "reviewed" in item.TextValue else []
    return own + [text for child in item.get("ContentSequence", ()) for text in comments(child)]


def test_structured_report_marks_each_value_to_review(dicom, tmp_path):
    for row, name, count in ((MEASURED_ROW, "measured", 0), (REVIEW_ROW, "review", 5)):
        structured_report.write(dicom, row, tmp_path / f"{name}.dcm")
        report = highdicom.sr.srread(tmp_path / f"{name}.dcm")
        assert report.PreliminaryFlag == "PRELIMINARY"
        assert report.CompletionFlag == "COMPLETE"
        assert (report.InstanceNumber, report.SeriesNumber) == (1, 900)
        assert report.VerificationFlag == "UNVERIFIED"
        found = comments(report)
        assert len(found) == count  # HC, BPD, OFD, age and the summary
        assert all(WHY in text for text in found)


def test_segmentation_marks_a_shape_to_review(dicom, tmp_path):
    for row, name in ((MEASURED_ROW, "measured"), (REVIEW_ROW, "review")):
        segmentation.write(dicom, row, tmp_path / f"{name}.dcm")
        found = highdicom.seg.segread(tmp_path / f"{name}.dcm")
        text = found.SegmentSequence[0].get("SegmentDescription", "")
        assert (WHY in text) == (name == "review")
        assert bool(found.get("ContentDescription")) == (name == "review")


def test_fhir_is_preliminary_and_marks_a_value_to_review():
    for row in (MEASURED_ROW, REVIEW_ROW):
        found = [entry.resource for entry in Bundle.model_validate(fhir.bundle(row, {})).entry]
        assert {observation.status for observation in found} == {"preliminary"}
        values = [float(observation.valueQuantity.value) for observation in found]
        assert values == [round(row[key], 2) for key in ("hc_mm", "bpd_mm", "ofd_mm", "ga_weeks")]
        for observation in found:
            doubtful = row["status"] == "review"
            assert (observation.meta is not None) == doubtful
            assert (WHY in observation.note[0].text) == doubtful
            if doubtful:
                assert observation.meta.security[0].code == "UNCERTREL"


def test_fhir_names_study_patient_and_date_where_the_row_does():
    named = {"examination": "1.2.840.1", "patient": "P1", "date": "2024-01-31"}
    study = {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}}
    of_dicom = MEASURED_ROW | {"instance": "1.2.840.1.2"}
    assert fhir.context(of_dicom) == {}
    assert fhir.context(of_dicom | named) == {
        "derivedFrom": [study],
        "subject": {"type": "Patient", "identifier": {"value": "P1"}},
        "effectiveDateTime": "2024-01-31",
    }
    hashed = fhir.context(of_dicom | {"examination": "0a1b2c"})
    assert hashed == {"derivedFrom": [{"type": "ImagingStudy", "identifier": {"value": "0a1b2c"}}]}


def test_fhir_names_the_file_of_a_frame_that_is_no_dicom():
    row = MEASURED_ROW | {"file": "/home/Ann/study.zip/head.png", "examination": "visit-1"}
    study, file = fhir.context(row)["derivedFrom"]
    assert study["identifier"] == {"value": "visit-1"}
    assert file == {"type": "Media", "display": "head.png"}
    for entry in Bundle.model_validate(fhir.bundle(row, fhir.context(row))).entry:
        assert [of.display for of in entry.resource.derivedFrom] == [None, "head.png"]


def test_hc18_ellipse_is_in_millimetres_where_pixels_are_not_square(tmp_path):
    to_pixels = geometry.stretch(1.0, 1.5)  # three rows for two: 0.5 mm along the rows, 1/3 mm down them
    squeezed = replace(MEASURED, measurement=replace(FOUND, ellipse=ELLIPSE.transform(to_pixels)))
    rows = [result_row(FRAME, PixelSize((0.5 / 1.5, 0.5), "dicom"), squeezed), MEASURED_ROW, REFUSED_ROW]
    rows[2] = rows[2] | {"file": "lost.png", "ellipse_px": None}
    message = hc18_submission.write_submission(rows, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as f:
        tall, square = csv.DictReader(f)
    for line in (tall, square):
        a, b = float(line["semi_axes_a_mm"]), float(line["semi_axes_b_mm"])
        assert (a, b) == pytest.approx((40, 30), abs=1e-4)
        assert float(geometry.perimeter(a, b)) == pytest.approx(HC, abs=1e-3)
        assert float(line["angle_rad"]) == pytest.approx(0.2, abs=1e-5)
    assert float(tall["center_x_mm"]) == pytest.approx(0.5 * 149.5, abs=1e-4)
    assert float(tall["center_y_mm"]) == pytest.approx((150 - 0.5) * 0.5 / 1.5, abs=1e-4)
    assert message.endswith("2 ellipses; none for lost.png")
