"""A folder of results: interrupted runs resume, other people's files stay as they are."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.files import LOCK, OwnFiles
from fetal_jax.reading.images import write_png
from fetal_jax.reading.sources import CALL, Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.folder import measure_files
from fetal_jax.results.resume_log import FINGERPRINTS, NAME, ResumeLog, fingerprints
from fetal_jax.view.results import Results
from tests.support.counting import HEADS, counting, three_heads

KNOWN, NONE = Spacings("flag", constant=0.3), Spacings("none")
EVERY_RUN = {CALL, OwnFiles.LIST, FINGERPRINTS, LOCK, "measurements.csv", "measurements.json", "overlays"}
EVERY_RUN |= {"contact_sheet_01.png"}


@pytest.fixture
def frames(tmp_path) -> list[Source]:
    return three_heads(tmp_path)


def measured(sources, out, spacings=KNOWN, fail_at=-1, **options) -> tuple[list, int]:
    """(rows, how many frames were measured to have them)"""
    predictor = counting(fail_at)
    rows = list(measure_files(predictor, sources, spacings, "head", out, **options))
    return rows, len(predictor.seen[0])


def interrupt(sources, out, fail_at, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        measured(sources, out, fail_at=fail_at, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------------------------------ resuming


def test_an_interrupted_run_resumes_and_ends_with_the_same_bytes(frames, tmp_path):
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=3)
    assert len((out / "measurements.csv").read_text().splitlines()) == 3  # header and two rows: written as they come
    assert not (out / "measurements.json").exists()
    with (out / NAME).open("a") as f:
        f.write('{"file": "cut sho')
    rows, new = measured(frames, out)
    assert new == 1
    assert [r["file"] for r in rows] == [str(s) for s in frames]
    assert len({r["overlay"] for r in rows}) == 3
    assert {p.name for p in out.iterdir()} == EVERY_RUN

    whole, _ = measured(frames, tmp_path / "whole")
    assert rows == whole
    for name in ("measurements.csv", "measurements.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (out / "measurements.json").read_text() == json.dumps(whole, indent=1) + "\n"


def test_a_list_of_no_rows_is_json(tmp_path):
    measured([], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "measurements.json").read_text()) == []


def test_the_writing_thread_ends_with_an_interrupted_run(frames, tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        measured(frames, tmp_path / "out", fail_at=3)
    assert caught.traceback  # keeps the writer from being collected, which would end its thread too
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("writing")]


def test_a_picture_deleted_during_the_interruption_is_left_out(frames, tmp_path):
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=3)
    first, *_ = (out / "overlays").glob("*.png")
    first.unlink()
    rows, new = measured(frames, out)
    assert (len(rows), new) == (3, 1)
    assert (out / "contact_sheet_01.png").exists()


def test_a_file_changed_during_the_interruption_is_measured_again(frames, tmp_path):
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=3)
    Image.fromarray(HEADS[2].image).save(frames[0].path)
    rows, new = measured(frames, out)
    assert new == 2
    assert rows[0]["hc_mm"] == pytest.approx(rows[2]["hc_mm"])


def test_finished_results_taken_up_again_keep_the_rows_of_files_that_have_not_changed(frames, tmp_path):
    out = tmp_path / "out"
    first, _ = measured(frames, out)
    later = (out / "measurements.json").stat().st_mtime_ns + 10**9
    os.utime(frames[1].path, ns=(later, later))
    assert measured(frames, out, again=True) == (first, 1)


def overwrite(source: Source, head: int, age_s: int = 0) -> None:
    """Put another head into a file, which says that it was written some time ago."""
    Image.fromarray(HEADS[head].image).save(source.path)
    then = time.time_ns() - age_s * 10**9
    os.utime(source.path, ns=(then, then))


def test_a_file_that_is_overwritten_during_the_run_is_measured_again(frames, tmp_path):
    out = tmp_path / "out"
    predictor = counting()
    for row in measure_files(predictor, frames, KNOWN, "head", out):
        if row["file"] == str(frames[1]):  # the first one was read
            overwrite(frames[0], 2)
    rows, new = measured(frames, out, again=True)
    assert new == 1
    assert rows[0]["hc_mm"] == pytest.approx(rows[2]["hc_mm"])
    assert measured(frames, out, again=True) == (rows, 0)


def test_a_file_that_is_overwritten_before_it_is_saved_is_measured_again(frames, tmp_path, monkeypatch):
    """Its overlay is drawn after it was measured, and before its rows are in the log."""
    out = tmp_path / "out"

    def drawn(path, picture):
        write_png(path, picture)
        if path.name == "head.png":
            overwrite(frames[0], 2)

    with monkeypatch.context() as patch:
        patch.setattr("fetal_jax.results.folder.write_png", drawn)
        interrupt(frames, out, fail_at=3)
    rows, new = measured(frames, out)
    assert new == 2
    assert rows[0]["hc_mm"] == pytest.approx(rows[2]["hc_mm"])


def test_a_file_that_is_replaced_by_an_older_one_is_measured_again(frames, tmp_path):
    """As `cp -p`, rsync and unzip do."""
    out = tmp_path / "out"
    measured(frames, out)
    overwrite(frames[0], 2, age_s=10**6)
    rows, new = measured(frames, out, again=True)
    assert new == 1
    assert rows[0]["hc_mm"] == pytest.approx(rows[2]["hc_mm"])


def test_results_that_do_not_say_which_files_they_are_of_are_measured_again(frames, tmp_path):
    out = tmp_path / "out"
    first, _ = measured(frames, out)
    (out / FINGERPRINTS).unlink()
    assert measured(frames, out, again=True) == (first, 3)
    (out / FINGERPRINTS).write_text("{}\n")
    with pytest.raises(UserError, match=r"fingerprints.jsonl is damaged: remove it"):
        measured(frames, out, again=True)


def without_content(path: Path) -> None:
    """Make a list of files one of an earlier version, which had no SHA-256."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(len(entry["fingerprint"]) == 3 for entry in entries)
    path.write_text("".join(json.dumps(e | {"fingerprint": e["fingerprint"][:2]}) + "\n" for e in entries))


