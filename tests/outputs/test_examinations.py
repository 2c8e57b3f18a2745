"""What `measure` writes of examinations: tables, pages, charts, FHIR; no identifier, no script from a name."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.files import OwnFiles
from fetal_jax.growth import GrowthError, reference
from fetal_jax.inference.identity import ONE, Naming
from fetal_jax.outputs.examinations import chart, page, tables, write
from fetal_jax.outputs.examinations import fhir as examination_fhir
from fetal_jax.outputs.examinations.examination import group
from fetal_jax.outputs.examinations.visits import follow
from fetal_jax.reading.sources import find
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.reading.study import Labels
from fetal_jax.results.folder import measure_files
from tests.support.counting import HEADS, counting, three_heads
from tests.support.dicom_files import region, save, ultrasound
from tests.support.examination_rows import row, sizes, woman

SECRETS = ("MRN-4711", "Planted^Name", "1.2.826.0.1.4711.5", "19470229", "20240131", "2024-01-31")


@pytest.fixture
def rows() -> list[dict]:
    """Three visits of one patient, twins, and a femur alone."""
    slow = {"hc": -0.5, "ac": -1.5, "fl": -0.5}
    found = [
        *(
            frame
            for day, weeks in ((0, 20), (56, 28))
            for frame in woman(f"v{day}", sizes(weeks), patient="p", day=day)
        ),
        *woman("v98", sizes(34, z=slow), patient="p", day=98),
        *woman("twins", sizes(24), fetus="1"),
        *woman("twins", sizes(23), fetus="2"),
        row("femur", 40.0, "alone", "review"),
    ]
    for frame in found:
        frame["overlay"] = f"overlays/{frame['file']}"
    return found


@pytest.fixture
def folder(tmp_path, rows) -> Path:
    """A results folder with the overlays of these rows, and its examinations."""
    (tmp_path / "overlays").mkdir()
    for frame in rows:
        Image.fromarray(np.full((300, 400, 3), 40, np.uint8)).save(tmp_path / frame["overlay"])
    write.write(rows, "hadlock", OwnFiles(tmp_path), fhir=True)
    return tmp_path


def test_tables_hold_a_row_an_examination_and_follow_the_schema(folder):
    records = json.loads((folder / "examinations.json").read_text())
    validator = jsonschema.Draft202012Validator(json.loads(tables.SCHEMA.read_text()))
    validator.check_schema(validator.schema)
    validator.validate(records)
    for wrong in ({"status": "refused"}, {"status": "good"}, {"sizes_mm": {"hc": -1}}, {"extra": 1}):
        assert not validator.is_valid([records[0] | wrong])
    with (folder / "examinations.csv").open(newline="") as f:
        table = list(csv.DictReader(f))
    assert list(table[0]) == tables.COLUMNS
    assert [r["examination"] for r in table] == ["v0", "v56", "v98", "twins", "twins", "alone"]
    for cells, record in zip(table, records, strict=True):
        assert (folder / record["page"]).is_file()
        assert cells["page"] == record["page"]
        for measure in tables.MEASURES:
            mm = record["sizes_mm"].get(measure)
            assert cells[f"{measure}_mm"] == ("" if mm is None else f"{mm:.6g}")
        assert bool(cells["efw_g"]) == (record["weight"] is not None)
        for plane, structure in record["structures"].items():
            assert cells[f"{plane}_reason"] == (structure["reason"] or "")
            assert cells[f"{plane}_reason"] or structure["status"] == "measured"
    assert [r["page"] for r in records[3:5]] == ["examinations/twins_1.html", "examinations/twins_2.html"]
    assert records[2]["centiles"]["ac"]["change"] < -20
    assert records[0]["centiles"]["ac"]["change"] is None


class Balanced(html.parser.HTMLParser):
    """Every element is closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open += [] if tag in self.VOID else [tag]
        assert tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_pages_are_whole_and_ask_for_nothing_else(folder):
    for path in (folder / "report.html", *(folder / "examinations").glob("*.html")):
        text = path.read_text()
        parser = Balanced()
        parser.feed(text)
        assert parser.open == []
        assert "Research software. Not for clinical use." in text
        assert "Unsigned" in text
        assert not re.search(r"(src|href)=\"(?!data:|\.\./report\.html|[\w./%-]+\.html)", text)
        assert "Content-Security-Policy" in text


