"""`fetal-jax archive` as a user runs it: the values of `measure`, nothing lost or doubled by a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from fetal_jax.archive import examinations, shards
from fetal_jax.archive.parquet import FRAMES, SCHEMAS, Writer
from fetal_jax.archive.storage import Folder
from fetal_jax.outputs.rows import cells
from tests.support.archives import MM, check, frame, rows, write_tars
from tests.support.command import called, fetal_jax, refused
from tests.support.dicom_files import region, save, ultrasound
from tfds_builders.fetal_phantom.phantom import draw

SPACING = f"--spacing-mm={MM}"


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as f:
        return list(csv.DictReader(f))


@pytest.mark.slow
def test_the_values_are_those_of_measure_as_printed(tmp_path):
    expected = write_tars(tmp_path / "in", 40, 10)
    (tmp_path / "in" / "plain.png").write_bytes(frame(500))
    expected["good"] += 1
    done = fetal_jax("archive", tmp_path / "in", SPACING, f"--out={tmp_path / 'out'}")
    assert done.returncode == 3, done.stderr
    assert "Not for clinical use" in done.stdout
    check(tmp_path / "out", expected)
    assert fetal_jax("measure", tmp_path / "in", SPACING, f"--out={tmp_path / 'm'}").returncode == 3
    measured = {(r["file"], r["frame"]): r | {"overlay": ""} for r in table(tmp_path / "m", "measurements.csv")}
    ours = {
        (r["file"], str(r["frame"])): {k: str(v) for k, v in cells(r).items()} for r in rows(tmp_path / "out", "frames")
    }
    dead = {(r["file"], str(r["frame"])): r["reason"] for r in rows(tmp_path / "out", "dead_letters")}
    assert ours == {key: row for key, row in measured.items() if row["status"] != "error"}
    assert dead == {key: row["reason"] for key, row in measured.items() if row["status"] == "error"}
    assert sum(row["status"] == "measured" for row in ours.values()) > 20


@pytest.fixture
def studies(tmp_path) -> Path:
    """Two patients in DICOM, the frames of one examination in two folders; a cine; a report that holds no image."""
    for i, (patient, study) in enumerate([("A", "1.1"), ("B", "1.2"), ("A", "1.1"), ("A", "1.3")]):
        dataset = ultrasound(draw(("head", "abdomen")[i % 2], i).image, [region()])
        dataset.PatientID, dataset.StudyInstanceUID = patient, study
        dataset.StudyDate = "20240301" if study == "1.3" else "20240201"
        folder = tmp_path / "in" / f"{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        save(dataset, folder / f"{i}.dcm")
    return tmp_path / "in"


@pytest.mark.slow
def test_examinations_are_those_of_measure_wherever_their_frames_are(studies, tmp_path, monkeypatch):
    monkeypatch.setenv("FETAL_JAX_KEY", "a key of the test's own")
    for command in ("archive", "measure"):
        done = fetal_jax(command, studies, "--also=sr,svg", f"--out={tmp_path / command}")
        assert done.returncode == 0, done.stderr
    ours = {row["examination"]: row for row in rows(tmp_path / "archive", "examinations")}
    theirs = json.loads((tmp_path / "measure" / "examinations.json").read_text())
    assert len(theirs) == 3
    assert set(ours) == {row["examination"] for row in theirs}
    for record in theirs:
        row = ours[record["examination"]]
        assert (row["patient"], row["status"], row["visit"]) == (record["patient"], record["status"], record["visit"])
        for name, mm in record["sizes_mm"].items():
            assert f"{row[f'{name}_mm']:.6g}" == f"{mm:.6g}"
        for name, centile in record["centiles"].items():
            assert (row[f"{name}_centile"], row[f"{name}_z"]) == (centile["percent"], centile["z"])
    text = b"".join(p.read_bytes() for p in (tmp_path / "archive").rglob("*.parquet"))
    assert b"1.1" not in [row["examination"].encode() for row in ours.values()]
    assert b"FAKE" not in text
    frames = rows(tmp_path / "archive", "frames")
    with_value = [row for row in frames if row["status"] in ("measured", "review")]
    for row in with_value:
        assert (tmp_path / "archive" / "sr" / f"{row['report']}.dcm").is_file()
    assert len(list((tmp_path / "archive" / "svg").rglob("*.svg"))) == len(frames)
    assert not (tmp_path / "archive" / "identifiers.key").exists()


@pytest.mark.slow
def test_a_call_that_is_killed_resumes_and_ends_as_one_that_was_not(tmp_path):
    expected = write_tars(tmp_path / "in", 40, 5)
    command = ["archive", str(tmp_path / "in"), SPACING, "--workers=2"]
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "fetal_jax.cli.main", *command, f"--out={out}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(list(out.glob("frames/*.parquet"))) < 3 and process.poll() is None:
        time.sleep(0.02)
    children = family(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("frames/*.parquet")}
    assert 3 <= len(done) < 9
    for _ in range(200):
        if not any(Path(f"/proc/{pid}/cmdline").exists() and alive(pid) for pid in children):
            break
        time.sleep(0.1)
    else:
        pytest.fail("workers of a killed call go on")
    assert fetal_jax(*command, f"--out={out}").returncode == 3
    check(out, expected)
    for name, written in done.items():
        assert (out / "frames" / name).stat().st_mtime_ns == written, "measured twice"
    assert fetal_jax(*command, f"--out={tmp_path / 'whole'}").returncode == 3
    assert contents(out) == contents(tmp_path / "whole")


def family(pid: int) -> set[int]:
    found, queue = set(), [pid]
    while queue:
        for task in Path(f"/proc/{queue.pop()}/task").glob("*/children"):
            new = set(map(int, task.read_text().split())) - found
            found |= new
            queue += new
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.parquet")}


@pytest.mark.slow
def test_files_that_change_come_or_go_leave_no_old_rows(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name, number in {"a.png": 0, "b.png": 1, "c.png": 2}.items():
        (folder / name).write_bytes(frame(number))
    (folder / "broken.png").write_bytes(frame(3)[:500])

    def measured() -> dict[str, str]:
        fetal_jax("archive", folder, SPACING, f"--out={out}")
        return {Path(row["file"]).name: row["sha256"] for row in rows(out, "frames")}

    first = measured()
    assert set(first) == {"a.png", "b.png", "c.png"}
    assert [Path(row["file"]).name for row in rows(out, "dead_letters")] == ["broken.png"]
    (folder / "a.png").write_bytes(frame(9))  # the names are the same: the shard is too, and its results are replaced
    changed = measured()
    assert set(changed) == set(first)
    assert changed["a.png"] != first["a.png"]
    assert len(rows(out, "frames")) == 3
    (folder / "b.png").unlink()
    (folder / "broken.png").write_bytes(frame(3))
    second = measured()
    assert set(second) == {"a.png", "broken.png", "c.png"}
    assert second["a.png"] == changed["a.png"]
    assert len(rows(out, "frames")) == 3
    assert not rows(out, "dead_letters")


def test_a_call_says_which_rows_it_keeps_adds_and_removes(tmp_path, monkeypatch):
    """Also from another folder, with names that are relative to it."""
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "x").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "c", "x/d")):
        (folder / f"{name}.png").write_bytes(frame(number))
    write_tars(folder / "tars", 3, 3, poisoned=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "MOST", 10**9)  # no shard ends by chance between the frames
    assert "earlier" not in called("archive", "in", SPACING, f"--out={out}").stdout
    again = called("archive", "in", SPACING, f"--out={out}").stdout.splitlines()
    assert again[-2] == "compared with the earlier call: 7 rows in unchanged shards kept, 0 measured again or new"
    (folder / "x" / "e.png").write_bytes(frame(9))
    more = called("archive", "in", SPACING, f"--out={out}").stdout.splitlines()
    # the four frames beside the new one are of its shard; the three tars are shards of their own
    assert more[-2] == "compared with the earlier call: 3 rows in unchanged shards kept, 5 measured again or new"
    (folder / "x" / "e.png").unlink()
    called("archive", "in", SPACING, f"--out={out}")
    (folder / "x" / "d.png").unlink()
    monkeypatch.chdir(folder / "x")
    less = called("archive", "..", SPACING, f"--out={out}").stdout.splitlines()
    assert less[-2].endswith("; removed: 1 row of 1 file that is gone (in/x/d.png)")
    assert len(rows(out, "frames")) == 6


def test_a_call_that_would_remove_over_half_of_the_rows_is_refused(tmp_path):
    """An archive of which a part is not mounted."""
    for part in "xy":
        write_tars(tmp_path / "in" / part, 4 if part == "x" else 3, 1, poisoned=False)
    out = tmp_path / "out"
    call = ("archive", tmp_path / "in", SPACING, f"--out={out}")
    called(*call)
    before = contents(out)
    (tmp_path / "in" / "x").rename(tmp_path / "unmounted")
    said = f"4 rows of 4 files that are gone (the first: {tmp_path}/in/x/00000.tar), over half of its 7"
    refused(called(*call), said, "mounted", f"remove {out}/frames")
    assert contents(out) == before
    for path in (out / "frames").iterdir():  # the remedy
        path.unlink()
    assert "earlier" not in called(*call).stdout
    assert len(rows(out, "frames")) == 3


@pytest.mark.parametrize("left", ["pictures", "nothing"])
def test_what_is_gone_is_said_before_what_the_rest_lacks(left, tmp_path):
    """All DICOM is unmounted; what is left states no spacing, or is no frame."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    head = draw("head", 0)
    for name in "abc":
        save(ultrasound(head.image, [region(head.spacing_mm, head.spacing_mm)]), folder / f"{name}.dcm")
    if left == "pictures":
        (folder / "d.png").write_bytes(frame(1))
    call = ("archive", folder, f"--out={out}")
    called(*call)
    assert rows(out, "frames")
    for path in folder.glob("*.dcm"):
        path.unlink()
    refused(called(*call), "3 rows of 3 files that are gone", "over half", "check that the whole archive is mounted")
    other = called("archive", f"{folder}/*", f"--out={out}")  # not the call of these rows
    refused(other, "no spacing in 1 file:" if left == "pictures" else "matches no file")