def test_results_of_a_version_that_did_not_know_the_content_of_files_are_resumed(frames, tmp_path):
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=3)
    without_content(out / NAME)
    first, new = measured(frames, out)
    assert new == 1
    (out / FINGERPRINTS).write_text("")
    assert measured(frames, out, again=True) == (first, 3)
    without_content(out / FINGERPRINTS)
    assert measured(frames, out, again=True) == (first, 0)


@pytest.mark.parametrize("again", [False, True])
def test_copied_frames_are_known_by_their_content(frames, tmp_path, again):
    """All pictures of one size in BMP have as many bytes, and a copy has another time."""
    paths = [source.path.with_suffix(".bmp") for source in frames]
    for path, phantom in zip(paths, HEADS, strict=True):
        Image.fromarray(phantom.image).save(path)
    assert len({path.stat().st_size for path in paths}) == 1
    out, sources = tmp_path / "out", [Source(path) for path in paths]
    rows, _ = measured(sources, out)
    if again:  # rows that are kept keep what is known of their files
        assert measured(sources, out, again=True) == (rows, 0)
    shown = Results(out)
    paths[0].write_bytes(paths[1].read_bytes())
    for path in paths:
        os.utime(path, (1, 1))
    assert [shown.source(row) for row in rows] == [None, *sources[1:]]


def test_a_file_that_was_gone_has_no_fingerprint(frames, tmp_path):
    """It would count as measured when it comes back."""
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=3)
    measured(frames[1:], out)
    assert set(fingerprints(out)) == {str(source) for source in frames[1:]}


