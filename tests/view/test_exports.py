"""Accepted frames train the next network, and are signed in DICOM."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from datetime import datetime
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.geometry import Ellipse
from fetal_jax.growth import format_age
from fetal_jax.outputs import structured_report
from fetal_jax.outputs.rows import pixel_size
from fetal_jax.view import exports
from fetal_jax.view.results import Results
from fetal_jax.view.session import REVIEW
from tests.outputs.test_outputs import dciodvfy
from tests.support.command import fetal_jax
from tests.view.folder import row, save_rows, write_examinations, write_results
from tests.view.test_session import changed, opened, stepped


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def test_corrections_are_prepared_as_a_data_set(tmp_path, held):
    rows = write_results(tmp_path, 6)
    session = opened(tmp_path, held)
    corrected = [152.5, 141.0, 82.0, 63.0, 0.2]
    changed(session, 0, "move", ellipse=corrected)
    for n in (0, 1, 2, 5):
        changed(session, n, "accept", decision="accepted")
    changed(session, 3, "reject", decision="rejected")
    done = exports.write(session)
    assert done["frames"] == 4
    folder = tmp_path / "results" / REVIEW / exports.DATA_SET
    with (folder / "frames.csv").open(newline="") as f:
        table = list(csv.DictReader(f))
    assert [t["filename"] for t in table] == ["00001.png", "00002.png", "00003.png", "00006.png"]
    assert [t["source"] for t in table] == [rows[n]["file"] for n in (0, 1, 2, 5)]
    with (tmp_path / "results" / REVIEW / exports.TABLE).open(newline="") as f:
        numbered = {cells["number"]: cells["file"] for cells in csv.DictReader(f)}
    assert {t["filename"].removesuffix(".png"): t["source"] for t in table}.items() <= numbered.items()
    assert [float(table[0][k]) for k in ("cx", "cy", "a", "b", "theta")] == corrected
    assert [float(table[2][k]) for k in ("x1", "y1", "x2", "y2")] == pytest.approx(rows[2]["shaft_px"][:4])
    ran = fetal_jax("prepare", "folder/corrected", "--manual-dir", folder, "--data-dir", tmp_path / "data")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "data" / "folder" / "corrected").is_dir()


def test_export_counts_the_decisions_of_its_reader(tmp_path, held):
    write_results(tmp_path, 6)
    with ExitStack() as first:
        changed(opened(tmp_path, first, "Ann"), 4, "accept", decision="accepted")
    session = opened(tmp_path, held, "Bob")
    changed(session, 0, "accept", decision="accepted")
    changed(session, 1, "reject", decision="rejected")
    changed(session, 2, "accept", decision="accepted")
    stepped(session, 2, "undo")
    changed(session, 5, "comment", comment="not decided")
    done = exports.write(session)
    assert done["corrections"] == 2
    assert done["left_out"] == ["no signed DICOM report: none of the accepted frames is of a DICOM file"]


def test_undone_acceptance_leaves_the_data_set(tmp_path, held):
    write_results(tmp_path, 2)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    assert exports.write(session)["frames"] == 1
    changed(session, 0, "undecide", decision="")
    assert exports.write(session)["frames"] == 0
    assert not (tmp_path / "results" / REVIEW / exports.DATA_SET / "00001.png").exists()


def code(item):
    return item.ConceptNameCodeSequence[0].CodeValue


def texts(item):
    return [i.TextValue for i in item.ContentSequence if i.ValueType == "TEXT"]


def test_signed_report_names_its_reader_and_predecessor(tmp_path, held):
    rows = write_results(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    corrected = [150.0, 140.0, 80.0, 60.0, 0.1]
    changed(session, 0, "turn", ellipse=corrected, comment="skull seen")
    changed(session, 0, "accept", decision="accepted")
    done = exports.write(session)
    assert (done["reports"], done["left_out"]) == (1, [])
    assert done["files"][-2:] == [f"{tmp_path}/results/{REVIEW}/fhir/", f"{tmp_path}/results/{REVIEW}/sr/"]
    observation = json.loads((tmp_path / "results" / REVIEW / "fhir" / "00001.json").read_text())["entry"][0][
        "resource"
    ]
    notes = [note["text"] for note in observation["note"]]
    assert notes[0] == f"{NOT_CLINICAL} {pixel_size(rows[0])}"
    assert "comment of Smith^Ann: skull seen" in notes
    folder = tmp_path / "results" / REVIEW / "sr"
    machine = pydicom.dcmread(folder / "00001_machine.dcm")
    signed = hd.sr.srread(folder / "00001.dcm")
    assert (signed.VerificationFlag, machine.VerificationFlag) == ("VERIFIED", "UNVERIFIED")
    assert signed.VerifyingObserverSequence[0].VerifyingObserverName == "Smith^Ann"
    (study,) = signed.PredecessorDocumentsSequence
    reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == machine.SOPInstanceUID
    containers = {code(i): i for i in signed.ContentSequence if i.ValueType == "CONTAINER"}
    summary = texts(containers["121111"])
    assert any(f"HC {rows[0]['hc_mm']:.2f} mm" in text for text in summary)
    assert "Comment of Smith^Ann: skull seen" in summary
    group = containers["125002"].ContentSequence[0]
    values = {code(i): i.MeasuredValueSequence[0].NumericValue for i in group.ContentSequence}
    expected = Ellipse(*corrected).perimeter * rows[0]["spacing_mm"]
    assert float(values["11984-2"]) == pytest.approx(expected, abs=0.01)
    assert any(i.ValueType == "PNAME" and i.PersonName == "Smith^Ann" for i in signed.ContentSequence)
    assert "Error" not in dciodvfy(folder / "00001.dcm")


def predecessors(report) -> set[str]:
    (study,) = report.PredecessorDocumentsSequence
    return {r.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for r in s.ReferencedSOPSequence}


def test_unchanged_answer_is_the_same_object_in_every_export(tmp_path, held):
    write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    folder = tmp_path / "results" / REVIEW / "sr"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert {"00001.dcm", "00001_machine.dcm", "examination_00001.dcm", "examination_00001_machine.dcm"} <= set(first)
    exports.write(session)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first
    uids = {p.name: pydicom.dcmread(p).SOPInstanceUID for p in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    exports.write(session)  # the UIDs follow from what the reports say, not from the files that are there
    assert {p.name: pydicom.dcmread(p).SOPInstanceUID for p in folder.iterdir()} == uids
    assert len(set(uids.values())) == len(uids)


def test_changed_answer_names_the_report_that_was_signed_before(tmp_path, held):
    rows = write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    folder = tmp_path / "results" / REVIEW / "sr"
    first = {p.name: pydicom.dcmread(p) for p in folder.iterdir()}
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    changed(session, 0, "pull", ellipse=[cx, cy, 1.05 * a, 1.05 * b, theta])
    for _ in range(2):  # the second export keeps what the first one has signed
        exports.write(session)
        second = {p.name: pydicom.dcmread(p) for p in folder.iterdir()}
        changes = {name for name in first if first[name].SOPInstanceUID != second[name].SOPInstanceUID}
        assert changes == {"00001.dcm", "examination_00001.dcm"}
        for name in changes:
            machine = second[name.replace(".", "_machine.")]
            assert predecessors(second[name]) == {first[name].SOPInstanceUID, machine.SOPInstanceUID}
            assert "Error" not in dciodvfy(folder / name)


def test_reports_are_found_again_under_the_numbers_that_new_frames_give_them(tmp_path, held):
    """They were not: a changed report named none before, and an unchanged one lost the one that it named."""
    rows = write_examinations(tmp_path, 3, dicom=True)
    save_rows(tmp_path / "results", rows[6:])
    folder = tmp_path / "results" / REVIEW / "sr"

    def export(grown: float) -> dict[str, pydicom.Dataset]:
        with ExitStack() as page:
            session = opened(tmp_path, page, "Smith^Ann")
            head = session.results.number(rows[6]["file"], 0)
            cx, cy, a, b, theta = rows[6]["ellipse_px"]
            if grown != 1:
                changed(session, head, "pull", ellipse=[cx, cy, grown * a, grown * b, theta])
            else:
                for n in range(head, head + 3):
                    changed(session, n, "accept", decision="accepted")
            exports.write(session)
        return reports()

    def reports() -> dict[str, pydicom.Dataset]:
        return {p.name: pydicom.dcmread(p) for p in folder.glob("*0*.dcm")}

    first = export(1)
    (folder / "mine.dcm").write_text("not a report of ours")
    second = export(1.05)
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held, "Smith^Ann")
    changed(session, 0, "accept", decision="accepted")  # of another woman, with the first number
    exports.write(session)
    moved = {"00001.dcm": "00007.dcm", "00002.dcm": "00008.dcm", "examination_00001.dcm": "examination_00003.dcm"}
    kept = reports()
    for before, now in moved.items():
        assert kept[now] == second[before]  # with the reports that it names
    cx, cy, a, b, theta = rows[6]["ellipse_px"]
    changed(session, 6, "pull", ellipse=[cx, cy, 1.1 * a, 1.1 * b, theta])
    exports.write(session)
    last = reports()
    assert last["00008.dcm"] == first["00002.dcm"]
    for before, now in (("00001.dcm", "00007.dcm"), ("examination_00001.dcm", "examination_00003.dcm")):
        machine = last[now.replace(".", "_machine.")]
        assert predecessors(last[now]) == {second[before].SOPInstanceUID, machine.SOPInstanceUID}


@pytest.mark.parametrize("zone", ["+0530", None])
def test_report_is_signed_at_the_time_of_the_decision(tmp_path, held, zone):
    rows = write_examinations(tmp_path, 1, dicom=True)
    for of in rows:
        source = pydicom.dcmread(of["file"])
        if zone:
            source.TimezoneOffsetFromUTC = zone
        source.save_as(of["file"])
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    times = [h.events[-1].time for h in session.store.histories.values()]
    for name, time in (("00001.dcm", times[0]), ("examination_00001.dcm", max(times))):
        signed = pydicom.dcmread(tmp_path / "results" / REVIEW / "sr" / name)
        said = signed.VerifyingObserverSequence[0].VerificationDateTime
        assert datetime.strptime(said, "%Y%m%d%H%M%S.%f%z") == datetime.fromisoformat(time)
        assert signed.get("TimezoneOffsetFromUTC") == zone  # it would speak for the dates of the study too
        assert zone in (None, said[-5:])
        assert said.startswith(signed.ContentDate + str(signed.ContentTime))


def test_nobody_signs_without_a_name(tmp_path, held):
    write_results(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "")
    changed(session, 0, "accept", decision="accepted")
    done = exports.write(session)
    assert done["reports"] == 0
    assert "--reader=NAME" in done["left_out"][0]


def test_exports_hold_no_identifiers(tmp_path, held):
    """PatientName, PatientID, birth date and accession number of the tests' DICOM files."""
    write_results(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    exports.write(session)
    said = json.dumps([session.frame(0), session.changes(0, 0), session.about()])
    written = [p for p in (tmp_path / "results" / REVIEW).rglob("*") if p.is_file() and p.suffix != ".dcm"]
    assert len(written) > 5
    for content in [said.encode(), *(p.read_bytes() for p in written)]:
        for identifier in (b"Doe", b"Jane", b"19900101", b'"P1"', b'"A1"'):
            assert identifier not in content


def signed_by(home: Path, reader: str, decision: str = "accepted") -> dict:
    with ExitStack() as held:
        session = opened(home, held, reader)
        for n in range(3):
            changed(session, n, "accept", decision=decision)
        return exports.write(session)


def files_of(folder: Path) -> dict[str, bytes]:
    names = ("sr", "fhir", exports.DATA_SET)
    found = {p for name in names for p in (folder / name).rglob("*")} | {folder / n for n in exports.EXAMINATIONS}
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.is_file()}


