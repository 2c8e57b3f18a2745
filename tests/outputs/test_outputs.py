"""What `measure` writes, checked by readers that are not ours."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import highdicom
import jsonschema
import numpy as np
import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from fetal_jax import bundle, geometry
from fetal_jax.biometry import Measurement
from fetal_jax.cli.measure import measure_paths
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft, stretch
from fetal_jax.inference.predictor import Predictor
from fetal_jax.outputs import cines, contact_sheet, fhir, fonts, hc18_submission, overlay, structured_report
from fetal_jax.outputs.dicom_parts import shape_points
from fetal_jax.outputs.rows import SCHEMA, pixel_size
from fetal_jax.planes import PRIMARY
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import NOT_COVERED, OWN_PAIR
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results import folder
from tests.support import ROOT
from tests.support.counting import HEADS, counting, three_heads
from tests.support.dicom_files import region, save, ultrasound


def tissue(phantom) -> list:
    return [region(phantom.spacing_mm, phantom.spacing_mm)]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A PNG, the same frame as DICOM, a cine, and a bad file."""
    folder = tmp_path_factory.mktemp("study")
    image = HEADS[0].image
    Image.fromarray(image).save(folder / "plain.png")
    save(ultrasound(image, tissue(HEADS[0])), folder / "same.dcm", "jpeg_lossless")
    sweep = np.stack([np.roll(image, shift, 1) for shift in (0, 2, 4)] + [np.zeros_like(image)])
    save(ultrasound(sweep, tissue(HEADS[0])), folder / "sweep.dcm", "jpeg_2000_lossless")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