def test_examinations_go_with_the_last_frame_that_names_one(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number, name in enumerate("ab"):
        (folder / f"{name}.png").write_bytes(frame(number))
    head = draw("head", 0)
    save(ultrasound(head.image, [region(head.spacing_mm, head.spacing_mm)]), folder / "c.dcm")
    call = ("archive", folder, "--spacing=ruler", f"--out={out}")
    assert called(*call).stdout.splitlines()[-2].startswith("1 examination: 1 ")
    assert len(rows(out, "examinations")) == 1
    (folder / "c.dcm").unlink()
    assert called(*call).returncode in (0, 2)  # no spacing is left
    assert rows(out, "examinations") == []


def test_frames_are_sorted_by_patient_with_texts_of_any_length(tmp_path, monkeypatch):
    """2 GB of texts are too much for a test: their offsets must have 64 bits before tables are joined and sorted."""
    seen: list[pa.Table] = []
    monkeypatch.setattr(pa, "concat_tables", lambda parts, joined=pa.concat_tables: seen.extend(parts) or joined(parts))
    (tmp_path / FRAMES).mkdir()
    for name, whose in (("1", [("e1", "p"), ("e2", None)]), ("2", [("e1", None), ("e3", "p"), (None, None)])):
        with Writer(tmp_path / FRAMES / name, FRAMES) as writer:
            for examination, patient in whose:
                writer.add({"file": f"{name}.png", "frame": 0, "examination": examination, "patient": patient})
    found = [
        [(row["examination"], row["file"]) for row in rows]
        for rows, _ in examinations._patients(Folder(str(tmp_path)), ["1", "2"])
    ]
    assert found == [[("e2", "1.png")], [("e1", "1.png"), ("e1", "2.png"), ("e3", "2.png")]]
    texts = {field.name: field.type for part in seen for field in part.schema if "string" in str(field.type)}
    assert {texts[name] for name in ("file", "reason", "examination", "patient", "call")} == {pa.large_string()}


def test_the_schema_is_the_stated_one(tmp_path):
    (tmp_path / "a.png").write_bytes(frame(0))
    (tmp_path / "b.png").write_bytes(b"nothing")
    out = tmp_path / "out"
    assert called("archive", tmp_path / "*.png", SPACING, f"--out={out}").returncode == 3
    for kind in ("frames", "dead_letters"):
        (path,) = (out / kind).glob("*.parquet")
        assert parquet.read_schema(path).remove_metadata().equals(SCHEMAS[kind])
    (row,) = rows(out, "frames")
    assert row["source"] == str(tmp_path / "a.png")
    assert len(row["sha256"]) == 64
    assert all(row[name] for name in ("bundle", "version", "call"))
    assert "onnxruntime" in row["versions"]


def test_the_same_call_from_another_folder_measures_nothing_again(tmp_path, monkeypatch):
    out = tmp_path / "out"
    for folder, names in (("in", "ab"), ("in/x", "c")):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            (tmp_path / folder / f"{name}.png").write_bytes(frame(number))
    write_tars(tmp_path / "in" / "tars", 1, 1, poisoned=False)
    monkeypatch.chdir(tmp_path)
    assert called("archive", "in", SPACING, f"--out={out}").returncode == 0
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*/*.parquet")}
    monkeypatch.chdir(tmp_path / "in" / "x")
    assert called("archive", "..", SPACING, f"--out={out}").returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*/*.parquet")} == done


# ------------------------------------------------------------------------------------------------- wrong calls


@pytest.fixture
def one(tmp_path) -> Path:
    (tmp_path / "a.png").write_bytes(frame(0))
    return tmp_path / "a.png"


def test_a_folder_of_another_call_or_command_is_refused(one, tmp_path):
    (tmp_path / "foreign" / "frames").mkdir(parents=True)
    (tmp_path / "foreign" / "frames" / "mine.parquet").write_text("x")
    refused(called("archive", one, SPACING, f"--out={tmp_path / 'foreign'}"), "frames", "another --out")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "call.json").write_text('{"plane": "auto"}')
    refused(called("archive", one, SPACING, f"--out={tmp_path / 'm'}"), "another command")
    (tmp_path / "m" / "call.json").write_text("[1]")
    refused(called("archive", one, SPACING, f"--out={tmp_path / 'm'}"), "call.json is damaged")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "plan.jsonl").write_text("mine, and a pipeline's plan would take its place")
    refused(called("archive", one, SPACING, f"--out={tmp_path / 'p'}"), "plan.jsonl", "another --out")
    out = tmp_path / "out"
    assert called("archive", one, SPACING, f"--out={out}").returncode == 0
    refused(called("archive", one, "--spacing-mm=0.3", f"--out={out}"), "another spacing")