def test_export_of_one_reader_leaves_those_of_others(tmp_path):
    write_examinations(tmp_path, 1, dicom=True)
    review = tmp_path / "results" / REVIEW
    signed_by(tmp_path, "Ann")
    anns = files_of(review)
    assert {"sr/00001.dcm", "fhir/00001.json", "corrected/frames.csv", *exports.EXAMINATIONS} <= set(anns)
    done = signed_by(tmp_path, "Bob")
    assert f"{review}/reader_2/sr/" in done["files"]
    assert f"{review}/sr/" not in done["files"]
    assert files_of(review) == anns
    bobs = files_of(review / "reader_2")
    assert set(bobs) == set(anns)
    assert pydicom.dcmread(review / "reader_2" / "sr" / "00001.dcm").VerifyingObserverSequence[
        0
    ].VerifyingObserverName == ("Bob^")
    with (review / exports.TABLE).open(newline="") as f:
        assert {cells["reader"] for cells in csv.DictReader(f)} == {"Ann", "Bob"}
    signed_by(tmp_path, "Ann", decision="rejected")
    assert files_of(review) == {}  # her own are gone, and his are there
    assert files_of(review / "reader_2") == bobs
    assert json.loads((review / "readers.json").read_text()) == {"Ann": "", "Bob": "reader_2/"}