def test_an_error_at_the_end_keeps_what_was_measured(frames, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("fetal_jax.results.folder.JsonList.end", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(UserError, match=r"cannot be written \(full\): make room there and call again"):
            measured(frames, out)
    assert not (out / "measurements.json").exists()
    rows, new = measured(frames, out)
    assert (len(rows), new) == (3, 0)


def test_damaged_logs_are_refused_with_the_remedy(frames, tmp_path):
    out = tmp_path / "out"
    interrupt(frames, out, fail_at=2)
    for damage in ("{broken\n{}\n", '{"plane": "head"}\n'):  # the second is a line of an older version
        (out / NAME).write_text(damage)
        with pytest.raises(UserError, match=r"measuring.jsonl is damaged: remove it"):
            measured(frames, out)
    (out / NAME).unlink()
    for damage in ("{broken", "[1]"):
        (out / CALL).write_text(damage)
        with pytest.raises(UserError, match=r"call.json is damaged: remove it"):
            measured(frames, out)
    (out / CALL).unlink()
    assert measured(frames, out)[1] == 3


# -------------------------------------------------------------------------------------- one call's results a folder


def test_a_folder_holds_one_calls_results(frames, tmp_path):
    out, asked = tmp_path / "out", [tmp_path / "d0"]
    assert measured(frames[:1], out, asked=asked) == measured(frames[:1], out, asked=asked)
    with pytest.raises(UserError, match="results of a call that had other paths: give another --out"):
        measured(frames[1:2], out, asked=[tmp_path / "d1"])
    with pytest.raises(UserError, match="another spacing"):
        measured(frames[:1], out, Spacings("flag", constant=0.4), asked=asked)
    running = ResumeLog.open(out, json.loads((out / CALL).read_text()))
    with pytest.raises(UserError, match=f"another process is writing into {out}: wait"):
        measured(frames[:1], out, asked=asked)
    running.close()
    measured(frames[:1], out, asked=asked)


def test_a_call_is_the_same_from_another_folder(frames, tmp_path, monkeypatch):
    out, submission = tmp_path / "out", tmp_path / "s.csv"
    measured(frames[:1], out, asked=[tmp_path / "d0"], submission=submission)
    submission.write_text("ours")
    monkeypatch.chdir(tmp_path / "d1")
    away = {"asked": [Path("../d0")], "submission": Path("../s.csv")}
    assert measured([Source(Path("../d0/head.png"))], Path("../out"), **away)[1] == 1
    (row,) = json.loads((out / "measurements.json").read_text())
    assert row["file"] == "../d0/head.png"


def test_a_forgotten_spacing_can_be_given_afterwards(frames, tmp_path):
    out = tmp_path / "out"
    for earlier in (-1, 2):  # a run that ended, and one that was interrupted
        if earlier > 0:
            with pytest.raises(KeyboardInterrupt):
                measured(frames, out, NONE, fail_at=earlier)
        else:
            assert {r["status"] for r in measured(frames, out, NONE)[0]} == {"refused"}
        rows, new = measured(frames, out)
        assert new == 3
        assert all(r["spacing_mm"] == 0.3 for r in rows)
        out = tmp_path / "another"


ONE = {"head.png": 0.3}


@pytest.mark.parametrize(
    ("before", "now", "adds"),
    [
        (Spacings("ruler"), Spacings("csv", table=ONE, with_ruler=True), True),
        (Spacings("csv", table=ONE), Spacings("csv", table=ONE | {"femur.png": (0.2, 0.3)}), True),
        (Spacings("csv", table=ONE), Spacings("csv", table=ONE, with_ruler=True), True),
        (Spacings("csv", table=ONE), Spacings("csv", table={"head.png": 0.4, "femur.png": 0.2}), False),
        (Spacings("csv", table=ONE, with_ruler=True), Spacings("csv", table=ONE), False),
        (Spacings("ruler"), Spacings("csv", table=ONE), False),
        (Spacings("flag", constant=0.3), Spacings("csv", table=ONE), False),
    ],
)
def test_a_call_that_only_adds_spacings_replaces_the_results(frames, tmp_path, before, now, adds):
    out = tmp_path / "out"
    measured(frames[:1], out, before)
    if adds:
        assert measured(frames[:1], out, now)[1] == 1
    else:
        with pytest.raises(UserError, match="another spacing"):
            measured(frames[:1], out, now)


def test_an_older_versions_results_are_refused(frames, tmp_path):
    out = tmp_path / "out"
    measured(frames, out)
    call = json.loads((out / CALL).read_text())
    (out / CALL).write_text(json.dumps(call | {"version": "0.0.9"}))
    before = contents(out)
    with pytest.raises(UserError, match="another version of this program: give another --out"):
        measured(frames, out)
    (out / OwnFiles.LIST).unlink()  # which the first versions did not write
    with pytest.raises(UserError, match=r"an older version, .*: give another --out"):
        measured(frames, out)
    assert contents(out) == {k: v for k, v in before.items() if k != OwnFiles.LIST}


def test_results_of_files_that_are_gone_or_changed_are_deleted(frames, tmp_path):
    """One file is removed and another becomes an empty frame: reports of the first run would be wrong."""
    out, also = tmp_path / "out", ("svg", "fhir")
    measured(frames[:2], out, also=also)
    assert (out / "fhir" / "head.json").exists()
    Image.fromarray(np.zeros_like(HEADS[0].image)).save(frames[0].path)
    measured(frames[:1], out, also=also)
    assert not list((out / "fhir").iterdir())
    assert {p.name for p in (out / "overlays").iterdir()} == {"head.png", "head.svg"}

    interrupt(frames, out, fail_at=3, also=also)
    Image.fromarray(HEADS[2].image).save(frames[0].path)
    rows, _ = measured(frames, out, also=also)
    assert {f"overlays/{p.name}" for p in (out / "overlays").glob("*.png")} == {r["overlay"] for r in rows}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room there and call again"),
        (errno.EROFS, "mount its disk for writing and call again"),
        (errno.EACCES, "get permission to write there and call again"),
    ],
)
def test_what_cannot_be_written_says_what_helps(frames, tmp_path, monkeypatch, number, remedy):
    def failing(*_):
        raise OSError(number, os.strerror(number), "a.png")

    monkeypatch.setattr(ResumeLog, "save", failing)
    with pytest.raises(UserError, match=f"a.png cannot be written .*: {remedy}, or give another --out"):
        measured(frames, tmp_path / "out")