def test_a_page_shows_what_was_computed(folder):
    record = json.loads((folder / "examinations.json").read_text())[2]
    text = (folder / record["page"]).read_text()
    for measure in ("hc", "ac", "fl"):
        assert f"{record['sizes_mm'][measure]:.1f}" in text
    assert "Age by the first visit" in text
    assert "3 of 3, day 98" in text
    pictures = [b64decode(data) for data in re.findall(r'"data:image/jpeg;base64,([^"]+)"', text)]
    assert len(pictures) == 3
    for data in pictures:
        assert np.asarray(Image.open(BytesIO(data))).mean() == pytest.approx(40, abs=2)
    assert text.count('<svg class="chart"') == 4
    assert 'href="v0.html"' in text
    alone = (folder / "examinations" / "alone.html").read_text()
    assert "no frame shows the head" in alone
    assert "only compare the sizes with each other" in alone


def test_names_are_escaped(tmp_path):
    name = '<script>alert(1)</script>"/../../x'
    write.write([row("head", 200.0, name, patient=name)], "hadlock", OwnFiles(tmp_path))
    (made,) = (tmp_path / "examinations").iterdir()
    for text in (made.read_text(), (tmp_path / "report.html").read_text()):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
    with (tmp_path / "examinations.csv").open(newline="") as f:
        assert next(csv.DictReader(f))["examination"] == name


def test_two_names_that_make_one_file_name_get_two_pages(tmp_path):
    write.write([row("head", 200.0, "a/b"), row("head", 210.0, "a:b")], "hadlock", OwnFiles(tmp_path))
    assert {p.name for p in (tmp_path / "examinations").iterdir()} == {"a_b.html", "a_b_2.html"}


def test_the_chart_places_a_median_on_its_curve():
    median = float(reference("hc", 30, "hadlock").value(50))
    root = ElementTree.fromstring(chart.draw("hc", "hadlock", [chart.Point(30, median)]))
    space = "{http://www.w3.org/2000/svg}"
    circle = root.find(f".//{space}circle")
    x, y = float(circle.get("cx")), float(circle.get("cy"))
    curve = np.array(
        [[float(v) for v in pair.split(",")] for pair in root.findall(f".//{space}polyline")[2].get("points").split()]
    )
    assert np.interp(x, *curve.T) == pytest.approx(y, abs=0.3)
    title = root.find(f"{space}title").text
    assert "HC by gestational age, Hadlock" in title
    assert title.endswith("mm at 30w0d")
    with pytest.raises(GrowthError, match="no curve"):
        chart.draw("ofd", "hadlock", [])


@pytest.mark.parametrize("standard", ["hadlock", "intergrowth", "who"])
def test_every_standard_draws_its_page(tmp_path, standard):
    (pregnancy,) = follow(group(woman("a", sizes(30))), standard)
    text = page.render(pregnancy, 0, tables.record(pregnancy, 0), tmp_path, ["a.html"])
    assert text.count("<polyline") == 4 * len(chart.CENTILES)


def test_a_centile_beyond_the_chart_is_a_bound(tmp_path):
    (pregnancy,) = follow(group(woman("a", {"hc": 320.0, "ac": 150.0, "fl": 60.0}, stated_ga_weeks=30.0)), "who")
    record = tables.record(pregnancy, 0)
    assert (record["centiles"]["hc"]["bound"], record["centiles"]["hc"]["z"]) == ("above", None)
    assert ">99" in tables.as_csv([record])
    assert "&gt;99" in page.render(pregnancy, 0, record, tmp_path, ["a.html"])


def test_fhir_is_read_by_its_reference_implementation(folder, rows):
    (pregnancy,) = follow(group(woman("a", sizes(30), patient="hashed")))
    found = Bundle.model_validate(examination_fhir.bundle(pregnancy.visits[0]))
    values = {e.resource.code.coding[0].code: e.resource.valueQuantity for e in found.entry}
    assert set(values) == {"11984-2", "11820-8", "11851-3", "11979-2", "11963-6", "18185-9", "11727-5"}
    assert float(values["11984-2"].value) == pytest.approx(sizes(30)["hc"], abs=0.01)
    assert values["11727-5"].code == "g"
    assert re.search(r'"95 % range 2\dw\dd to 3\dw\dd"', found.model_dump_json())
    assert {e.resource.status for e in found.entry} == {"preliminary"}
    assert found.entry[0].resource.subject.identifier.value == "hashed"
    review = json.loads((folder / "examinations" / "alone.json").read_text())
    assert "UNCERTREL" in json.dumps(review)


# -------------------------------------------------------------------------------------------- `measure` end to end