def test_foreign_file_is_found_before_anything_is_deleted(tmp_path, held):
    write_results(tmp_path, 2, dicom=True)
    session = opened(tmp_path, held)
    for n in (0, 1):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    before = files_of_any(tmp_path)
    changed(session, 0, "undecide", decision="")
    theirs = tmp_path / "results" / REVIEW / "fhir" / "00002.json"
    listed = tmp_path / "results" / REVIEW / "written.jsonl"
    listed.write_text("".join(s for s in listed.read_text().splitlines(True) if "fhir/00002" not in s))
    with pytest.raises(UserError, match=r"00002\.json was not written by this program"):
        exports.write(session)
    assert files_of_any(tmp_path) == before
    theirs.unlink()
    exports.write(session)
    assert before - files_of_any(tmp_path) == {
        *("sr/00001.dcm", "sr/00001_machine.dcm", "fhir/00001.json", "corrected/00001.png"),
    }


def files_of_any(home: Path) -> set[str]:
    review = home / "results" / REVIEW
    return {str(p.relative_to(review)) for p in review.rglob("*") if p.is_file()}


def test_report_that_can_no_longer_be_signed_does_not_stay(tmp_path, held, monkeypatch):
    write_results(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    exports.write(session)
    reports = tmp_path / "results" / REVIEW / "sr"
    assert {p.name for p in reports.iterdir()} == {"00001.dcm", "00001_machine.dcm"}

    def refuse(*_: object) -> None:
        raise UserError("there is a header that no report can repeat")

    monkeypatch.setattr(structured_report, "sign", refuse)
    assert exports.write(session)["left_out"] == ["frame_00: there is a header that no report can repeat"]
    assert [p.name for p in reports.iterdir()] == ["00001_machine.dcm"]  # which nobody signs


def test_pixels_that_are_not_square_train_without_a_scale(tmp_path, held):
    write_results(tmp_path, 1, column_mm=1.2)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    assert exports.write(session)["left_out"][0].startswith("frame_00: pixels that are not square")
    with (tmp_path / "results" / REVIEW / exports.DATA_SET / "frames.csv").open(newline="") as f:
        assert next(csv.DictReader(f))["spacing_mm"] == ""


def test_shown_picture_is_the_frame(tmp_path, held):
    from io import BytesIO

    from PIL import Image

    from fetal_jax.reading.images import read_image

    rows = write_results(tmp_path, 1)
    data, is_frame = opened(tmp_path, held).frames.png(rows[0])
    assert is_frame
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), read_image(Path(rows[0]["file"])))