def test_a_folder_that_cannot_be_written(frames, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match=r"out cannot be written .*: check what is there .*, or give another --out"):
        measured(frames, tmp_path / "out")


# ------------------------------------------------------------------------------------------------- foreign files


@pytest.mark.parametrize(
    "name",
    [
        "measurements.csv",
        "measurements.json",
        "cines.csv",
        "contact_sheet_01.png",
        CALL,
        NAME,
        FINGERPRINTS,
        OwnFiles.LIST,
    ],
)
def test_a_folder_with_a_file_that_would_be_overwritten_is_refused(frames, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(UserError, match=r"give another --out"):
        measured(frames, out)
    assert contents(out) == {name: b"mine", LOCK: b""}


def test_a_submission_file_of_somebody_else_is_refused_before_the_work(frames, tmp_path):
    submission = tmp_path / "submission.csv"
    submission.write_text("mine")
    with pytest.raises(UserError, match=r"submission\.csv was not written by this program"):
        measured(frames, tmp_path / "out", submission=submission)
    assert submission.read_text() == "mine"
    submission.unlink()
    for _ in range(2):  # the second call replaces what the first one wrote
        measured(frames[:1], tmp_path / "out", submission=submission)
        submission.write_text("ours")
    assert submission.exists()


@pytest.mark.parametrize(
    "name",
    [
        "measurements.csv",
        "cines.csv",
        "contact_sheet_01.png",
        "overlays/head.png",
        CALL,
        NAME,
        FINGERPRINTS,
        OwnFiles.LIST,
    ],
)
def test_a_submission_that_names_one_of_the_results_is_refused(frames, tmp_path, name):
    out, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(out)
    for folder in (out, link):
        with pytest.raises(UserError, match="is one of the results: give the submission another name"):
            measured(frames, out, submission=folder / name)
    measured(frames, out, submission=out / "submission.csv")


def test_frames_and_results_of_the_same_names_live_side_by_side(frames, tmp_path):
    """`--out=.` twice, with folders of the user's own that have the names of ours."""
    out, also = tmp_path / "out", ("svg", "fhir")
    mine = ("head.png", "head.svg", "head.json", "notes.txt", "head_2.png")
    for folder in ("overlays", "fhir", "sr", "seg"):
        (out / folder).mkdir(parents=True)
        for name in mine:
            (out / folder / name).write_text(f"{folder} {name}")
    (out / "contact_sheet_final.png").write_text("mine")
    before = contents(out)
    for _ in range(2):
        rows, _ = measured(frames, out, also=also)
        assert len({r["overlay"] for r in rows} - set(before)) == 3
        assert contents(out).items() >= before.items()
    with pytest.raises(KeyboardInterrupt):
        measured(frames, out, fail_at=2, also=also)
    assert contents(out).items() >= before.items()


def test_the_report_of_somebody_else_costs_its_name_and_no_report(frames, tmp_path):
    out, notes = tmp_path / "out", []
    (out / "fhir").mkdir(parents=True)
    (out / "fhir" / "head.json").write_text("mine")
    rows, _ = measured(frames, out, also=("fhir",), note=notes.append)
    assert [row["overlay"] for row in rows] == [f"overlays/head_{n}.png" for n in (2, 3, 4)]
    assert notes == []
    assert (out / "fhir" / "head.json").read_text() == "mine"


SUFFIXES = [".png", ".svg", ".dcm", ".json", ".jsonl", ".csv", ".txt", ".draft", ".part", ".lock", ".tmp", ".zip", ""]


def foreign_files(out: Path, count: int) -> None:
    """Files with names close to ours in every folder that a call writes."""
    rng = random.Random(5)
    stems = ["head", "head_2", "head_0001", "h0", "measurement", "contact_sheet_final", "contact_sheet_a", ".fetal-jax"]
    stems += [
        "胎" * 60,
        "=1+1",
        "a b",
        "-x",
        "notes",
        "call",
        "written",
        "cine",
        "frame",
        "measuring_2",
        "Examinations",
    ]
    folders = ("overlays", "sr", "seg", "fhir", ".", "overlays/mine", "sr/head.dcm", "frames.d", ".hidden")
    made = 0
    while made < count:
        name = rng.choice(stems) + rng.choice(SUFFIXES)
        path = out / rng.choice(folders) / name
        if name in (CALL, OwnFiles.LIST, NAME, ".fetal-jax") or name == LOCK or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))
        made += 1


