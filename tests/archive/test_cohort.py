"""The cohort report: its numbers are those of the results, and it names nobody."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from fetal_jax.archive.cohort import drift, tables
from fetal_jax.archive.cohort.names import Names
from fetal_jax.archive.cohort.pictures import picture
from fetal_jax.archive.cohort.plots import half_width, z_by_week
from fetal_jax.archive.cohort.report import write
from fetal_jax.archive.cohort.tables import Tables, ZScores
from fetal_jax.archive.pacs import STATE
from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from fetal_jax.growth import gestational_age
from fetal_jax.growth.ages import format_age
from fetal_jax.inference.identity import KEY_FILE, KEY_VARIABLE, Identities, Key, Naming
from fetal_jax.outputs.overlay import svg
from fetal_jax.reading.sources import CALL
from tests.support.cohorts import DRIFTED, PLANES, SHAPE, make, name_of
from tests.support.scanner_reports import biometry, document, group, number, save


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("cohort"), 360)


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "of" / "today" / "report.html"  # whose folders are made
    assert main(["cohort", str(folder), f"--out={out}"]) == 0
    return out.read_text()


def cells_of(page, title):
    """The rows of the table with a title, without tags."""
    table = page.split(f"<caption>{title}", 1)[1].split("</table>", 1)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.S)
    return [[re.sub(r"<[^>]+>", "", c) for c in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)] for row in rows]


def test_the_first_lines_count_everything(page):
    assert "1089 frames: 1058 measured (97.2 %), 22 to review (2.0 %), 8 refused (0.7 %), 1 not read (0.1 %)." in page
    assert "360 examinations of 360 patients, 3 machines, 7 operators, 12 months; the age of 360 is known." in page
    assert "Not for clinical use" in page


def test_shares_are_given_by_machine_and_by_month(page):
    by_device = cells_of(page, "By machine")[1:]
    assert len(by_device) == 4
    assert sum(int(row[1]) for row in by_device) == 1089
    by_month = cells_of(page, "By month")[1:]
    assert len(by_month) == 13
    assert sum(int(row[1]) for row in by_month) == 1089
    for rows in (by_device, by_month):  # the file that was not read names neither
        assert rows[-1][:2] == ["not recorded", "1"]
        assert rows[-1][-1] == "1 (100.0 %)"


def test_an_examination_of_two_machines_is_no_machine_of_its_own(tmp_path):
    odd = {"device": "Maker E10 #000001", "operator": name_of("o1"), "month": "2025-02"}
    folder = make(tmp_path / "r", 12, odd=odd)
    found = Tables(folder)
    assert "several" in dict(found.z_scores("device", dated=True))
    assert {k: v for k, v in found.size().items() if k in ("devices", "operators", "months")} == {
        "devices": 3,
        "operators": 7,
        "months": 4,
    }


def test_a_folder_may_have_brackets_in_its_name(tmp_path):
    assert Tables(make(tmp_path / "of [1] * years", 2)).size()["examinations"] == 2


def test_reasons_are_counted_without_file_names_and_numbers(page):
    assert cells_of(page, "Why to review")[1:] == [["the outline has gaps", "22"]]
    assert cells_of(page, "Why refused")[1:] == [["it shows no measured plane", "8"]]
    assert cells_of(page, "Why not read")[1:] == [["is damaged", "1"]]


def test_z_scores_are_those_of_the_results(folder, page):
    tables = Tables(folder)
    visits = pq.read_table(folder / "examinations").to_pylist()
    of = {f"Maker E10 #{d:06x}": [v["hc_z"] for v in visits[d::3]] for d in range(3)}
    found = dict(tables.z_scores("device", dated=True))
    for device, z in of.items():
        n, mean, sd, people = found[device]["hc"]
        assert people == 120
        assert (n, mean, sd) == (120, pytest.approx(np.mean(z)), pytest.approx(np.std(z, ddof=1)))
    assert sum(found[d]["fl"][0] for d in found) == 360 - 22  # those to review do not count
    weeks = dict(tables.z_scores("week", dated=True))
    assert set(weeks) == {str(w) for w in range(18, 38)} | ({"38"} & set(weeks))
    z = [v["ac_z"] for v in visits if format_age(v["known_ga_weeks"]).startswith("20w")]
    assert weeks["20"]["ac"][:2] == (len(z), pytest.approx(np.mean(z)))
    assert tables.z_scores("month", dated=False) == []
    assert len(cells_of(page, "By operator")) == 8


def test_an_age_is_in_the_week_that_is_printed(tmp_path):
    folder = make(tmp_path / "r", 4)
    ages = [19.92, 19.97, 20.0, 20.92]
    left = iter(ages)
    for path in sorted((folder / "examinations").glob("*.parquet")):
        table = pq.read_table(path)
        place = table.schema.get_field_index("known_ga_weeks")
        pq.write_table(
            table.set_column(place, table.schema.field(place), [[next(left) for _ in range(len(table))]]), path
        )
    assert [format_age(age) for age in ages] == ["19w6d", "20w0d", "20w0d", "20w6d"]
    found = Tables(folder).z_scores("week", dated=True)
    assert [(week, of["hc"].n) for week, of in found] == [("19", 1), ("20", 3)]


def test_the_intervals_of_the_chart_hold_for_two_patients(tmp_path):
    drawn = np.random.default_rng(0).normal(0, 1, (4000, 2))
    held = [abs(z.mean()) <= half_width(ZScores(2, z.mean(), z.std(ddof=1), 2)) for z in drawn]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
    assert half_width(ZScores(9, 0.0, 1.0, 2)) == half_width(ZScores(2, 0.0, 1.0, 2))  # nine visits of two patients


def test_visits_of_one_patient_are_one_and_without_a_patient_each_is_one(tmp_path):
    folder = make(tmp_path / "r", 40)
    for path in (folder / "examinations").glob("*"):
        table = pq.read_table(path)
        patients = [None if i % 2 else "one" for i in range(len(table))]
        table = table.set_column(table.schema.get_field_index("patient"), "patient", [patients])
        pq.write_table(table, path)
    found = [of["hc"] for _, of in Tables(folder).z_scores("device", dated=True)]
    assert sum(z.n for z in found) == 40
    assert sum(z.people for z in found) == 20 + len(found)


@pytest.mark.parametrize("weeks", [["34"], ["32", "33"], ["32", "33", "34"], [str(week) for week in range(14, 42)]])
def test_the_chart_has_whole_weeks(weeks):
    plot = z_by_week([(week, dict.fromkeys(PLANES, ZScores(4, 0.1, 1.0, 4))) for week in weeks], "")
    ticks = re.findall(r'id="xtick_\d+">.*?<!-- (\S+) -->', plot.svg, re.S)
    assert ticks
    assert all(tick.isdigit() for tick in ticks)


def test_the_chart_of_one_measure_shows_its_week_alone():
    """The mark of HC is left of its week: it stood between two weeks."""
    none, hc = ZScores(0, None, None, 0), ZScores(4, 0.1, 1.0, 4)
    plot = z_by_week([("20", {"hc": hc, "ac": none, "fl": none}), ("31", dict.fromkeys(PLANES, none))], "")
    assert re.findall(r'id="xtick_\d+">.*?<!-- (\S+) -->', plot.svg, re.S) == ["20"]


def test_a_report_names_nobody_and_loads_nothing(page):
    assert "DOE" not in page
    assert "/archive/" not in page
    assert "default-src &#39;none&#39;" in page
    assert "docs/" not in page  # which its reader does not have
    assert not re.search(r"<script|src=\"(?!data:)|href=\"(?!#|data:)", page)


def test_plain_identifiers_are_hashed_on_the_page(tmp_path):
    (tmp_path / KEY_FILE).write_text("a key")
    names = Names(tmp_path)
    assert re.fullmatch("[0-9a-f]{16}", names.hashed("Roe^Ann"))
    assert names.hashed("Roe^Ann") != names.hashed("Roe^Anna")
    assert names.hashed(name_of("x")) == name_of("x")
    assert re.fullmatch("Maker E10 #[0-9a-f]{6}", names.device("Maker E10 #SN 77"))
    assert names.device("Maker E10 #0a1b2c") == "Maker E10 #0a1b2c"
    folder = make(tmp_path / "r", 40, odd={"operator": "Roe^Ann", "device": "Maker #SN 77"})
    for part in ("frames", "examinations"):
        for path in (folder / part).glob("*.parquet"):
            table = pq.read_table(path)
            for column in ("examination", "patient"):
                plain = [f"MRN-{v}" for v in table[column].to_pylist()]
                table = table.set_column(table.schema.get_field_index(column), column, [plain])
            pq.write_table(table, path)
    write(folder, tmp_path / "r.html", "again")
    page = (tmp_path / "r.html").read_text()
    assert not [secret for secret in ("Roe", "SN 77", "MRN-") if secret in page]


def test_plain_identifiers_that_look_like_hashes_are_hashed_too(tmp_path):
    for plain in (True, False):
        folder = tmp_path / str(plain)
        folder.mkdir()
        (folder / CALL).write_text(json.dumps({"examinations": ["hadlock", Naming(plain=plain).fingerprint(), None]}))
        names = Names(folder)
        assert (names.device("Maker E10 #123456") != "Maker E10 #123456") == plain
        assert (names.hashed("1234567890123456") != "1234567890123456") == plain
        assert names.hashed(None) == "not recorded"


def test_a_drift_of_two_percent_is_named_on_the_page_with_its_rule(tmp_path):
    folder = make(tmp_path / "r", 2880, drift=1.04, devices=2)  # 120 a machine and month
    lines = write(folder, tmp_path / "r.html", "again")
    assert "Drift of the z-score: 1 month of a machine is suspicious, of 72 tests." in lines
    rows = cells_of((tmp_path / "r.html").read_text(), "Z-score: 72 tests; 0 not made")
    assert {tuple(row[:2]) for row in rows[1:]} == {DRIFTED}
    assert all(float(row[4]) > 0.5 > abs(float(row[5])) and float(row[6]) < float(row[7]) for row in rows[1:])
    assert "Welch" in (tmp_path / "r.html").read_text()


@pytest.mark.slow
def test_a_drift_of_two_percent_is_seen_in_20000_frames_and_none_in_20_sets_without(tmp_path):
    tables = Tables(make(tmp_path / "drift", 6660, drift=1.02))
    found = drift.find(tables.z_cells())
    assert {(a.cell.device, a.cell.month) for a in found.alarms} == {DRIFTED}
    for seed in range(20):
        tables = Tables(make(tmp_path / str(seed), 1440, seed=seed))
        found = drift.find(tables.z_cells())
        assert (found.tests, found.alarms) == (108, ())


def test_ages_from_the_sizes_themselves_are_no_ages(tmp_path):
    folder = make(tmp_path / "r", 80, known_age=False)
    lines = write(folder, tmp_path / "r.html", "again")
    assert any("not tested" in line for line in lines)
    assert "a machine that measures everything too large still looks right" in (tmp_path / "r.html").read_text()


def test_an_examination_of_two_machines_is_of_neither(tmp_path):
    folder = make(tmp_path / "r", 40)
    path = folder / "frames/0.parquet"
    table = pq.read_table(path).to_pylist()
    assert table[5]["examination"] == table[6]["examination"] == name_of("e1")
    table[5]["device"] = "Maker E10 #000002"
    pq.write_table(pa.Table.from_pylist(table, pq.read_schema(path)), path)
    found = dict(Tables(folder).z_scores("device", dated=True))
    assert found["several"]["hc"][0] == 1
    assert sum(of["hc"][0] for of in found.values()) == 40


def test_the_most_surprising_come_first_and_are_fifty(folder, page):
    visits = pq.read_table(folder / "examinations").to_pylist()
    worst = max(visits, key=lambda v: max(abs(v[f"{m}_z"]) for m in PLANES))
    rows = cells_of(page, "")  # of the first table with a caption; the surprising one has none
    assert rows
    table = page.split('id="most-surprising-examinations"', 1)[1].split("</table>", 1)[0]  # none contradicts itself
    ranks = re.findall(r"<tr><td>(\d+)</td><td>([0-9a-f]{16})</td>", table)
    assert [int(rank) for rank, _ in ranks] == list(range(1, 51))
    assert ranks[0][1] == worst["examination"]
    assert f"<td>{format_age(worst['known_ga_weeks'])}</td>" in table


def test_examinations_that_contradict_themselves_come_before_the_most_surprising(tmp_path):
    """Of 12 and 33 weeks, of two patients, two heads, and of 30 with a stated age of 12 or 22; not one soft outline."""
    from fetal_jax.outputs.examinations.examination import group as grouped
    from fetal_jax.outputs.examinations.tables import record
    from fetal_jax.outputs.examinations.visits import follow
    from tests.support.examination_rows import row, sizes, woman

    rows = [*woman("apart", {"hc": 74.0, "fl": 63.6}), *woman("fits", sizes(24))]
    rows += [row("head", 200.0, "two", patient=patient) for patient in "pq"]
    rows += woman("stated", sizes(30), stated_ga_weeks=12.0) + woman("off", sizes(30), stated_ga_weeks=22.0)
    rows += [row("head", mm, "heads") for mm in (181.7, 208.3)] + [row("femur", 40.0, "heads")]
    rows += [row("head", 200.0, "soft", "review", reason="the outline is soft")]
    records = [record(p, 0) for p in follow(grouped(rows))]
    names = {r["examination"]: r["notes"][0] for r in records if r["notes"] and r["examination"] != "soft"}
    assert set(names) == {"apart", "two", "heads", "stated", "off"}
    measured = tmp_path / "measured"
    measured.mkdir()
    (measured / "measurements.json").write_text(json.dumps(rows))
    (measured / "examinations.json").write_text(json.dumps(records))
    archived = make(tmp_path / "archived", 40)
    (path, _) = sorted((archived / "examinations").glob("*"))
    visits = pq.read_table(path).to_pylist()
    visits[3] |= {"status": "review", "notes": names["apart"], "contradictory": True}
    pq.write_table(pa.Table.from_pylist(visits, pq.read_schema(path)), path)
    for folder, expected in ((measured, names), (archived, {visits[3]["examination"]: names["apart"]})):
        lines = write(folder, tmp_path / "r.html", "again")
        assert f"; {len(expected)} of them with frames, sizes or ages that contradict each other." in lines[2]
        page = (tmp_path / "r.html").read_text()
        section = page.split('id="most-surprising-examinations"', 1)[1]
        first = html.unescape(section.split("</table>", 1)[0])
        assert all(note in first for note in expected.values())
        assert first.count("to review</td>") == len(expected) - ("two" in expected)
        assert "the outline is soft" not in first
        assert section.index("contradict each other") < section.index(">rank<")


def test_of_results_of_an_earlier_version_no_contradictory_examination_is_listed_and_the_report_says_so(tmp_path):
    folder = make(tmp_path / "r", 40)
    for path in (folder / "examinations").glob("*"):
        old = [v | {"status": "review", "notes": "they differ"} for v in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(old, pq.read_schema(path)).drop_columns("contradictory"), path)
    lines = write(folder, tmp_path / "r.html", "again")
    assert "contradict each other" not in (tmp_path / "r.html").read_text()
    assert any("without the column contradictory" in line for line in lines)


def test_a_size_that_alone_made_the_age_has_no_z_score(tmp_path):
    for known in (True, False):
        folder = make(tmp_path / str(known), 40, known_age=known)
        (path, _) = sorted((folder / "examinations").glob("*"))
        rows = pq.read_table(path).to_pylist()
        rows[3] |= {"ga_formula": gestational_age(hc_mm=300).formula, "hc_z": -9.0, "ac_z": None, "fl_z": None}
        rows[4] |= {"ga_formula": gestational_age(hc_mm=300, ac_mm=280).formula, "hc_z": 8.0}
        pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
        found = Tables(folder).surprising(50, with_differences=False)
        assert [row["value"] for row in found][: 1 + known] == [-9.0, 8.0][not known :]
        assert len(found) == 39 + known
        assert sum(of["hc"][0] for _, of in Tables(folder).z_scores("week", known)) == 39 + known


def overlay(path, kind):
    """An overlay whose edges name a patient: white there, grey inside."""
    image = Image.new("L", (120, 100), 255)
    ImageDraw.Draw(image).rectangle([15, 15, 105, 85], fill=90)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "png":
        image.convert("RGB").save(path)
    else:
        path.write_text(svg(np.asarray(image), None, ["text"]))


@pytest.mark.parametrize("kind", ["png", "svg"])
@pytest.mark.parametrize("shape", ["ellipse_px", "shaft_px"])
def test_a_picture_shows_the_structure_and_not_the_edges(tmp_path, kind, shape):
    frame = {shape: SHAPE[shape]} | ({"overlay": "overlays/a.png"} if kind == "png" else {"report": "s/a"})
    overlay(tmp_path / ("overlays/a.png" if kind == "png" else "svg/s/a.svg"), kind)
    made = picture(tmp_path, frame, "caption")
    pixels = np.asarray(Image.open(io.BytesIO(made.jpeg)))
    assert pixels.shape == (made.height, made.width)
    assert made.height < 70
    assert pixels.max() < 120  # nothing of the white edge
    assert (np.abs(pixels.astype(int) - 90) < 12).mean() > 0.4


@pytest.mark.parametrize(
    "frame",
    [
        None,
        {"overlay": "overlays/a.png"},  # no shape
        {"overlay": "../outside.png", "ellipse_px": SHAPE["ellipse_px"]},
        {"overlay": "overlays/missing.png", "ellipse_px": SHAPE["ellipse_px"]},
        {"overlay": "overlays/text.png", "ellipse_px": SHAPE["ellipse_px"]},
        {"overlay": "overlays/a.png", "ellipse_px": [900.0, 900.0, 30.0, 20.0, 0.0]},
    ],
)
def test_there_is_no_picture_without_a_shape_in_an_overlay_of_this_folder(tmp_path, frame):
    folder = tmp_path / "results"
    overlay(folder / "overlays/a.png", "png")
    overlay(tmp_path / "outside.png", "png")
    (folder / "overlays/text.png").write_text("no picture")
    assert picture(folder, frame, "") is None


def test_pictures_are_on_the_page_where_overlays_are_there(tmp_path):
    folder = make(tmp_path / "r", 40, odd={"report": "s/a"})
    overlay(folder / "svg/s/a.svg", "svg")
    write(folder, tmp_path / "r.html", "again")
    page = (tmp_path / "r.html").read_text()
    found = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(found) == 1
    assert Image.open(io.BytesIO(base64.b64decode(found[0]))).format == "JPEG"
    assert "1 of 40 have a picture" in page


def test_the_scanners_values_are_compared(tmp_path):
    folder, reports = make(tmp_path / "r", 60), tmp_path / "sr"
    reports.mkdir()
    named = Identities(Key(folder.joinpath), Naming())
    new_names = {name_of(f"e{i}"): named.name("study", f"1.2.{i}") for i in range(60)}
    new_names |= {name_of(f"p{i}"): named.name("patient", f"P{i}") for i in range(60)}
    for path in [*(folder / "frames").glob("*"), *(folder / "examinations").glob("*")]:
        table = pq.read_table(path)
        for column in ("examination", "patient"):
            renamed = [new_names[v] for v in table[column].to_pylist()]
            table = table.set_column(table.schema.get_field_index(column), column, [renamed])
        pq.write_table(table, path)
    visits = {row["examination"]: row for row in pq.read_table(folder / "examinations").to_pylist()}
    for i in range(60):
        sizes = visits[named.name("study", f"1.2.{i}")]
        content = biometry(*(group(number(m, f"{sizes[f'{m}_mm'] / 1.03:.6f}")) for m in PLANES))
        save(document(content, PatientID=f"P{i}", StudyInstanceUID=f"1.2.{i}"), reports / f"{i}.dcm")
    save(document(biometry(), Manufacturer="fetal_jax"), tmp_path / "ours.dcm")
    with pytest.raises(UserError, match=r"0 reports of .* belongs to a measured frame: made by this program \(1\)"):
        write(folder, tmp_path / "r.html", "again", tmp_path / "ours.dcm")
    lines = write(folder, tmp_path / "r.html", "again", reports)
    assert "Compared with the scanner's: 180 values." in lines
    table = (tmp_path / "r.html").read_text().split('id="the-scanner-s-values"', 1)[1].split("</table>", 1)[0]
    rows = re.findall(r"<tr><td>(\w+)</td><td>(\d+)</td><td>(\d+)</td><td>([+\d.]+)</td>", table)
    assert rows == [("HC", "60", "0", "+2.96"), ("AC", "60", "0", "+2.96"), ("FL", "60", "0", "+2.96")]


def test_a_folder_of_measure_is_read_too(tmp_path):
    from fetal_jax.outputs.examinations import tables
    from fetal_jax.outputs.examinations.examination import group as grouped
    from fetal_jax.outputs.examinations.visits import follow
    from tests.support.examination_rows import sizes, woman

    rows = [r for i in range(12) for r in woman(name_of(str(i)), sizes(20 + i), stated_ga_weeks=20.0 + i)]
    rows[0]["file"] = "bytes that are no text \udcff.png"
    records = [tables.record(p, 0) for p in follow(grouped(rows))]
    (tmp_path / "measurements.json").write_text(json.dumps(rows))
    (tmp_path / "examinations.json").write_text(json.dumps(records))
    lines = write(tmp_path, tmp_path / "r.html", "again")
    assert lines[0] == "36 frames: 36 measured (100.0 %)."
    assert lines[1].startswith("12 examinations of 12 patients, 0 machines")
    assert lines[2] == "Examinations: 12 measured (100.0 %)."
    assert (
        lines[3]
        == "Drift of the z-score: not tested, no frame names its month: measure does not write it, archive does."
    )
    assert "Mean z-score by week" not in (tmp_path / "r.html").read_text()  # one value a week: nothing to draw
    found = dict(Tables(tmp_path).z_scores("week", dated=True))
    assert found["25"]["hc"][:2] == (1, pytest.approx(0, abs=1e-6))


@pytest.mark.parametrize(("column", "why"), [("month", "StudyDate or the column date"), ("device", "only DICOM does")])
def test_an_archive_without_months_or_machines_is_told_which_it_lacks(tmp_path, column, why):
    folder = make(tmp_path / "r", 40)
    for path in (folder / "frames").glob("*"):
        rows = [row | {column: None} for row in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    (line,) = (line for line in write(folder, tmp_path / "r.html", "again") if line.startswith("Drift"))
    assert why in line
    assert "measure does not" not in line


def pacs_folder(folder):
    (folder / STATE).touch()
    (folder / "measurements.json").write_text('[{"file": "1.2", "examination": "0"}]')


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _: None, "holds no Parquet file: give the folder of fetal-jax archive or measure"),
        (lambda f: (f / "measurements.json").write_text("{"), "damaged results"),
        (lambda f: (f / "measurements.json").write_text("[]"), "holds no frame: nothing to report"),
        (
            lambda f: pacs_folder(f),
            "was written by fetal-jax pacs, which writes no examinations: give the folder of .* archive",
        ),
        (lambda f: shutil.rmtree(make(f, 2) / "examinations"), "no frame names its examination: measure DICOM"),
    ],
)
def test_other_folders_are_refused(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(UserError, match=message):
        Tables(tmp_path)


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path, capsys):
    assert main(["cohort", str(tmp_path / "nix"), f"--out={tmp_path / 'r.html'}"]) == 2
    assert f"{tmp_path / 'nix'} does not exist: give the folder of" in capsys.readouterr().err


def test_a_strangers_file_is_not_overwritten(folder, tmp_path, capsys):
    for name, content, message in (
        ("mine.html", "<html>", "not a report of this program"),
        ("x.txt", None, "is not an HTML file"),
    ):
        if content:
            (tmp_path / name).write_text(content)
        assert main(["cohort", str(folder), f"--out={tmp_path / name}"]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "mine.html").read_text() == "<html>"


def test_a_report_replaces_an_earlier_one(folder, tmp_path):
    for _ in range(2):
        assert main(["cohort", str(folder), f"--out={tmp_path / 'r.html'}"]) == 0


def test_without_duckdb_the_message_says_what_to_install(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UserError, match=r"needs duckdb: pip install '.\[archive\]'"):
        tables.Tables(folder)


def test_reasons_are_counted_without_the_files_name_but_with_words_that_are_a_files_name():
    left = "the head leaves the picture"
    said = [
        ("head", left, 1),
        ("measured/2024/a.png", f"measured/2024/a.png: {left}", 2),
        ("1", "1: 11 bytes are bad", 1),
    ]
    assert tables._kinds(said) == {left: 3, "N bytes are bad": 1}
