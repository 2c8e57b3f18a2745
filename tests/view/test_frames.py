"""`fetal-jax view FRAMES`: measured while the page is open, and opened again without a second measurement."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from fetal_jax.archive import pacs
from fetal_jax.errors import UserError
from fetal_jax.reading.sources import Source, find
from fetal_jax.view import frames, measuring
from fetal_jax.view.session import Session
from tests.support.command import called, fetal_jax, refused
from tests.view.folder import row, save_rows, serving, write_results
from tests.view.test_session import changed, opened


def changes(address: str) -> dict:
    with urlopen(f"{address}api/changes") as answer:
        return json.load(answer)


def test_frames_are_measured_while_the_page_is_open(tmp_path):
    write_results(tmp_path, 3, dicom=True)
    with serving(tmp_path / "frames") as server:
        end = time.monotonic() + 120
        while not (found := changes(server.address))["complete"] and time.monotonic() < end:
            time.sleep(0.2)
        assert [r["name"] for r in found["rows"]] == ["frame_00", "frame_01", "frame_02"]
        assert any(r["mm"] for r in found["rows"])
        assert server.stop()[0] == 130
    written = (tmp_path / "frames-measured" / "measurements.json").stat().st_mtime_ns
    with serving(tmp_path / "frames") as server:
        assert len(changes(server.address)["rows"]) == 3
    assert (tmp_path / "frames-measured" / "measurements.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("known", [2, 3])
def test_frames_of_finished_results_are_measured_only_if_one_is_new(tmp_path, monkeypatch, known):
    rows, out = write_results(tmp_path, 3), tmp_path / "results"
    entries = [{"file": r["file"], "fingerprint": [*Source(Path(r["file"])).fingerprint(), "a" * 64]} for r in rows]
    (out / "fingerprints.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries[:known]))
    measured, looks, enough = [], [], threading.Event()

    def look(*args, **options):
        looks.append(1)
        if len(looks) == 6:
            enough.set()
        return find(*args, **options)

    monkeypatch.setattr(measuring, "EVERY", 0.001)
    monkeypatch.setattr(measuring, "find", look)
    monkeypatch.setattr(measuring.Measuring, "_measure", lambda _: iter(measured.append(1) or ()))
    with ExitStack() as held:
        measuring.Measuring([tmp_path / "frames"], out).start(held)
        assert enough.wait(60)
    assert len(measured) == 3 - known


def test_results_of_other_frames_are_not_shown(tmp_path):
    (tmp_path / "p-measured").mkdir()
    (tmp_path / "p-measured" / "measurements.json").write_text("[]")
    (tmp_path / "p-measured" / "call.json").write_text(json.dumps({"paths": [str(tmp_path / "p.1")]}))
    (tmp_path / "p.2").mkdir()
    refused(fetal_jax("view", tmp_path / "p.2", "--no-browser"), "holds results of other frames")
    (tmp_path / "p.2" / "sub").mkdir()
    above = fetal_jax("view", tmp_path / "p.2" / "sub" / "..", "--no-browser")
    refused(above, f"{tmp_path / 'p-measured'} holds results of other frames")


def test_sweep_of_a_pacs_whose_frames_are_not_here_is_refused(tmp_path):
    write_results(tmp_path, 1)
    (tmp_path / "results" / pacs.STATE).touch()
    refused(called("view", tmp_path / "results", "--no-browser"), "without pictures: retrieve the images")


def test_frame_that_cannot_be_shown_is_rejected_but_not_accepted(tmp_path):
    rows = write_results(tmp_path, 2)
    with ExitStack() as held:
        session = opened(tmp_path, held)
        changed(session, 1, "accept", decision="accepted")
        for row in rows:
            Path(row["file"]).unlink()
        with pytest.raises(UserError, match=r"no picture, so it cannot be accepted.*bring the file back"):
            changed(session, 0, "accept", decision="accepted")
        assert changed(session, 0, "reject", decision="rejected")["answer"]["decision"] == "rejected"
        assert changed(session, 1, "comment", comment="seen before")["answer"]["decision"] == "accepted"


def rows_of(address: str, count: int) -> dict:
    """The rows, once there are so many and all is measured."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = changes(address)
        if found["complete"] and len(found["rows"]) >= count:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{count} rows have not come: {found}")


def test_frames_added_later_are_measured_and_earlier_ones_are_not_measured_again(tmp_path):
    write_results(tmp_path / "other", 2, dicom=True)
    write_results(tmp_path, 2, dicom=True)
    overlay = tmp_path / "frames-measured" / "overlays" / "frame_00.png"
    with serving(tmp_path / "frames") as server:
        first = rows_of(server.address, 2)
        drawn = overlay.stat().st_mtime_ns
        shutil.copy(tmp_path / "other" / "frames" / "frame_01.dcm", tmp_path / "frames" / "later.dcm")
        found = rows_of(server.address, 3)
        assert [r["name"] for r in found["rows"]] == ["frame_00", "frame_01", "later"]
        assert found["rows"][:2] == first["rows"]
    with serving(tmp_path / "frames") as server:  # added while nobody looked
        shutil.copy(tmp_path / "other" / "frames" / "frame_00.dcm", tmp_path / "frames" / "last.dcm")
        assert {r["name"] for r in rows_of(server.address, 4)["rows"]} == {"frame_00", "frame_01", "later", "last"}
    assert overlay.stat().st_mtime_ns == drawn