def test_no_spacing_at_all_is_refused_before_the_work(one, tmp_path):
    refused(called("archive", one, f"--out={tmp_path / 'out'}"), "no spacing in 1 file:", "--spacing-mm")
    assert not (tmp_path / "out" / "frames").exists()


def test_a_table_with_one_row_for_two_frames_is_refused_wherever_they_would_be_measured(tmp_path):
    for name in ("x", "y"):
        write_tars(tmp_path / name, 1, 1, poisoned=False)
    (tmp_path / "sizes.csv").write_text("filename,spacing_mm\n0000000.png,0.4\n")
    done = called("archive", tmp_path / "[xy]", f"--spacing-csv={tmp_path / 'sizes.csv'}", f"--out={tmp_path / 'o'}")
    refused(done, "one row 0000000.png")


def test_help_needs_neither_beam_nor_arrow_and_a_runner_without_beam_names_the_extra(one, tmp_path):
    block = "import sys; sys.modules.update(apache_beam=None, pyarrow=None); from fetal_jax.cli.main import main; "

    def call(*argv: object) -> subprocess.CompletedProcess[str]:
        code = f"{block}sys.exit(main({['archive', *map(str, argv)]!r}))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)

    shown = call("--help")
    assert shown.returncode == 0
    assert "--runner" in shown.stdout
    refused(call(one, SPACING, f"--out={tmp_path / 'o'}"), "pip install '.[archive]'")
    block = block.replace(", pyarrow=None", "")
    refused(call(one, SPACING, "--runner=direct", f"--out={tmp_path / 'o'}"), "pip install '.[beam]'")
    refused(call(one, SPACING, f"--out={tmp_path / 'o'}", "--", "--streaming"), "--streaming", "give --runner")
