"""Values of scanners' reports find their frame or examination, and give the agreement that was planted."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from fetal_jax.evaluation.scanner import matching
from fetal_jax.evaluation.scanner import outputs as scanner_outputs
from fetal_jax.inference.identity import KEY_FILE, KEY_VARIABLE, Identities, Key, Naming
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.scanner.report import Report
from fetal_jax.reading.scanner.values import Value
from fetal_jax.reading.study import Study
from tests.support.examination_rows import row
from tests.support.scanner_reports import CM, biometry, document, fetus, group, image, number, save

DAY = "2024-01-02"
STUDY = Study("1.2.826.0.1.77", "P1", DAY)


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture(params=[False, True], ids=["hashed", "plain"])
def named(tmp_path, request):
    """How a results folder names things; and gives a frame of a study its columns."""
    return Identities(Key(tmp_path.joinpath), Naming(plain=request.param))


def frame(named, plane="head", mm=290.0, study=STUDY, instance="1.1", **changes) -> Row:
    columns = named.columns(None, Study(study.uid, study.patient, study.date, instance))
    return row(plane, mm) | columns | changes


def report(*values: Value, study=STUDY) -> Report:
    return Report("r.dcm", "9.9", "TID 5000", study, verified=False, complete=True, values=values)


def matched(named, rows, *values, study=STUDY):
    return matching.match([report(*values, study=study)], rows, matching.identities(named.key._claim("")))


def test_a_value_with_its_image_is_compared_with_that_frame(named):
    rows = [frame(named, mm=290), frame(named, mm=285, instance="1.2")]
    found = matched(named, rows, Value("hc", 284, image="1.2"))
    assert [(p.scanner_mm, p.measured_mm, p.level) for p in found.pairs] == [(284, 285, "frame")]


def test_the_frame_of_a_cine_is_found_by_its_number(named):
    rows = [frame(named, mm=280 + i, frame=i) for i in range(3)]
    found = matched(named, rows, Value("hc", 284, image="1.1", frame=1))
    assert [p.measured_mm for p in found.pairs] == [281]
    (pair,) = matched(named, rows, Value("hc", 284, image="1.1")).pairs  # of which frame is not said
    assert (pair.level, pair.measured_mm) == ("examination", 281)


def test_values_beside_those_of_a_frame_are_refused_and_not_dropped(named):
    rows = [frame(named, mm=290), frame(named, mm=285, instance="1.2")]
    two = [Value("hc", mm, image="1.1") for mm in (280, 300)]
    found = matched(named, rows, *two, Value("hc", 284, image="1.2"), Value("hc", 282, image="1.9"))
    assert [(p.scanner_mm, p.measured_mm) for p in found.pairs] == [(284, 285)]
    assert [r.reason for r in found.refused] == [
        "its frame is not among the results, or not the only one, as another value's is",
        "2 values (280.0 to 300.0 mm), none selected and no mean",
    ]
    found = matched(named, rows, Value("hc", 284, image="1.2"), Value("hc", 283, "mean"))  # of the frames' values
    assert (len(found.pairs), found.refused) == (1, [])


def test_copies_of_the_image_are_one_frame_and_two_pictures_of_one_name_are_none(named):
    rows = [frame(named, mm=285, file=file, instance="1.2") for file in ("a.dcm", "copy.dcm")]
    value = Value("hc", 284, image="1.2")
    (pair,) = matched(named, [frame(named, mm=290), *rows], value).pairs
    assert (pair.measured_mm, pair.level) == (285, "frame")
    rows[1] |= {"hc_mm": 300.0}
    (pair,) = matched(named, [frame(named, mm=290), *rows], value).pairs
    assert pair.level == "examination"
    found = matched(named, [frame(named, mm=290), *rows], value, Value("hc", 291, image="1.1"))
    assert [(p.scanner_mm, p.measured_mm) for p in found.pairs] == [(291, 290)]
    assert [r.reason for r in found.refused] == [
        "its frame is not among the results, or not the only one, as another value's is"
    ]


def test_a_value_without_an_image_is_compared_with_the_examination(named):
    rows = [frame(named, mm=mm, instance=f"1.{i}") for i, mm in enumerate((280, 282, 290))]
    found = matched(named, rows, Value("hc", 281))
    assert [(p.measured_mm, p.level, p.status) for p in found.pairs] == [(282, "examination", "measured")]


def test_another_study_of_the_same_patient_and_day_is_the_same_examination(named):
    found = matched(named, [frame(named)], Value("hc", 281), study=Study("7.7", "P1", DAY))
    assert [p.measured_mm for p in found.pairs] == [290]


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (Study("7.7", "P1", "2024-01-03"), "no frame of this examination"),
        (Study("7.7", "P2", DAY), "no frame of this examination"),
        (Study("1.2.826.0.1.77", "P2", DAY), "as another patient's"),
    ],
)
def test_a_report_of_another_day_or_patient_is_refused(named, study, reason):
    found = matched(named, [frame(named)], Value("hc", 281), study=study)
    assert not found.pairs
    assert reason in found.refused[0].reason


def test_two_examinations_on_one_day_are_not_guessed_between(named):
    rows = [frame(named), frame(named, study=Study("8.8", "P1", DAY))]
    found = matched(named, rows, Value("hc", 281), study=Study("7.7", "P1", DAY))
    assert "2 examinations of this patient" in found.refused[0].reason


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([Value("hc", 280), Value("hc", 290), Value("hc", 285, "mean")], 285),
        ([Value("hc", 280), Value("hc", 290, "selected"), Value("hc", 285, "mean")], 290),
        ([Value("hc", 280), Value("hc", 290), Value("hc", 284, "median")], 284),
        ([Value("hc", 280), Value("hc", 280)], 280),
        ([Value("hc", 280), Value("hc", 290)], None),
        ([Value("hc", 280, "selected"), Value("hc", 290, "selected")], None),
    ],
)
def test_one_value_stands_for_several_or_none_does(named, values, chosen):
    found = matched(named, [frame(named)], *values)
    assert [p.scanner_mm for p in found.pairs] == ([chosen] if chosen else [])
    assert [r.reason for r in found.refused] == (
        [] if chosen else ["2 values (280.0 to 290.0 mm), none selected and no mean"]
    )


def test_fetuses_are_told_apart(named):
    rows = [frame(named, mm=290, fetus="A"), frame(named, mm=270, fetus="B")]
    found = matched(named, rows, Value("hc", 291, fetus="A"), Value("hc", 271, fetus="B"))
    assert [(p.scanner_mm, p.measured_mm) for p in found.pairs] == [(291, 290), (271, 270)]
    for stated, said in (("", "does not say which"), ("C", "is of fetus C")):
        (refused,) = matched(named, rows, Value("hc", 291, fetus=stated)).refused
        assert refused.reason == f"the frames are of fetus A, B, and the value {said}"
    rows = [frame(named, mm=290)]
    found = matched(named, rows, Value("hc", 291, fetus="A"), Value("hc", 271, fetus="B"))
    assert not found.pairs
    assert {r.reason for r in found.refused} == {"the report has 2 fetuses, and the frames are not said to be of one"}
    assert [p.measured_mm for p in matched(named, rows, Value("hc", 291, fetus="A")).pairs] == [290]


def test_a_frame_taken_for_another_plane_or_refused_is_a_failure(named):
    rows = [frame(named, "abdomen", 260), frame(named, mm=290, instance="1.2", status="refused", reason="blurred")]
    values = (Value("hc", 284, image="1.1"), Value("hc", 288, image="1.2"))
    pairs = matched(named, rows, *values).pairs
    assert [(p.measured_mm, p.reason) for p in pairs] == [(None, "taken for abdomen"), (None, "blurred")]
    frames = scanner_outputs.compared(pairs)
    assert [(f.plane, f.failed, f.status) for f in frames] == [("head", True, "refused")] * 2


def evaluated(named, tmp_path, rows, *parts, study=STUDY):
    """The summary of results and of one report whose HC is 284 mm."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "measurements.json").write_text(json.dumps(rows))
    content = biometry(group(number("hc", "284.0", *parts)))
    save(document(content, StudyInstanceUID=study.uid, PatientID=study.patient), tmp_path / "reports" / "0.dcm")
    return scanner_outputs.evaluate(tmp_path, tmp_path / "reports", tmp_path.joinpath, "again")