def kill_at_random(tmp_path: Path, calls: int, foreign: int) -> int:
    """Calls into a folder of foreign files, each killed; all foreign files are as before. Returns how many ended."""
    frames = tmp_path / "frames"
    for i in range(6):
        (frames / f"d{i}").mkdir(parents=True)
        Image.fromarray(HEADS[i % 3].image).save(frames / f"d{i}" / "head.png")
    out = tmp_path / "out"
    out.mkdir()
    foreign_files(out, foreign)
    before = contents(out)
    assert len(before) == foreign
    command = [sys.executable, "-m", "fetal_jax", "measure", str(frames), "--plane=head", "--spacing-mm=0.3"]
    command += ["--also=svg,fhir", f"--out={out}"]
    rng, ended = random.Random(6), 0
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    usual = time.monotonic() - started
    assert contents(out).items() >= before.items()
    for _ in range(calls):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, told = process.communicate(timeout=rng.uniform(0.2, 1.1) * usual)
            assert process.returncode == 0, told
            ended += 1
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        after = contents(out)
        assert {name: after.get(name) for name in before} == before
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = contents(out)
    assert {name: after.get(name) for name in before} == before
    with (out / "measurements.csv").open() as f:
        assert len(list(csv.DictReader(f))) == 6
    listed = {json.loads(line) for line in (out / OwnFiles.LIST).read_text().splitlines()[1:]}
    assert set(after) - set(before) == {name for name in listed if name != NAME} | {OwnFiles.LIST, LOCK}
    return ended


def test_a_killed_call_leaves_foreign_files_bit_for_bit(tmp_path):
    kill_at_random(tmp_path, calls=3, foreign=60)


@pytest.mark.soak
def test_fifty_killed_calls_leave_200_foreign_files_bit_for_bit(tmp_path):
    assert kill_at_random(tmp_path, calls=50, foreign=200) < 40  # or nothing was killed