def study(folder: Path) -> Path:
    """A head of a study with planted identifiers, and the same head without any study."""
    folder.mkdir()
    ds = ultrasound(HEADS[0].image, [region(HEADS[0].spacing_mm, HEADS[0].spacing_mm)])
    ds.PatientID, ds.PatientName, ds.StudyInstanceUID = SECRETS[:3]
    ds.PatientBirthDate, ds.StudyDate = SECRETS[3:5]
    save(ds, folder / "a.dcm")
    del ds.StudyInstanceUID
    save(ds, folder / "b.dcm")
    return folder


def measured(source: Path, out: Path, spacings: Spacings | None = None, **options) -> list[dict]:
    sources = find([source]).sources
    return list(measure_files(counting(), sources, spacings or Spacings("none"), "head", out, **options))


def everything(out: Path) -> str:
    return "\n".join(str(p) + p.read_text(errors="replace") for p in out.rglob("*") if p.is_file())


def test_no_identifier_is_written_unless_it_is_asked_for(tmp_path):
    source, out = study(tmp_path / "in"), tmp_path / "out"
    notes: list[str] = []
    found = measured(source, out, also=("fhir", "svg"), note=notes.append)
    assert [bool(r["examination"]) for r in found] == [True, False]
    text = everything(out) + "\n".join(notes)
    assert (out / "report.html").is_file()
    for secret in SECRETS:
        assert secret not in text
    first = json.loads((out / "examinations.json").read_text())
    measured(source, out, also=("fhir", "svg"))
    assert json.loads((out / "examinations.json").read_text()) == first  # the key of the folder is kept

    plain = tmp_path / "plain"
    measured(source, plain, also=("fhir",), naming=Naming(plain=True))
    text = everything(plain)
    for secret in ("MRN-4711", "1.2.826.0.1.4711.5", "2024-01-31"):
        assert secret in text
    for secret in ("Planted", "19470229"):  # never needed
        assert secret not in text


def test_names_of_the_spacing_table_are_not_written(tmp_path):
    (tmp_path / "in").mkdir()
    three_heads(tmp_path / "in")
    names = [p.relative_to(tmp_path / "in").as_posix() for p in (tmp_path / "in").rglob("*.png")]
    labels = {name: Labels("visit 4711", patient="Jane Planted", date="2024-01-31") for name in names}
    spacings = Spacings("csv", table=dict.fromkeys(names, 0.3), labels=labels)
    measured(tmp_path / "in", tmp_path / "out", spacings)
    text = everything(tmp_path / "out")
    for secret in ("Jane Planted", "2024-01-31"):
        assert secret not in text


def test_one_examination_by_the_callers_word(tmp_path):
    out = tmp_path / "out"
    three_heads(tmp_path)
    naming = Naming(Labels(ONE, ga_weeks=30.0))
    rows = list(measure_files(counting(), find([tmp_path]).sources, Spacings("flag", 0.3), "head", out, naming=naming))
    assert {r["examination"] for r in rows} == {"examination"}
    (record,) = json.loads((out / "examinations.json").read_text())
    assert record["known_age"] == {"weeks": 30.0, "by": "stated"}
    assert (out / "examinations" / "examination.html").is_file()


def test_frames_without_an_examination_make_no_report(tmp_path):
    three_heads(tmp_path)
    measured(tmp_path, tmp_path / "out", Spacings("flag", 0.3))
    assert not {p.name for p in (tmp_path / "out").iterdir()} & {*write.FILES, "examinations", "identifiers.key"}


def test_a_report_of_somebody_else_is_refused_before_the_work(tmp_path):
    out = tmp_path / "out"
    three_heads(tmp_path)
    out.mkdir()
    (out / "written.jsonl").write_text('{"written_by": "fetal_jax"}\n')
    (out / "report.html").write_text("mine")
    with pytest.raises(UserError, match=r"report\.html was not written by this program"):
        measured(tmp_path, out, Spacings("flag", 0.3))
    assert (out / "report.html").read_text() == "mine"


def test_an_interrupted_run_ends_with_the_same_examinations(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    three_heads(source)
    naming, options = Naming(Labels("e")), {"spacings": Spacings("flag", 0.3), "plane": "head"}
    with pytest.raises(KeyboardInterrupt):
        list(measure_files(counting(2), find([source]).sources, out=out, naming=naming, **options))
    assert not (out / "report.html").exists()
    list(measure_files(counting(), find([source]).sources, out=out, naming=naming, **options))
    list(measure_files(counting(), find([source]).sources, out=tmp_path / "whole", naming=naming, **options))
    for name in ("examinations.csv", "examinations.json", "report.html", "examinations/e.html"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(UserError, match=r"another standard, identifiers, age \(--ga\) or table of examinations"):
        measured(source, out, Spacings("flag", 0.3), naming=Naming(Labels("f")))