def test_planes_that_cannot_be_compared_are_said_in_terms_of_reports(named, tmp_path):
    why = evaluated(named, tmp_path, [frame(named, interval_data=None)])["not_measured"]
    assert "a report must name the image of each value" in why["planes"]
    assert "--calibrate has written intervals into" in why["intervals"]


def test_planes_that_were_compared_are_not_said_to_be_missing(named, tmp_path):
    found = evaluated(named, tmp_path, [frame(named)], image("1.1"))
    assert found["scanner"]["planes"] == {"frames": 1, "right": 1}
    assert "planes" not in found["not_measured"]


@pytest.mark.parametrize(
    ("changes", "study", "remedy"),
    [
        ({"examination": None}, STUDY, "measure the DICOM files, or a --spacing-csv with examination"),
        ({}, Study("9.9", "P9", DAY), "measure the frames of the examinations that the reports are of"),
    ],
)
def test_what_to_do_is_said_where_nothing_can_be_compared(tmp_path, changes, study, remedy):
    named = Identities(Key(tmp_path.joinpath), Naming())
    with pytest.raises(UserError, match=remedy):
        evaluated(named, tmp_path, [frame(named) | changes], study=study)


BIAS = {"hc": (1.5, 4.0), "ac": (-3.0, 6.0), "fl": (0.4, 1.2)}
PLANES = {"hc": "head", "ac": "abdomen", "fl": "femur"}