def test_frames_that_come_with_an_old_date_while_nobody_looks_are_measured(tmp_path):
    """One is new, one takes the place of another: as `cp -p`, rsync and unzip leave them."""
    write_results(tmp_path / "other", 2, dicom=True)
    write_results(tmp_path, 2, dicom=True)
    frames, other = tmp_path / "frames", tmp_path / "other" / "frames"
    for path in (*frames.iterdir(), *other.iterdir()):
        os.utime(path, (10**9, 10**9))
    with serving(frames) as server:
        first = rows_of(server.address, 2)
    shutil.copy2(other / "frame_01.dcm", frames / "later.dcm")
    shutil.copy2(other / "frame_01.dcm", frames / "frame_00.dcm")
    os.utime(frames / "frame_00.dcm", (10**9 - 9, 10**9 - 9))
    with serving(frames) as server:
        found = rows_of(server.address, 3)
    assert [r["name"] for r in found["rows"]] == ["frame_00", "frame_01", "later"]
    assert found["rows"][0]["mm"] == found["rows"][2]["mm"] != first["rows"][0]["mm"]


def named(home: Path, held: ExitStack, *files: str) -> Session:
    """A session on results of files that are called so."""
    rows = write_results(home, len(files))
    save_rows(home / "results", [r | {"file": file} for r, file in zip(rows, files, strict=True)])
    return opened(home, held)


@pytest.mark.parametrize(
    "of",
    [
        {"/d/head.png": "head", "/d/abdomen.png": "abdomen"},
        {"/d/a/abdomen.dcm": "a/abdomen", "/d/b/abdomen.dcm": "b/abdomen", "/d/b/head.dcm": "head"},
        {"/d/1/a/x.dcm": "1/a/x", "/d/2/a/x.dcm": "2/a/x", "/d/2/b/x.dcm": "b/x", "/x.dcm": "/x"},
        {"/d/a/x.dcm": "a/x.dcm", "/d/a/x.png": "a/x.png", "/d/b/x.png": "b/x"},
        {"x.png": "./x", "a/x.png": "a/x"},
        {"/d/a.zip/x.png": "a.zip/x", "/d/b.zip/x.png": "b.zip/x"},
    ],
)
def test_a_name_is_of_one_frame(tmp_path, of):
    with ExitStack() as held:
        session = named(tmp_path, held, *of)
        assert [r["name"] for r in session.changes(0, 0)["rows"]] == list(of.values())
        assert [session.frame(n)["name"] for n in range(len(of))] == list(of.values())


def test_page_is_told_of_frames_that_have_another_name_now(tmp_path):
    with ExitStack() as held:
        session = named(tmp_path, held, "/d/a/x.png", "/d/a/y.png", "/d/b/x.png")
        rows = json.loads((tmp_path / "results" / "measurements.json").read_text())
    save_rows(tmp_path / "results", rows[:2])
    with ExitStack() as held:
        session = opened(tmp_path, held)
        assert [r["name"] for r in session.changes(0, 0)["rows"]] == ["x", "y"]
        save_rows(tmp_path / "results", rows)
        found = session.changes(2, 0)
        assert [r["name"] for r in found["rows"]] == ["b/x"]
        assert [(r["n"], r["name"]) for r in found["anew"]] == [(0, "a/x")]


def test_name_that_is_no_text_is_shown_and_corrected(tmp_path):
    """A file name of a disk that was written under another encoding."""
    rows = write_results(tmp_path, 2)
    odd = os.fsdecode(b"caf\xe9.png")
    rows[0]["file"] = str(Path(rows[0]["file"]).rename(tmp_path / "frames" / odd))
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        assert changes(server.address)["rows"][0]["name"] == "caf\ufffd"
        with urlopen(f"{server.address}api/frames/0") as answer:
            answer = json.load(answer)["answer"]
        event = {"action": "accept", "after": 0, "answer": answer | {"decision": "accepted"}}
        server.post("api/frames/0/events", event)
        assert server.post("api/export", {})["corrections"] == 1
        assert changes(server.address)["answers"]["0"]["decision"] == "accepted"
    with serving(tmp_path / "results", "--reader=Ann") as server:  # the store finds the file by its name again
        assert changes(server.address)["answers"]["0"]["decision"] == "accepted"


def test_steps_through_a_cine_larger_than_the_cache_do_not_each_read_it_whole(tmp_path, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (24, 40, 60), np.uint8)
    first, *rest = map(Image.fromarray, pictures)
    first.save(tmp_path / "cine.tif", save_all=True, append_images=rest)
    save_rows(tmp_path / "results", [row(tmp_path / "cine.tif", "head", "refused") | {"frame": n} for n in range(24)])
    monkeypatch.setattr(frames, "CACHE_BYTES", 13 * 40 * 60)  # twelve pictures of noise
    reads = []
    fill = frames.Frames._fill
    monkeypatch.setattr(frames.Frames, "_fill", lambda self, *of: reads.append(of) or fill(self, *of))

    def shown(session: Session, n: int) -> None:
        data, _ = session.picture(n)
        assert (np.asarray(Image.open(BytesIO(data))) == pictures[n]).all()

    with ExitStack() as held:
        session = opened(tmp_path, held)
        for n in range(24):
            for beside in (n, *(min(n + k, 23) for k in (1, 2, 3)), max(n - 1, 0)):  # as the page asks
                shown(session, beside)
                assert len(reads) <= 3
        for n in (2, 3, 4, 1):  # back to its beginning
            shown(session, n)
        assert len(reads) <= 4
        assert session.frames._size <= 13 * 40 * 60
