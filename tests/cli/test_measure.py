"""`fetal-jax measure` as a user runs it, with the shipped bundle."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fetal_jax.growth import gestational_age
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY
from tests.support.command import called, fetal_jax, refused
from tests.support.dicom_files import region, save, ultrasound
from tfds_builders.fetal_phantom.phantom import draw


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    lines = ["filename,spacing_mm"]
    for seed in range(3):
        head = draw("head", seed)
        cv2.imwrite(str(folder / f"h{seed}.png"), head.image)
        lines.append(f"h{seed}.png,{head.spacing_mm}")
    (tmp_path / "spacing.csv").write_text("\n".join(lines) + "\n")
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "measurements.csv").open(newline="") as f:
        reader = csv.DictReader(f)
        found = list(reader)
        assert list(reader.fieldnames or ()) == COLUMNS
    return found


def test_a_folder_with_one_bad_file(frames, tmp_path):
    whole = (frames / "h0.png").read_bytes()
    (frames / "broken.png").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    done = called("measure", frames, "--plane=head", f"--spacing-csv={tmp_path / 'spacing.csv'}", f"--out={out}")
    assert done.returncode == 3, done.stderr
    table = rows(out)
    assert [Path(r["file"]).name for r in table] == ["broken.png", "h0.png", "h1.png", "h2.png"]
    assert table[0]["status"] == "error"
    assert "broken.png is damaged" in table[0]["reason"]
    assert "Not for clinical use" in done.stdout
    saved = json.loads((out / "measurements.json").read_text())
    for cell, row in zip(table[1:], saved[1:], strict=True):
        assert set(row) == {*COLUMNS, *GEOMETRY}
        assert (cell["status"] in ("measured", "review")) == bool(cell["hc_mm"])
        assert (cell["status"] == "measured") == (cell["reason"] == "")
        assert cell["spacing_source"] == "csv"
        assert bool(cell["ga_weeks"]) == bool(cell["hc_mm"])
        if row["hc_mm"]:
            age = gestational_age(hc_mm=row["hc_mm"])
            assert (row["ga_weeks"], row["ga_standard"]) == (age.weeks, "Hadlock 1984 (HC)")
        picture = cv2.imread(str(out / "overlays" / f"{Path(cell['file']).stem}.png"))
        assert picture.shape[0] > 360


def test_a_finished_call_that_is_given_again_says_that_it_measures_all_frames(frames, tmp_path):
    out = tmp_path / "out"
    call = ("measure", frames / "h0.png", "--plane=head", "--spacing-mm=0.3", f"--out={out}")
    said = f"{out} has finished results: the same call measures all frames again and replaces them"
    for again in (False, True):
        done = called(*call)
        assert done.returncode == 0, done.stderr
        assert (said in done.stderr.splitlines()) == again
    (out / "measurements.json").rename(out / "measuring.jsonl")  # as an interrupted call leaves a log alone
    (out / "measuring.jsonl").write_text("")
    assert said not in called(*call).stderr
    done = called(*call, "--also=svg")
    assert done.returncode == 2
    assert "holds results of a call that had other reports (--also)" in done.stderr
    assert said not in done.stderr  # nothing is replaced


def test_a_call_says_that_files_of_the_earlier_results_are_gone(frames, tmp_path, monkeypatch):
    """Also from another folder, with names that are relative to it."""
    out = tmp_path / "out"
    options = ("--plane=head", "--spacing-mm=0.3", f"--out={out}")
    monkeypatch.chdir(tmp_path)
    assert "earlier" not in called("measure", "frames", *options).stderr
    monkeypatch.chdir(frames)
    (frames / "h1.png").rename(frames / "new.png")
    done = called("measure", ".", *options)
    assert done.returncode == 0, done.stderr
    gone = "not kept: the rows of 1 file that is gone (frames/h1.png)"
    said = f"compared with the earlier results: 2 files to measure again, 1 new; {gone}"
    assert said in done.stderr.splitlines()
    assert [Path(row["file"]).name for row in rows(out)] == ["h0.png", "h2.png", "new.png"]
    (out / "fingerprints.jsonl").write_text("{")
    refused(called("measure", ".", *options), "fingerprints.jsonl is damaged: remove it")


def test_a_resumed_call_says_which_rows_it_drops(frames, tmp_path):
    out = tmp_path / "out"
    call = ("measure", frames, "--plane=head", "--spacing-mm=0.3", f"--out={out}")
    assert called(*call).returncode == 0
    entries = [json.loads(line) for line in (out / "fingerprints.jsonl").read_text().splitlines()]
    found = json.loads((out / "measurements.json").read_text())
    (out / "measuring.jsonl").write_text(  # as a call that was interrupted after two files leaves it
        "".join(json.dumps(entry | {"rows": [row]}) + "\n" for entry, row in zip(entries[:2], found, strict=False))
    )
    (out / "measurements.json").unlink()
    (frames / "h0.png").unlink()
    done = called(*call)
    assert done.returncode == 0, done.stderr
    gone = f"not kept: the rows of 1 file that is gone ({frames / 'h0.png'})"
    assert f"{out} has the results of an interrupted call, which are kept; {gone}" in done.stderr.splitlines()
    assert [Path(row["file"]).name for row in rows(out)] == ["h1.png", "h2.png"]


def test_the_last_lines_count_the_examinations_and_say_why_one_is_refused(frames, tmp_path):
    """All frames are measured, but two are of two patients under one name."""
    table, out = tmp_path / "labels.csv", tmp_path / "out"
    with (tmp_path / "spacing.csv").open() as f:
        spacings = {r["filename"]: r["spacing_mm"] for r in csv.DictReader(f)}
    labels = {"h0.png": "good,p", "h1.png": "bad,p", "h2.png": "bad,q"}
    lines = [f"{name},{spacings[name]},{label}" for name, label in labels.items()]
    table.write_text("\n".join(["filename,spacing_mm,examination,patient", *lines]))
    done = called("measure", frames, "--plane=head", f"--spacing-csv={table}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-2]
    assert said.startswith(
        "2 examinations: 1 measured, 1 refused; the first to look at is bad: its frames are of 2 patients"
    )
    assert "3 measured" in done.stdout.splitlines()[-1]


def test_a_table_that_names_no_file_is_said_before_the_work(frames, tmp_path):
    table, out = tmp_path / "typed.csv", tmp_path / "out"
    table.write_text("filename,spacing_mm\nh_0.png,0.3\n")
    done = called("measure", frames, f"--spacing-csv={table}", f"--out={out}")
    refused(done, "names none of 3 files", "no row for 'h0.png'", "nearest name in it is 'h_0.png'")
    assert not out.exists()


def test_a_frame_whose_cell_is_empty_is_refused_and_the_others_are_measured(frames, tmp_path):
    table, out = tmp_path / "spacing.csv", tmp_path / "out"
    first, *others = table.read_text().splitlines()[1:]
    table.write_text("\n".join(["filename,spacing_mm", "h0.png,", *others]))
    done = called("measure", frames, "--plane=head", f"--spacing-csv={table}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    empty, *full = rows(out)
    assert (empty["status"], empty["hc_mm"]) == ("refused", "")
    assert "no spacing_mm in its row h0.png: fill it in" in empty["reason"]
    assert all(row["hc_mm"] for row in full)
    table.write_text("\n".join(["filename,spacing_mm", first, *others]))  # filled in, it replaces the results
    done = called("measure", frames, "--plane=head", f"--spacing-csv={table}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert all(row["hc_mm"] for row in rows(out))


def test_a_ruler_that_no_frame_has_needs_another_folder_and_says_so(frames, tmp_path):
    """Only a call without any spacing may be repeated into the same folder."""
    out = tmp_path / "out"
    done = called("measure", frames / "h0.png", "--spacing=ruler", f"--out={out}")
    refused(done, "no spacing in 1 frame:", "give another --out")
    done = called("measure", frames / "h0.png", "--spacing-mm=0.3", f"--out={out}")
    refused(done, "another spacing: give another --out")


def test_the_last_line_names_overlays_only_where_there_are_some(frames, tmp_path):
    (frames / "broken.png").write_bytes(b"\x89PNG no more")
    for name, end in (("broken.png", "contact_sheet_01.png"), ("h0.png", "overlays")):
        out = tmp_path / f"out_{name}"
        done = called("measure", frames / name, "--plane=head", "--spacing-mm=0.3", f"--out={out}")
        assert f" and {out / end}. " in done.stdout
        assert (out / end).exists()


def test_one_number_and_the_ruler_are_refused_together(frames, tmp_path):
    done = fetal_jax("measure", frames, "--spacing=ruler", "--spacing-mm=0.3", f"--out={tmp_path / 'out'}")
    refused(done, "--spacing-mm", "--spacing=ruler", "give one of them")


def test_reports_that_cannot_be_written_are_told_in_one_line(frames, tmp_path):
    out = tmp_path / "out"
    done = fetal_jax("measure", frames, "--plane=head", "--spacing-mm=0.3", "--also=sr,seg", f"--out={out}")
    assert done.returncode == 0, done.stderr
    (line,) = (text for text in done.stderr.splitlines() if text.startswith("no sr"))
    assert line.startswith("no sr, seg: ")
    assert " files, such as " in line
    assert line.count("is not a DICOM file: a report must name the DICOM object") == 1
    assert not list(out.glob("s*"))  # no folder without a report


def test_a_quiet_call_says_which_files_were_not_read_and_which_reports_not_written(frames, tmp_path):
    (frames / "broken.png").write_bytes(b"\x89PNG no more")
    out = f"--out={tmp_path / 'out'}"
    done = fetal_jax("--quiet", "measure", frames, "--plane=head", "--spacing-mm=0.3", "--also=sr", out)
    assert (done.returncode, done.stdout) == (3, "")
    error, note = done.stderr.splitlines()
    assert error.startswith(f"error: {frames}/broken.png")
    assert note.startswith("no sr: ")


def test_a_quiet_archive_says_that_files_were_not_read(frames, tmp_path):
    (frames / "broken.png").write_bytes(b"\x89PNG no more")
    out = tmp_path / "out"
    done = fetal_jax("--quiet", "archive", frames, "--plane=head", "--spacing-mm=0.3", "--workers=1", f"--out={out}")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [f"error: 1 not read: {out}/dead_letters says why"]
    assert list((out / "dead_letters").iterdir())


def test_a_dicom_folder_without_spacing_has_no_millimetres_and_says_so(frames, tmp_path):
    """Only the work shows whether a header states a spacing."""
    save(ultrasound(cv2.imread(str(frames / "h0.png"), 0), []), tmp_path / "a.dcm")
    out = tmp_path / "out"
    done = called("measure", tmp_path / "a.dcm", "--plane=head", f"--out={out}")
    refused(done, "no spacing in 1 frame: give --spacing-mm", "the same --out may be used")
    assert "1 refused; main reasons: no spacing (1)" in done.stdout
    (row,) = rows(out)
    assert row["status"] == "refused"
    assert all(row[c] == "" for c in COLUMNS if c.endswith("_mm"))
    done = called("measure", tmp_path / "a.dcm", "--plane=head", "--spacing-mm=0.3", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert rows(out)[0]["spacing_mm"] == "0.3"


def test_a_head_too_small_to_be_dated_keeps_its_millimetres(frames, tmp_path):
    table = tmp_path / "small.csv"
    spacing = draw("head", 0).spacing_mm * 65 / draw("head", 0).millimetres["hc_mm"]
    table.write_text(f"filename,spacing_mm\nh0.png,{spacing}\n")
    done = called("measure", frames / "h0.png", "--plane=head", f"--spacing-csv={table}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0
    (row,) = rows(tmp_path / "out")
    assert row["status"] == "measured"
    assert row["hc_mm"]
    assert row["ga_weeks"] == row["ga_standard"] == ""
    assert row["reason"] == ""


def test_a_file_that_the_table_lacks_is_refused_for_that_reason(frames, tmp_path):
    table = tmp_path / "spacing.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if not line.startswith("h1")))
    done = called("measure", frames, "--plane=head", f"--spacing-csv={table}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0
    row = rows(tmp_path / "out")[1]
    assert (row["status"], row["hc_mm"]) == ("refused", "")
    assert "h1.png" in row["reason"] or "nothing found" in row["reason"]


@pytest.mark.parametrize("command", ["measure", "archive"])
def test_a_flag_that_the_headers_contradict_is_not_asked_for_again(frames, tmp_path, command):
    pixels = cv2.imread(str(frames / "h0.png"), 0)
    save(ultrasound(pixels, [region(0.3, 0.3)]), tmp_path / "a.dcm")
    done = called(command, tmp_path / "a.dcm", "--plane=head", "--spacing-mm=0.2", f"--out={tmp_path / 'out'}")
    refused(done, "no spacing in 1 frame: the one that was given does not go with them", "give another --out too")


def test_wrong_calls(frames, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    refused(called("measure", frames, "--spacing-mm=0,12", out), "0,12 is not a number: write it with a point, as 0.12")
    refused(called("measure", frames, "--spacing=0.12", out), "0.12 is not ruler", "as --spacing-mm=0.12")
    refused(called("measure", frames, "--spacing-mm=120", out), "--spacing-mm=120 is", "give one over 0 and under 100")
    refused(called("measure", tmp_path / "none.png", "--plane=head", out), "none.png", "does not exist")
    refused(called("measure", tmp_path / "out2", "--plane=head", "--spacing-mm=0", out), "--spacing-mm")
    refused(called("measure", frames, "--plane=head", "--spacing-mm=0.3", "--spacing-csv=x", out), "not allowed with")
    refused(called("measure", frames, f"--bundle={tmp_path}", out), "is not a bundle")
    refused(called("measure", frames, "--plane=head", f"--spacing-csv={tmp_path / 'no.csv'}", out), "no.csv")
    (tmp_path / "bad.csv").write_text("filename,spacing_mm\nh0.png,-1\n")
    refused(called("measure", frames, "--plane=head", f"--spacing-csv={tmp_path / 'bad.csv'}", out), "line 2")
    refused(called("measure", frames, "--plane=spine", out), "spine")
    refused(called("measure", frames, "--spacing-mmm=0.3", "--plane=head", out), "--spacing-mmm")
    refused(called("measure", frames, "--spacing-mm=0.3", "--ga=30w", out), "add --one-examination")
    (tmp_path / "named.csv").write_text("filename,spacing_mm,examination\nh0.png,0.3,e\n")
    named = f"--spacing-csv={tmp_path / 'named.csv'}"
    refused(called("measure", frames, named, "--one-examination", out), "column examination", "give one of them")


def test_the_table_tells_the_twins_of_a_study_apart(frames, tmp_path):
    (tmp_path / "twins").mkdir()
    lines = ["filename,spacing_mm,fetus,ga"]
    for name, line in zip("ab", (tmp_path / "spacing.csv").read_text().splitlines()[1:], strict=False):
        file, mm = line.split(",")
        ds = ultrasound(cv2.imread(str(frames / file), 0))
        ds.StudyInstanceUID = "1.2.826.0.1.4711"
        save(ds, tmp_path / "twins" / f"{name}.dcm")
        lines.append(f"{name}.dcm,{mm},{name.upper()},24w0d")
    (tmp_path / "twins.csv").write_text("\n".join(lines))
    call = "measure", "--plane=head", f"--spacing-csv={tmp_path / 'twins.csv'}", f"--out={tmp_path / 'out'}"
    done = called(*call, tmp_path / "twins")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "examinations.json").read_text())
    assert [(e["fetus"], e["known_age"]["weeks"]) for e in found] == [("A", 24.0), ("B", 24.0)]
    assert len({e["examination"] for e in found}) == 1
    cv2.imwrite(str(tmp_path / "twins" / "a.png"), draw("head", 0).image)
    (tmp_path / "twins.csv").write_text(f"{lines[0]}\na.png,0.3,A,24w0d")
    refused(called(*call, tmp_path / "twins"), "says fetus, ga of", "a.png, but not the examination")


def test_a_table_of_examinations_alone_takes_the_spacing_of_the_header(frames, tmp_path):
    (tmp_path / "study").mkdir()
    save(ultrasound(cv2.imread(str(frames / "h0.png"), 0), [region(0.3, 0.3)]), tmp_path / "study" / "a.dcm")
    (tmp_path / "named.csv").write_text("filename,examination,fetus\na.dcm,e1,A\nh0.png,e1,A\n")
    call = "measure", "--plane=head", f"--spacing-csv={tmp_path / 'named.csv'}", f"--out={tmp_path / 'out'}"
    done = called(*call, tmp_path / "study")
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "out")
    assert (row["examination"], row["fetus"], row["spacing_mm"], row["spacing_source"]) == ("e1", "A", "0.3", "dicom")
    none = called(*call[:-1], frames / "h0.png", f"--out={tmp_path / 'none'}")
    refused(none, "names none of 1 file with a spacing: the table has no spacing_mm in its row h0.png: fill it in")


def test_a_bundle_of_heads_asks_for_the_plane(frames, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    refused(called("measure", frames, "--bundle=heads", "--spacing-mm=0.3", out), "give --plane=head")
    other = called("measure", frames, "--bundle=heads", "--plane=abdomen", "--spacing-mm=0.3", out)
    refused(other, "not trained on it, only on head")


def test_a_name_that_is_no_text(frames, tmp_path):
    bad = os.fsencode(frames) + b"/t\xeate.png"
    with open(bad, "wb") as f:
        f.write(b"\x89PNG no more")
    whole = os.fsencode(frames) + b"/z\xea.png"
    os.rename(frames / "h2.png", whole)
    out = tmp_path / "out"
    done = fetal_jax("measure", frames, "--plane=head", "--spacing-mm=0.3", "--also=svg", f"--out={out}")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert sum(r["status"] != "error" for r in rows(out)) == 3
    assert len(list((out / "overlays").glob("*.svg"))) == 3


def test_the_shipped_bundle_measures_real_heads(data_dir, tmp_path):
    table = data_dir / "hc18" / "training_set_pixel_size_and_HC.csv"
    with table.open() as f:
        there = [r for r in csv.DictReader(f) if (data_dir / "hc18" / "training_set" / r["filename"]).is_file()]
    entries = there[::90]  # by size: all trimesters
    files = [data_dir / "hc18" / "training_set" / r["filename"] for r in entries]
    done = called("measure", *files, "--plane=head", f"--spacing-csv={table}", f"--out={tmp_path}")
    assert done.returncode == 0, done.stderr
    errors = [
        float(row["hc_mm"]) - float(entry["head circumference (mm)"])
        for row, entry in zip(rows(tmp_path), entries, strict=True)
        if row["hc_mm"]
    ]
    assert len(errors) >= 8
    assert np.abs(errors).mean() < 4