def build(folder, count):
    """Examinations and the scanner's reports of them: bias and SD of ours minus theirs are exactly the planted ones."""
    rng = np.random.default_rng(7)
    named = Identities(Key(folder.joinpath), Naming())
    (folder / "reports").mkdir()
    drawn = rng.standard_normal((3, count))
    drawn = (drawn - drawn.mean(1, keepdims=True)) / drawn.std(1, ddof=1, keepdims=True)
    planted = {m: bias + sd * z for (m, (bias, sd)), z in zip(BIAS.items(), drawn, strict=True)}
    rows = []
    for i in range(count):
        study = Study(f"1.2.826.0.1.{i}", f"P{i}", DAY)
        sizes = {"hc": rng.uniform(200, 320), "ac": rng.uniform(170, 330), "fl": rng.uniform(35, 70)}
        numbers = []
        for m, mm in sizes.items():
            theirs = round(mm, 1)
            rows.append(frame(named, PLANES[m], theirs + planted[m][i], study, f"1.{i}.{len(numbers) + 1}"))
            where = [image(f"1.{i}.{len(numbers) + 1}")] if i % 2 else []
            numbers.append(
                number(m, f"{theirs / 10:.2f}" if i % 3 else f"{theirs:.1f}", *where, **({"unit": CM} if i % 3 else {}))
            )
        content = biometry(fetus("A"), *map(group, numbers)) if i % 5 else biometry(*map(group, numbers))
        made = document(content, StudyInstanceUID=study.uid, PatientID=study.patient)
        save(made, folder / "reports" / f"{i}.dcm")
    (folder / "measurements.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build(tmp_path_factory.mktemp("small"), 10)


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory):
    folder, out = build(tmp_path_factory.mktemp("archive"), 500), tmp_path_factory.mktemp("report")
    assert main(["evaluate", f"--results={folder}", f"--scanner-reports={folder / 'reports'}", f"--out={out}"]) == 0
    return out


@pytest.mark.slow
def test_the_agreement_of_500_reports_is_the_planted_one(report_folder):
    metrics = json.loads((report_folder / "metrics.json").read_text())
    assert metrics["scanner"]["pairs"] == {"frame": 750, "examination": 750}
    for m, (bias, sd) in BIAS.items():
        found = metrics[f"{m}_mm"]["agreement"]["mm"]
        assert found["pairs"] == found["subjects"] == 500
        measured = (found["bias"], found["sd"], found["lower"], found["upper"])
        assert measured == pytest.approx((bias, sd, bias - 1.96 * sd, bias + 1.96 * sd), abs=1e-9)


@pytest.mark.slow
def test_the_report_says_what_it_is_and_names_no_patient(report_folder):
    page = (report_folder / "report.html").read_text()
    assert "Not for clinical use" in page
    assert "two sonographers" in page
    with (report_folder / "frames.csv").open(newline="") as f:
        assert len(list(csv.DictReader(f))) == 1500
    for path in report_folder.iterdir():
        assert "Doe^Jane" not in path.read_text()
        assert "1.2.826.0.1.7" not in path.read_text()


def test_without_the_key_nothing_is_matched_and_the_reason_is_given(small, tmp_path):
    (tmp_path / "measurements.json").write_text((small / "measurements.json").read_text())
    with pytest.raises(UserError, match=rf"no value of the 10 reports .*{KEY_FILE}"):
        scanner_outputs.evaluate(tmp_path, small / "reports", tmp_path.joinpath, "again")
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--results=r"], "--results and --scanner-reports are given together"),
        (["--bundle=heads", "--scanner-reports=r"], "are given together"),
        (["--results=r", "--scanner-reports=s", "--dataset=x"], "leave out --dataset"),
        (["--results=r", "--scanner-reports=s", "--data-dir=x"], "leave out --dataset, --data-dir"),
        (["--results=there", "--scanner-reports=s"], "s does not exist"),
        (["--results=r", "--scanner-reports=s"], "r holds neither measurements.json nor frames/"),
    ],
)
def test_wrong_calls_are_refused(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "measurements.json").write_text("[]")
    assert main(["evaluate", *flags, "--out=out"]) == 2
    assert message in capsys.readouterr().err


def test_frames_in_parquet_are_read_as_those_in_json(small, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = json.loads((small / "measurements.json").read_text())[:30]
    (tmp_path / "frames").mkdir()
    pq.write_table(
        pa.Table.from_pylist([r | {"flags": "; ".join(r["flags"])} for r in rows]), tmp_path / "frames/a.parquet"
    )
    (tmp_path / KEY_FILE).write_bytes((small / KEY_FILE).read_bytes())
    summary = scanner_outputs.evaluate(tmp_path, small / "reports", tmp_path.joinpath, "again")
    assert summary["scanner"]["pairs"] == {"frame": 15, "examination": 15}