@pytest.fixture(scope="module")
def out(study, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    spacings = Spacings("flag", constant=HEADS[0].spacing_mm)
    counts = measure_paths([study], bundle.DEFAULT, spacings, "head", out, ("svg", "sr", "seg", "fhir"))
    assert counts == {"error": 1, "measured": 5, "refused": 1}
    return out


@pytest.fixture(scope="module")
def rows(out) -> list[dict]:
    return json.loads((out / "measurements.json").read_text())


def test_json_follows_its_schema_and_a_wrong_one_does_not(rows):
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    validator.check_schema(validator.schema)
    validator.validate(rows)
    measured = next(r for r in rows if r["status"] == "measured")
    for wrong in ({"hc_mm": None}, {"status": "refused"}, {"hc_mm": -3.0}, {"spacing_mm": None}, {"extra": 1}):
        assert not validator.is_valid([measured | wrong])


def test_a_png_and_its_dicom_give_the_same_millimetres(rows):
    plain, same = (next(r for r in rows if r["file"].endswith(name)) for name in ("plain.png", "same.dcm"))
    assert (plain["spacing_source"], same["spacing_source"]) == ("flag", "dicom")
    assert plain["hc_mm"] == pytest.approx(same["hc_mm"], abs=1e-3)
    assert plain["hc_mm"] == pytest.approx(geometry_of(HEADS[0]), abs=25)


@pytest.fixture(scope="module")
def plain_hc() -> float:
    head = HEADS[0]
    return Predictor.from_bundle().measure(head.image, head.spacing_mm, "head").hc_mm


@pytest.mark.parametrize("syntax", [None, "jpeg_lossless", "jpeg_2000_lossless", "jpeg_ls_lossless", "rle"])
@pytest.mark.parametrize("kind", ["grey", "rgb", "monochrome1"])
def test_a_frame_in_any_wrapping_gives_the_same_millimetres(tmp_path, plain_hc, kind, syntax):
    image = HEADS[0].image
    pixels = {"grey": image, "rgb": np.repeat(image[..., None], 3, 2), "monochrome1": 255 - image}[kind]
    ds = ultrasound(pixels, tissue(HEADS[0]), "MONOCHROME1" if kind == "monochrome1" else None)
    (frame,) = read(Source(save(ds, tmp_path / "a.dcm", syntax)))
    result = Predictor.from_bundle().measure(frame.pixels, frame.size.mm, "head")
    assert result.hc_mm == pytest.approx(plain_hc, abs=1e-3)


def test_an_anisotropic_frame_is_measured_in_millimetres(tmp_path, plain_hc):
    head = HEADS[0]
    height, width = head.image.shape
    tall = np.asarray(Image.fromarray(head.image).resize((width, height * 3 // 2), Image.Resampling.BICUBIC))
    ds = ultrasound(tall, [region(head.spacing_mm / 1.5, head.spacing_mm)])
    (frame,) = read(Source(save(ds, tmp_path / "a.dcm")))
    result = Predictor.from_bundle().measure(frame.pixels, frame.size.mm, "head")
    assert result.hc_mm == pytest.approx(plain_hc, rel=0.01)  # taken as square it is a fifth too large
    assert result.measurement.ellipse.cy == pytest.approx(1.5 * plain_ellipse().cy, rel=0.01)


def test_lines_in_a_report_are_as_long_as_the_values_where_pixels_are_not_square():
    spacing = (0.30, 0.24)
    for angle in (0, np.pi / 4, np.pi / 2):
        in_mm = Ellipse(96.0, 120.0, 50.0, 41.0, angle)
        row = {"shaft_px": None, "ellipse_px": np.asarray(in_mm.transform(stretch(1 / spacing[1], 1 / spacing[0])))}
        row |= {"spacing_mm": spacing[0], "column_spacing_mm": spacing[1]}
        frame = SimpleNamespace(Columns=800, Rows=800)
        for key, length in (("ofd_mm", 100.0), ("bpd_mm", 82.0)):
            start, end = shape_points(frame, row, key) * spacing[::-1]
            assert np.hypot(*(end - start)) == pytest.approx(length)
        assert len(shape_points(frame, row, "hc_mm")) == 4


def test_the_size_of_a_pixel_is_stated_for_both_axes_where_they_differ():
    row = {"spacing_mm": 0.3, "column_spacing_mm": 0.24, "spacing_source": "dicom"}
    assert pixel_size(row) == "0.3 (rows) x 0.24 (columns) mm per pixel from the DICOM header"
    assert pixel_size(row | {"column_spacing_mm": 0.3}) == "0.3 mm per pixel from the DICOM header"
    assert pixel_size(row | {"spacing_mm": None}) == ""


def plain_ellipse() -> Ellipse:
    head = HEADS[0]
    return Predictor.from_bundle().measure(head.image, head.spacing_mm, "head").measurement.ellipse


def geometry_of(phantom) -> float:
    return phantom.shape.perimeter * phantom.spacing_mm


def test_every_frame_of_a_cine_and_what_they_say_together(rows, out):
    sweep = [r for r in rows if r["file"].endswith("sweep.dcm")]
    assert [r["frame"] for r in sweep] == [0, 1, 2, 3]
    with (out / "cines.csv").open() as f:
        (cine,) = csv.DictReader(f)
    values = [r["hc_mm"] for r in sweep if r["hc_mm"]]
    assert (cine["frames"], cine["measured"]) == ("4", str(len(values)))
    assert float(cine["median_hc_mm"]) == pytest.approx(np.median(values), rel=1e-5)
    best = sweep[int(cine["best_frame"])]
    assert float(cine["best_hc_mm"]) == pytest.approx(best["hc_mm"], rel=1e-5)


def test_the_best_frame_has_no_flag_is_sure_and_near_the_median():
    base = dict.fromkeys(("bpd_mm", "ofd_mm", "ac_mm", "fl_mm")) | {"file": "a", "status": "measured", "plane": "head"}
    table = [(170.0, 0.91, []), (200.0, 0.99, ["leaves the frame"]), (172.0, 0.95, []), (180.0, 0.95, [])]
    frames = [
        base | {"frame": i, "hc_mm": hc, "plane_probability": p, "flags": flags}
        for i, (hc, p, flags) in enumerate(table)
    ]
    refused = base | {"frame": 4, "status": "refused", "hc_mm": None, "plane_probability": 1.0, "flags": []}
    (summary,) = cines.summarise([*frames, refused])
    assert summary.best["frame"] == 2  # as sure as frame 3, nearer to the median of 176
    assert (summary.frames, summary.measured, summary.median["hc_mm"]) == (5, 4, 176.0)
    assert summary.spread["hc_mm"] == pytest.approx(1.4826 * 5)


# --------------------------------------------------------------------------------------------- DICOM and FHIR


def dciodvfy(path: Path) -> str:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy: apt-get install dicom3tools")
    return subprocess.run([program, str(path)], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("name", ["same", "sweep"])
def test_the_structured_report(out, study, rows, name):
    report = highdicom.sr.srread(next((out / "sr").glob(f"{name}*.dcm")))
    image = pydicom.dcmread(study / f"{name}.dcm", stop_before_pixels=True)
    assert report.ConceptNameCodeSequence[0].CodeValue == "125000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "5000"
    assert (report.PatientID, report.StudyInstanceUID) == (image.PatientID, image.StudyInstanceUID)
    numbers = {i.ConceptNameCodeSequence[0].CodeValue: i for i in walk(report) if i.ValueType == "NUM"}
    row = best_row(rows, out, name)
    for code, key in (("11984-2", "hc_mm"), ("11820-8", "bpd_mm"), ("11851-3", "ofd_mm")):
        value = numbers[code].MeasuredValueSequence[0]
        assert float(value.NumericValue) == pytest.approx(row[key], abs=0.006)
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
        (shape,) = (i for i in numbers[code].ContentSequence if i.ValueType == "SCOORD")
        reference = shape.ContentSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == image.SOPInstanceUID
        assert reference.get("ReferencedFrameNumber", 1) == row["frame"] + 1
    ends = np.array(next(i for i in walk(report) if i.get("GraphicType") == "ELLIPSE").GraphicData).reshape(4, 2)
    assert np.hypot(*(ends[1] - ends[0])) == pytest.approx(2 * row["ellipse_px"][2], rel=1e-4)
    assert "Error" not in dciodvfy(next((out / "sr").glob(f"{name}*.dcm")))


def walk(item):
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def best_row(rows, out, name) -> dict:
    found = [r for r in rows if r["file"].endswith(f"{name}.dcm") and r["status"] == "measured"]
    return cines.summarise(found)[0].best


@pytest.mark.parametrize("name", ["same", "sweep"])
def test_the_segmentation(out, study, rows, name):
    path = next((out / "seg").glob(f"{name}*.dcm"))
    segmentation = highdicom.seg.segread(path)
    row = best_row(rows, out, name)
    ellipse = Ellipse(*row["ellipse_px"])
    expected = geometry.mask(ellipse, *HEADS[0].image.shape)
    np.testing.assert_array_equal(segmentation.pixel_array, expected)
    image = pydicom.dcmread(study / f"{name}.dcm", stop_before_pixels=True)
    (source,) = segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert source.ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert source.ReferencedSOPClassUID == image.SOPClassUID
    assert source.get("ReferencedFrameNumber", 1) == row["frame"] + 1
    assert "Error" not in dciodvfy(path)


def test_a_shape_that_leaves_the_frame_has_no_coordinates(tmp_path, rows, out, study):
    row = best_row(rows, out, "same")
    outside = row | {"ellipse_px": [20.0, 30.0, 80.0, 60.0, 0.3]}
    structured_report.write(Source(study / "same.dcm"), outside, tmp_path / "a.dcm")
    report = highdicom.sr.srread(tmp_path / "a.dcm")
    assert not [i for i in walk(report) if i.ValueType == "SCOORD"]
    assert "Error" not in dciodvfy(tmp_path / "a.dcm")


def test_a_femur_is_reported_as_a_line(tmp_path, rows, out, study):
    row = best_row(rows, out, "same") | dict.fromkeys(("hc_mm", "bpd_mm", "ofd_mm", "ellipse_px"))
    row |= {"plane": "femur", "fl_mm": 31.25, "shaft_px": [100.0, 120.0, 260.0, 150.0, 12.0], "ga_weeks": 20.2}
    structured_report.write(Source(study / "same.dcm"), row, tmp_path / "a.dcm")
    numbers = [i for i in walk(highdicom.sr.srread(tmp_path / "a.dcm")) if i.ValueType == "NUM"]
    told = [(i.ConceptNameCodeSequence[0].CodeValue, float(i.MeasuredValueSequence[0].NumericValue)) for i in numbers]
    assert told == [("11963-6", 31.25), ("18185-9", 20.2)]
    shape = next(i for i in walk(highdicom.sr.srread(tmp_path / "a.dcm")) if i.ValueType == "SCOORD")
    assert list(shape.GraphicData) == [100, 120, 260, 150]
    codes = [e.resource.code.coding[0].code for e in Bundle.model_validate(fhir.bundle(row, {})).entry]
    assert codes == ["11963-6", "18185-9"]


def test_fhir_observations(out, rows, study):
    names = {p.stem for p in (out / "fhir").glob("*.json")}
    assert len(names) == 3
    for name in ("same", "plain"):
        found = Bundle.model_validate_json((out / "fhir" / f"{name}.json").read_text())
        row = next(r for r in rows if Path(r["file"]).stem == name)
        observation = found.entry[0].resource
        assert observation.code.coding[0].code == "11984-2"
        assert float(observation.valueQuantity.value) == pytest.approx(row["hc_mm"], abs=0.006)
        assert observation.valueQuantity.code == "mm"
        assert "Not for clinical use" in observation.note[0].text
        assert (observation.subject is not None) == (name == "same")


def test_what_cannot_be_reported_is_said(study, tmp_path):
    notes: list[str] = []
    spacings = Spacings("flag", constant=HEADS[0].spacing_mm)
    sources = [Source(study / "plain.png")]
    list(folder.measure_files(Predictor.from_bundle(), sources, spacings, "head", tmp_path, ("sr",), notes.append))
    assert len(notes) == 1
    assert "plain.png is not a DICOM" in notes[0]


# ----------------------------------------------------------------------------------------------------- pictures


def test_strokes_are_where_the_geometry_is():
    frame = np.zeros((200, 300), np.uint8)
    shaft = Measurement("femur", shaft=Shaft(50.3, 80.5, 250.7, 80.5, 12))
    picture = overlay.draw(frame, shaft, [])
    column = picture[60:101, 150, 0].astype(float)
    centre = (column * (np.arange(60, 101) + 0.5)).sum() / column.sum()
    assert centre == pytest.approx(80.5, abs=0.02)
    assert column.sum() / overlay.STYLES["measured"].colour[0] == pytest.approx(overlay.LINE_WIDTH, abs=0.1)
    lower = overlay.draw(frame, replace(shaft, shaft=Shaft(50.3, 80.8, 250.7, 80.8, 12)), [])[60:101, 150, 0]
    assert (lower * (np.arange(60, 101) + 0.5)).sum() / lower.sum() == pytest.approx(80.8, abs=0.1)  # sub-pixel


def test_a_shape_outside_the_frame_is_no_error():
    picture = overlay.draw(np.zeros((50, 60), np.uint8), Measurement("head", Ellipse(-500, 20, 900, 400, 1)), ["x"])
    assert picture.shape[1] == 60


def test_svg_is_well_formed_and_shows_the_same(out, rows):
    row = next(r for r in rows if r["file"].endswith("same.dcm"))
    root = ElementTree.parse(out / Path(row["overlay"]).with_suffix(".svg")).getroot()
    space = {"s": "http://www.w3.org/2000/svg"}
    outline = root.findall("s:polyline", space)[0].get("points")
    points = np.array([p.split(",") for p in outline.split()], float)
    ellipse = Ellipse(*row["ellipse_px"])
    np.testing.assert_allclose(points[:-1], ellipse.points(360), atol=0.006)
    text = "".join(t.text for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert f"HC {row['hc_mm']:.1f} mm" in text
    assert len(overlay.wrapped(["a b c " * 30], 200)) > 3
    assert "Not for clinical use" in text


def test_the_contact_sheet_shows_every_row(out, rows):
    sheet = np.asarray(Image.open(out / "contact_sheet_01.png"))
    width, height = contact_sheet.TILE
    for i, row in enumerate(rows):
        line, column = divmod(i, contact_sheet.COLUMNS)
        tile = sheet[line * height : (line + 1) * height, column * width : (column + 1) * width]
        edge = tile[:, 1]  # dashed where a person must look
        assert set(map(tuple, edge[edge.any(axis=1)])) == {contact_sheet.FRAME[row["status"]]}
    assert len(list(out.glob("contact_sheet_*.png"))) == 1


def test_the_hc18_submission(tmp_path, rows):
    told = hc18_submission.write_submission(rows, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as f:
        lines = list(csv.DictReader(f))
    row = next(r for r in rows if r["file"].endswith("plain.png"))
    line = next(entry for entry in lines if entry["filename"] == "plain.png")
    a, b = float(line["semi_axes_a_mm"]), float(line["semi_axes_b_mm"])
    assert float(geometry.perimeter(a, b)) == pytest.approx(row["hc_mm"], abs=0.01)
    assert float(line["center_x_mm"]) == pytest.approx((row["ellipse_px"][0] - 0.5) * row["spacing_mm"], abs=1e-4)
    assert "none for bad.png" in told


def test_the_documented_examples_run(capsys):
    text = (ROOT / "docs" / "inference.md").read_text()
    frames, points, own_map, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)  # the last one reads a file
    exec(frames, {})
    assert capsys.readouterr().out.splitlines()[1] == "['refused', 'refused']"
    names = {"head": HEADS[0].image}
    exec(points.replace("np.zeros((540, 800), np.uint8)", "head"), names)
    assert names["points"].shape == (180, 2)
    assert "'head': " in capsys.readouterr().out
    exec(own_map, {})
    measured, true = capsys.readouterr().out.splitlines()[0].split()
    assert f"# {float(measured):.1f} and {float(true):.1f}" in own_map


# ------------------------------------------------------------------------------------------------------ spacing


@pytest.fixture
def frames(tmp_path) -> list[Source]:
    return three_heads(tmp_path)


def test_a_table_tells_examinations_apart_by_folder(frames, tmp_path, monkeypatch):
    """All three files are named head.png: a row without its folder would give them one spacing."""
    (tmp_path / "bare.csv").write_text("filename,spacing_mm\nhead.png,0.3\n")
    with pytest.raises(UserError, match=r"one row head\.png for .*d0/head\.png and .*d1/head\.png"):
        list(folder.measure_files(counting(), frames, Spacings.read(tmp_path / "bare.csv"), "head", tmp_path / "o"))
    rows = "d0/head.png,0.3\nd1/head.png,0.4\nhead.png,0.5\n"
    (tmp_path / "told.csv").write_text("filename,spacing_mm\n" + rows)
    spacings = Spacings.read(tmp_path / "told.csv")
    found = list(folder.measure_files(counting(), frames, spacings, "head", tmp_path / "o"))
    assert [r["spacing_mm"] for r in found] == [0.3, 0.4, 0.5]
    monkeypatch.chdir(tmp_path / "d0")  # from there it is the same file
    (row,) = folder.measure_files(counting(), [Source(Path("head.png"))], spacings, "head", tmp_path / "p")
    assert row["spacing_mm"] == 0.3


def test_a_folder_that_cannot_be_written(frames, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        list(folder.measure_files(counting(), frames, Spacings("none"), "head", tmp_path / "out"))


def test_a_header_beats_nobody_and_contradiction_is_refused(study, tmp_path):
    spacing = HEADS[0].spacing_mm
    for told, source in ((spacing * 1.005, "dicom"), (spacing * 1.1, None)):
        (row,) = folder.measure_files(
            counting(), [Source(study / "same.dcm")], Spacings("flag", constant=told), "head", tmp_path / f"{source}"
        )
        assert row["spacing_source"] == source
    assert row["status"] == "refused"
    assert "the DICOM header says" in row["reason"]


def test_a_structure_outside_the_calibrated_region_is_refused(tmp_path):
    head = HEADS[0]
    far = [region(head.spacing_mm, head.spacing_mm, RegionLocationMaxX1=5, RegionLocationMaxY1=5), region(1, 1, 4)]
    far[1].RegionDataType = 3
    save(ultrasound(head.image, far), tmp_path / "a.dcm")
    (row,) = folder.measure_files(counting(), [Source(tmp_path / "a.dcm")], Spacings("none"), "head", tmp_path / "o")
    assert row["status"] == "refused"
    assert "outside the region" in row["reason"]
    assert row["hc_mm"] is None


@given(st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "Z"]), max_size=60))
def test_a_text_is_as_wide_as_pillow_says(text):
    drawn = fonts.drawable(text)
    length = ImageFont.load_default(15).getlength(drawn) + drawn.count("-")  # a hyphen has a pixel after it
    assert fonts.width(text, 15) == pytest.approx(length, abs=0.5)


@pytest.mark.parametrize("size", [contact_sheet.TYPE, overlay.TEXT_SIZE])
def test_the_two_hyphens_of_a_flag_are_not_one_dash(size):
    line = Image.new("L", (40, 20))
    fonts.write(ImageDraw.Draw(line), (2, 16), "--", size, 255)
    runs = [lit for lit, _ in groupby(np.asarray(line).any(0))]
    assert runs == [False, True, False, True, False]


def test_a_letter_that_the_font_lacks_is_drawn_without_its_accents():
    assert fonts.drawable("Müller é, 20° · café.png") == "Muller e, 20° · cafe.png"
    assert fonts.drawable(unicodedata.normalize("NFD", "Müller")) == "Muller"
    assert fonts.drawable("Weiß Sørensen, Læsø, Łódź, Đorđe, ÆØẞ") == "Weiss Sorensen, Laeso, Lodz, Dorde, AEOSS"
    assert fonts.drawable("胎儿_01.png, Ж, 아") == "??_01.png, ?, ?"
    assert fonts.drawable("20–30 — a\u200bb") == "20-30 - ab"
    row = {"file": "Schädel.png", "frame": 0, "status": "refused", "reason": "ä"} | dict.fromkeys(PRIMARY.values())
    plain = row | {"file": "Schadel.png", "reason": "a"}
    assert np.array_equal(*(np.asarray(contact_sheet._tile(each, None)) for each in (row, plain)))
    found, frame = Measurement("head", flags=("nothing found",)), np.zeros((200, 300), np.uint8)
    assert np.array_equal(*(overlay.draw(frame, found, [text], status="refused") for text in ("Schädel", "Schadel")))


@given(st.text("mwi. ", max_size=80), st.integers(0, 300))
def test_as_many_letters_fit_as_there_is_room_for(text, room):
    fit = fonts.fitting(text, 12, room)
    assert fonts.width(text[:fit], 12) <= room
    assert fit == len(text) or fonts.width(text[: fit + 1], 12) > room


@given(st.lists(st.text("mwi.", min_size=1, max_size=9), max_size=20), st.integers(40, 300))
def test_a_line_is_broken_where_the_next_word_does_not_fit(words, width):
    lines, room = overlay.wrapped([" ".join(words)], width), width - 2 * overlay.MARGIN
    assert " ".join(lines).split() == words
    for line in lines:
        assert fonts.width(line, overlay.TEXT_SIZE) <= room or " " not in line
    for line, after in pairwise(lines):
        assert fonts.width(f"{line} {after.split(' ')[0]}", overlay.TEXT_SIZE) > room - 0.01


def test_an_error_on_the_contact_sheet_does_not_repeat_the_file():
    row = {
        "file": "/long/way/to/bad.png",
        "status": "error",
        "reason": "/long/way/to/bad.png is damaged: copy it again",
    }
    assert contact_sheet._summary(row | dict.fromkeys(PRIMARY.values())) == "error: is damaged: copy it again"


def test_a_long_name_is_shortened_on_the_contact_sheet():
    name = contact_sheet._cut("a" * 300)
    assert name == name.rstrip(".") + "..."
    room = contact_sheet.ROOM
    assert room - fonts.width("a", 12) < fonts.width(name, contact_sheet.TYPE) <= room
    assert contact_sheet._cut("frame_01.png") == "frame_01.png"


def test_the_contact_sheet_shows_a_whole_reason_in_lines(tmp_path):
    reasons = (
        *(NOT_COVERED, f"no spacing: {OWN_PAIR}", "the network is 61 % sure that this is a head: check the plane"),
        "no spacing: the DICOM header says that the frame was resampled (DerivationDescription or "
        "DerivationCodeSequence), so that its ultrasound regions may be the original's: export the original, or give "
        "--spacing-mm",
    )
    for reason in reasons:
        text = f"refused: {reason}"
        lines = contact_sheet._wrapped(text)
        assert " ".join(lines) == text
        assert all(fonts.width(line, contact_sheet.TYPE) <= contact_sheet.ROOM for line in lines)
        row = {"file": "a.png", "frame": 0, "status": "refused", "reason": reason} | dict.fromkeys(PRIMARY.values())
        tile = np.asarray(contact_sheet._tile(row, np.full((540, 800, 3), 90, np.uint8)))
        # the picture is above the text, which has the lines of the tile that it needs
        height = contact_sheet.TILE[1] - contact_sheet.LINE * (1 + len(lines))
        grey = (tile == 90).all(-1).any(1)
        assert grey.any()
        assert not grey[height - contact_sheet.EDGE - 1 :].any()
    many = contact_sheet._wrapped(f"refused: {'; '.join(reasons * 3)}")
    assert len(many) == contact_sheet.MOST_LINES - 1
    assert many[-1].endswith("...")