def numbers(container, name):
    """The numbers of a code in a container."""
    found = [i for i in container.ContentSequence if i.ValueType == "NUM" and code(i) == name]
    return [float(i.MeasuredValueSequence[0].NumericValue) for i in found]


def test_a_damaged_report_is_named_before_anything_is_written(tmp_path, held):
    write_results(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    changed(session, 0, "accept", decision="accepted")
    exports.write(session)
    report, table = (tmp_path / "results" / REVIEW / name for name in ("sr/00001.dcm", exports.TABLE))
    whole, before = report.read_bytes(), table.stat().st_mtime_ns
    report.write_bytes(b"")
    with pytest.raises(UserError, match=r"sr/00001\.dcm is damaged: remove it"):
        exports.write(session)
    assert table.stat().st_mtime_ns == before
    report.write_bytes(whole[:1000])  # which DICOM takes for a short object
    assert exports.write(session)["reports"] == 1
    assert pydicom.dcmread(report).SOPInstanceUID == pydicom.dcmread(BytesIO(whole)).SOPInstanceUID


def test_examination_is_signed_in_one_report(tmp_path, held):
    """Head, abdomen and femur, weight and age; the machine's report of the same is its predecessor."""
    rows = write_examinations(tmp_path, 2, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    changed(session, 0, "pull", ellipse=[cx, cy, 1.05 * a, 1.05 * b, theta])
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    done = exports.write(session)
    assert (done["reports"], done["left_out"]) == (4, [])  # three frames and their examination
    folder = tmp_path / "results" / REVIEW
    signed = hd.sr.srread(folder / "sr" / "examination_00001.dcm")
    machine = hd.sr.srread(folder / "sr" / "examination_00001_machine.dcm")
    assert (signed.VerificationFlag, signed.PreliminaryFlag, machine.VerificationFlag) == (
        *("VERIFIED", "FINAL"),
        "UNVERIFIED",
    )
    assert signed.VerifyingObserverSequence[0].VerifyingObserverName == "Smith^Ann"
    (study,) = signed.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == machine.SOPInstanceUID
    containers = {code(i): i for i in signed.ContentSequence if i.ValueType == "CONTAINER"}
    groups = containers["125002"].ContentSequence
    assert [code(i) for g in groups for i in g.ContentSequence] == [
        "11984-2",
        "11820-8",
        "11851-3",
        "11979-2",
        "11963-6",
    ]
    assert numbers(groups[0], "11984-2") == [pytest.approx(1.05 * rows[0]["hc_mm"], abs=0.01)]
    said = " ".join(texts(containers["121111"]))
    assert f"HC {rows[0]['hc_mm']:.2f} mm, BPD" in said
    fetus = next(i for i in containers["121111"].ContentSequence if i.ValueType == "CONTAINER")
    record = json.loads((folder / exports.EXAMINATIONS[1]).read_text())[0]
    assert numbers(fetus, "11727-5") == [pytest.approx(record["weight"]["grams"], abs=0.01)]
    assert numbers(fetus, "11888-5") == [pytest.approx(record["age"]["weeks"], abs=0.01)]
    low, high = record["age"]["low"], record["age"]["high"]
    (remark,) = (texts(i) for i in fetus.ContentSequence if code(i) == "11888-5")
    assert remark == [f"{record['age']['formula']}; 95 % range {format_age(low)} to {format_age(high)}"]
    assert record["signed"] is True
    named = {
        s.ReferencedSOPInstanceUID
        for e in signed.CurrentRequestedProcedureEvidenceSequence
        for r in e.ReferencedSeriesSequence
        for s in r.ReferencedSOPSequence
    }
    assert named == {pydicom.dcmread(r["file"], stop_before_pixels=True).SOPInstanceUID for r in rows[:3]}
    for path in ("examination_00001.dcm", "examination_00001_machine.dcm"):
        assert "Error" not in dciodvfy(folder / "sr" / path)
    observations = json.loads((folder / "fhir" / "examination_00001.json").read_text())["entry"]
    assert {o["resource"]["status"] for o in observations} == {"final"}
    assert all("measured by the machine: HC" in o["resource"]["note"][-1]["text"] for o in observations)


def test_twins_are_told_apart_in_signed_reports_and_fhir(tmp_path, held):
    rows = write_examinations(tmp_path, 2, dicom=True)
    for fetus, frames in (("A", rows[:3]), ("B", rows[3:])):
        for frame in frames:
            frame |= {"examination": "visit", "patient": "woman", "fetus": fetus}
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(6):
        changed(session, n, "accept", decision="accepted")
    assert exports.write(session)["left_out"] == []
    folder = tmp_path / "results" / REVIEW
    of_fetus = {"examination_00001": "A", "examination_00002": "B", "00001": "A", "00004": "B"}
    for name, fetus in of_fetus.items():
        found = json.loads((folder / "fhir" / f"{name}.json").read_text())["entry"]
        assert {o["resource"]["focus"][0]["display"] for o in found} == {f"Fetus {fetus}"}
        assert {o["resource"]["subject"]["identifier"]["value"] for o in found} == {"woman"}
        for path in (folder / "sr" / f"{name}.dcm", folder / "sr" / f"{name}_machine.dcm"):
            (biometry,) = (i for i in hd.sr.srread(path).ContentSequence if code(i) == "125002")
            assert (code(biometry.ContentSequence[0]), texts(biometry)) == ("11951-1", [fetus])
            assert "Error" not in dciodvfy(path)


def test_undecided_and_rejected_frames_are_not_signed(tmp_path, held):
    write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    changed(session, 0, "accept", decision="accepted")
    changed(session, 1, "reject", decision="rejected")
    done = exports.write(session)
    assert done["left_out"] == ["examination visit-0: its report is without 1 frame that nobody decided on"]
    signed = hd.sr.srread(tmp_path / "results" / REVIEW / "sr" / "examination_00001.dcm")
    containers = {code(i): i for i in signed.ContentSequence if i.ValueType == "CONTAINER"}
    assert {code(i) for g in containers["125002"].ContentSequence for i in g.ContentSequence} == {
        *("11984-2", "11820-8", "11851-3"),
    }
    missing = "This report is without 1 frame that nobody decided on"
    assert missing in texts(containers["121111"])
    path = tmp_path / "results" / REVIEW / "fhir" / "examination_00001.json"
    entries = json.loads(path.read_text())["entry"]
    assert all({"text": missing} in entry["resource"]["note"] for entry in entries)
    changed(session, 2, "reject", decision="rejected")
    exports.write(session)
    again = hd.sr.srread(tmp_path / "results" / REVIEW / "sr" / "examination_00001.dcm")
    assert again.SOPInstanceUID != signed.SOPInstanceUID
    assert "nobody decided" not in str(again) + path.read_text()


def test_comments_on_the_frames_that_count_are_in_the_report_of_the_examination(tmp_path, held):
    write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    changed(session, 0, "accept", decision="accepted")
    changed(session, 1, "reject", decision="rejected", comment="blurred")
    changed(session, 2, "accept", decision="accepted", comment="bowed\nbut whole")
    exports.write(session)
    said = "Comment of Smith^Ann on the femur: bowed\nbut whole"
    review = tmp_path / "results" / REVIEW
    signed = hd.sr.srread(review / "sr" / "examination_00001.dcm")
    containers = {code(i): i for i in signed.ContentSequence if i.ValueType == "CONTAINER"}
    assert said in texts(containers["121111"])
    entries = json.loads((review / "fhir" / "examination_00001.json").read_text())["entry"]
    assert all({"text": said} in entry["resource"]["note"] for entry in entries)
    assert "blurred" not in str(signed) + json.dumps(entries)
    assert "Error" not in dciodvfy(review / "sr" / "examination_00001.dcm")


def test_export_says_that_a_report_is_missing_because_a_file_is_gone(tmp_path, held):
    rows = write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    Path(rows[1]["file"]).unlink()
    done = exports.write(session)
    name = session.results.name(rows[1])
    why = "no signed report: a DICOM file is gone, changed or damaged"
    assert {f"{name}: {why}", f"examination visit-0: {why}"} <= set(done["left_out"])
    assert not (tmp_path / "results" / REVIEW / "sr" / "examination_00001.dcm").exists()


def test_export_looks_at_each_file_once_for_its_reports(tmp_path, held, monkeypatch):
    """Whether a copy is still the object that was measured takes reading its header."""
    rows = write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    looked: list[str] = []
    found = Results.source
    monkeypatch.setattr(exports.data_set, "write", lambda *_: 0)  # its pictures are looked for as those of the page
    monkeypatch.setattr(Results, "source", lambda self, row: looked.append(row["file"]) or found(self, row))
    assert exports.write(session)["reports"] == 4
    assert sorted(looked) == sorted(r["file"] for r in rows)


def test_signed_examination_notes_what_the_machine_doubts(tmp_path, held):
    rows = write_examinations(tmp_path, 1, dicom=True)
    session = opened(tmp_path, held, "Smith^Ann")
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    changed(session, 0, "pull", ellipse=[cx, cy, 0.75 * a, 0.75 * b, theta])  # of another age than abdomen and femur
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    review = tmp_path / "results" / REVIEW
    signed = (review / "sr" / "examination_00001.dcm").read_bytes()
    assert b"Noted: FL" in signed
    for text in (signed, (review / "fhir" / "examination_00001.json").read_bytes()):
        assert b"To be reviewed" not in text


def test_examination_of_two_studies_is_not_one_report(tmp_path, held):
    rows = write_examinations(tmp_path, 1, dicom=True)
    other = pydicom.dcmread(rows[2]["file"])
    other.StudyInstanceUID = pydicom.uid.generate_uid()
    other.save_as(rows[2]["file"])
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(3):
        changed(session, n, "accept", decision="accepted")
    done = exports.write(session)
    assert done["left_out"] == [
        "examination visit-0: its frames are of several DICOM studies or patients: one report cannot hold them"
    ]


def test_two_heads_are_signed_with_their_median(tmp_path, held):
    rows = write_examinations(tmp_path, 1, dicom=True)
    second = tmp_path / "frames" / "again.dcm"
    copy = pydicom.dcmread(rows[0]["file"])
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    copy.save_as(second)
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    same = ("spacing_mm", "column_spacing_mm", "spacing_source", "examination", "patient", "day")
    larger = {"ellipse_px": [cx, cy, 1.02 * a, 1.02 * b, theta]} | {k: rows[0][k] for k in same}
    rows.append(row(second, "head", "measured", **larger))
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held, "Smith^Ann")
    for n in range(4):
        changed(session, n, "accept", decision="accepted")
    exports.write(session)
    signed = hd.sr.srread(tmp_path / "results" / REVIEW / "sr" / "examination_00001.dcm")
    containers = {code(i): i for i in signed.ContentSequence if i.ValueType == "CONTAINER"}
    hc = rows[0]["hc_mm"]
    assert numbers(containers["125002"].ContentSequence[0], "11984-2") == pytest.approx(
        [hc, 1.02 * hc, 1.01 * hc], abs=0.01
    )
    of_head = [i for i in containers["125002"].ContentSequence[0].ContentSequence if code(i) == "11984-2"]
    derived = [[m.ConceptCodeSequence[0].CodeValue for m in i.ContentSequence if code(m) == "121401"] for i in of_head]
    assert derived == [[], [], ["373099004"]]  # the median is named as one
    assert "Error" not in dciodvfy(tmp_path / "results" / REVIEW / "sr" / "examination_00001.dcm")
