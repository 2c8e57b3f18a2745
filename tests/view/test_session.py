"""Values, events and exports behind the page, without a browser."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse
from fetal_jax.inference.acceptance import GIVE_PLANE
from fetal_jax.reading.images import write_png
from fetal_jax.reading.sources import Source
from fetal_jax.view import exports, store
from fetal_jax.view.answer import Answer
from fetal_jax.view.session import CHOOSE_PLANE, REVIEW, Session
from fetal_jax.view.store import APPLICATION, NAME, Conflict
from tests.support.dicom_files import region, save, ultrasound
from tests.view.folder import row, save_rows, write_results


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def opened(home: Path, held: ExitStack, reader: str = "Ann") -> Session:
    return Session.open(home / "results", reader, held)


def changed(session: Session, n: int, action: str, **values: object) -> dict:
    now = session.state(n)
    return session.change(n, {"action": action, "after": now["version"], "answer": now["answer"] | values})


def stepped(session: Session, n: int, action: str) -> dict:
    return session.change(n, {"action": action, "after": session.state(n)["version"]})


def test_values_follow_the_library_where_pixels_are_not_square():
    answer = Answer("head", Ellipse(100, 90, 60, 45, 0.4))
    mm = answer.millimetres((0.2, 0.3))
    points = Ellipse(100, 90, 60, 45, 0.4).points(20_000) * (0.3, 0.2)
    around = np.hypot(*(np.roll(points, -1, 0) - points).T).sum()
    assert mm["hc_mm"] == pytest.approx(around, abs=1e-3)
    assert mm["bpd_mm"] < mm["ofd_mm"]
    assert answer.millimetres(None) == dict.fromkeys(mm)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("plane", "moon", "plane is one of"),
        ("ellipse", [1, 2, 3, 4], "five finite numbers"),
        ("ellipse", [1, 2, 0, 4, 0], "above 0"),
        ("ellipse", [1, 2, math.inf, 4, 0], "five finite numbers"),
        ("ellipse", [1, 2, True, 4, 0], "five finite numbers"),
        ("shaft", [1, 1, 1, 1, 2], "two different ends"),
        ("decision", "perhaps", "accepted, rejected or empty"),
        ("comment", "x" * 2001, "at most 2000"),
        ("comment", 7, "at most 2000"),
    ],
)
def test_impossible_answer_is_refused(key, value, message):
    data = Answer("head", Ellipse(9, 9, 4, 3, 0)).json() | {key: value}
    with pytest.raises(ValueError, match=message):
        Answer.parse(data)


def test_answer_survives_json():
    answer = Answer.parse({"plane": "femur", "ellipse": [1, 2, 3, 4, 0], "shaft": [1, 2, 3, 4, None]} | EMPTY)
    assert answer.ellipse.a == 4
    assert math.isnan(answer.shaft.width)
    assert Answer.parse(json.loads(json.dumps(answer.json()))).json() == answer.json()


EMPTY = {"decision": "", "comment": ""}


def test_undo_and_redo_survive_another_process(tmp_path, held):
    rows = write_results(tmp_path, 3)
    with ExitStack() as first:
        session = opened(tmp_path, first)
        changed(session, 0, "move", ellipse=[150, 140, 80, 60, 0.1])
        changed(session, 0, "accept", decision="accepted")
        stepped(session, 0, "undo")
    session = opened(tmp_path, held)
    state = session.state(0)
    assert (state["undo"], state["redo"]) == (1, 1)
    assert state["answer"]["ellipse"] == [150, 140, 80, 60, 0.1]
    assert stepped(session, 0, "redo")["answer"]["decision"] == "accepted"
    stepped(session, 0, "undo")
    assert stepped(session, 0, "undo")["answer"]["ellipse"] == pytest.approx(rows[0]["ellipse_px"])
    with pytest.raises(UserError, match="nothing to undo"):
        stepped(session, 0, "undo")
    changed(session, 0, "comment", comment="other")
    assert session.state(0)["redo"] == 0  # a new change ends what could be redone


def test_page_names_its_own_remedy_for_another_plane(tmp_path, held):
    write_results(tmp_path, 1)
    rows = [row(tmp_path / "frames" / "frame_00.png", "other", "refused", reason=f"another plane: {GIVE_PLANE}")]
    save_rows(tmp_path / "results", rows)
    assert opened(tmp_path, held).frame(0)["reason"] == f"another plane: {CHOOSE_PLANE}"


def test_second_tab_does_not_overwrite_the_first(tmp_path, held):
    write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    answer = session.state(0)["answer"]
    session.change(0, {"action": "comment", "after": 0, "answer": answer | {"comment": "first"}})
    with pytest.raises(Conflict):
        session.change(0, {"action": "comment", "after": 0, "answer": answer | {"comment": "second"}})
    assert session.state(0)["answer"]["comment"] == "first"


def test_event_sent_again_is_recorded_once(tmp_path, held):
    write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    answer = session.state(0)["answer"]
    first = {"action": "comment", "after": 0, "answer": answer | {"comment": "first"}, "id": "a" * 32}
    state = session.change(0, first)
    assert session.change(0, first) == state  # its reply was lost
    assert [e["action"] for e in state["events"]] == ["comment"]
    session.change(0, {"action": "undo", "after": state["version"], "id": "b" * 32})
    assert session.change(0, {"action": "undo", "after": state["version"], "id": "b" * 32})["undo"] == 0
    with pytest.raises(Conflict):  # another tab was between: what is shown is not what was sent
        session.change(0, first)
    assert session.state(0)["answer"] == answer


@pytest.mark.parametrize("wrong", ["", "x" * 65, 7, None])
def test_impossible_id_is_refused(tmp_path, held, wrong):
    write_results(tmp_path, 1)
    with pytest.raises(ValueError, match="id is a text of 1 to 64"):
        opened(tmp_path, held).change(0, {"action": "undo", "after": 0, "id": wrong})


def test_events_can_only_be_added(tmp_path, held):
    write_results(tmp_path, 1)
    changed(opened(tmp_path, held), 0, "reject", decision="rejected")
    with sqlite3.connect(tmp_path / "results" / REVIEW / NAME) as db:
        for statement in ("UPDATE events SET reader = 'Eve'", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"):
                db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("application", "version", "message"), [(7, 1, "not written by"), (APPLICATION, store.SCHEMA + 1, "later")]
)
def test_foreign_or_newer_file_is_refused(tmp_path, held, application, version, message):
    write_results(tmp_path, 1)
    (tmp_path / "results" / REVIEW).mkdir()
    db = sqlite3.connect(tmp_path / "results" / REVIEW / NAME)
    db.executescript(f"PRAGMA application_id = {application}; PRAGMA user_version = {version}; CREATE TABLE t (a)")
    db.close()
    with pytest.raises(UserError, match=message):
        opened(tmp_path, held)


def test_second_server_is_read_only_and_follows(tmp_path, held):
    write_results(tmp_path, 2)
    first, second = opened(tmp_path, held), opened(tmp_path, held)
    assert first.about()["writable"]
    assert not second.about()["writable"]
    changed(first, 1, "accept", decision="accepted")
    assert second.changes(0, 0)["answers"][1]["decision"] == "accepted"
    with pytest.raises(UserError, match="another server"):
        changed(second, 1, "reject", decision="rejected")


def test_event_that_comes_while_answers_are_read_is_told_next_time(tmp_path, held, monkeypatch):
    write_results(tmp_path, 2)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    number, between = session.results.number, ["once"]

    def slow(file: str, frame: int) -> int | None:
        if between:
            between.clear()
            changed(session, 1, "reject", decision="rejected")
        return number(file, frame)

    monkeypatch.setattr(session.results, "number", slow)
    first = session.changes(0, 0)
    assert list(first["answers"]) == [0]
    assert session.changes(2, first["event"])["answers"][1]["decision"] == "rejected"


def test_correction_on_a_full_disk_is_an_error_of_the_disk(tmp_path, held):
    write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    session.store._db.execute("PRAGMA max_page_count = 1")  # SQLite takes the pages that there are
    recorded = []

    def fill() -> None:
        while True:
            recorded.append(changed(session, 0, "comment", comment=f"{len(recorded)} " + "x" * 1990)["version"])

    with pytest.raises(OSError, match="database or disk is full"):
        fill()
    assert session.state(0)["version"] == len(recorded)
    session.store._db.execute("PRAGMA max_page_count = 1000")
    assert changed(session, 0, "comment", comment="now")["answer"]["comment"] == "now"


class FullDisk(sqlite3.Connection):
    """A connection to a disk without room."""

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA user_version ="):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *values)


@pytest.mark.parametrize("there", [False, True])
def test_full_disk_is_named_when_the_corrections_are_opened(tmp_path, held, monkeypatch, there):
    write_results(tmp_path, 1)
    if there:  # of an earlier version, which is to be marked as read
        with ExitStack() as first:
            opened(tmp_path, first)
        db = sqlite3.connect(tmp_path / "results" / REVIEW / NAME)
        db.execute("PRAGMA user_version = 1")
        db.close()
    monkeypatch.setattr(store.sqlite3, "connect", partial(sqlite3.connect, factory=FullDisk))
    monkeypatch.setattr(store, "_CREATE", f"PRAGMA max_page_count = 1; {store._CREATE}")
    with pytest.raises(UserError, match=r"sqlite cannot be opened \(database or disk is full\): make room on its disk"):
        opened(tmp_path, held)


def test_corrections_that_may_not_be_written_are_no_full_disk(tmp_path, held):
    write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    session.store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(UserError, match=r"readonly database.*: check who may write there"):
        changed(session, 0, "accept", decision="accepted")
    session.store._db.execute("PRAGMA query_only = 0")
    assert changed(session, 0, "accept", decision="accepted")["answer"]["decision"] == "accepted"


def test_readers_have_answers_of_their_own(tmp_path, held):
    write_results(tmp_path, 1)
    with ExitStack() as first:
        changed(opened(tmp_path, first, "Ann"), 0, "reject", decision="rejected")
    session = opened(tmp_path, held, "Bob")
    assert session.state(0)["answer"]["decision"] == ""
    changed(session, 0, "accept", decision="accepted")
    exports.write(session)
    entries = json.loads((tmp_path / "results" / REVIEW / exports.JSON).read_text())["corrections"]
    assert [(e["reader"], e["decision"]) for e in entries] == [("Ann", "rejected"), ("Bob", "accepted")]


def test_results_are_followed_while_measure_writes(tmp_path, held):
    rows = write_results(tmp_path, 3)
    folder = tmp_path / "results"
    (folder / "measurements.json").unlink()
    log = folder / "measuring.jsonl"
    lines = [json.dumps({"file": r["file"], "fingerprint": [], "rows": [r]}) + "\n" for r in rows]
    log.write_text(lines[0] + lines[1][:50])  # a line that is being written
    session = opened(tmp_path, held)
    found = session.changes(0, 0)
    assert len(found["rows"]) == 1
    assert not found["complete"]
    with log.open("a") as f:
        f.write(lines[1][50:])
    assert [r["n"] for r in session.changes(1, 0)["rows"]] == [1]
    save_rows(folder, rows)
    log.unlink()
    found = session.changes(2, 0)
    assert [r["n"] for r in found["rows"]] == [2]
    assert found["complete"]


def test_both_values_are_exported(tmp_path, held):
    rows = write_results(tmp_path, 3)
    rows[0]["file"] = str(Path(rows[0]["file"]).rename(tmp_path / "frames" / "=cmd().png"))
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held)
    changed(session, 0, "pull", ellipse=[150, 140, 80, 60, 0.1], comment="=HYPERLINK(1)")
    exports.write(session)
    folder = tmp_path / "results" / REVIEW
    with (folder / exports.TABLE).open(newline="") as f:
        (cells,) = csv.DictReader(f)
    mm = rows[0]["spacing_mm"]
    assert float(cells["hc_machine_mm"]) == pytest.approx(rows[0]["hc_mm"], abs=1e-3)
    assert float(cells["hc_mm"]) == pytest.approx(Ellipse(150, 140, 80, 60, 0.1).perimeter * mm, abs=1e-3)
    assert cells["reader"] == "Ann"
    assert cells["comment"].startswith("'=")
    (entry,) = json.loads((folder / exports.JSON).read_text())["corrections"]
    assert entry["machine"]["ellipse_px"] == pytest.approx(rows[0]["ellipse_px"])
    assert entry["person"]["ellipse_px"] == [150, 140, 80, 60, 0.1]


def test_accepted_frame_without_outline_is_refused(tmp_path, held):
    path = tmp_path / "results" / "a.png"
    save_rows(tmp_path / "results", [row(path, "head", "refused")])
    with pytest.raises(ValueError, match="no outline of the head"):
        changed(opened(tmp_path, held), 0, "accept", decision="accepted")


def test_foreign_file_of_an_exports_name_is_left_alone(tmp_path, held):
    write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    theirs = tmp_path / "results" / REVIEW / exports.TABLE
    theirs.write_text("mine")
    with pytest.raises(UserError, match="was not written by this program"):
        exports.write(session)
    assert theirs.read_text() == "mine"


def test_frame_that_is_gone_shows_its_overlay(tmp_path, held):
    rows = write_results(tmp_path, 1)
    picture = tmp_path / "results" / "overlays" / "frame_00.png"
    Path(rows[0]["file"]).rename(picture)
    session = opened(tmp_path, held)
    assert session.frames.png(session.row(0)) == (picture.read_bytes(), False)
    rows[0]["overlay"] = "../../secret.png"
    picture.rename(tmp_path / "secret.png")
    with pytest.raises(UserError, match="bring the file back"):
        session.frames.png(rows[0])


def test_file_that_was_replaced_after_the_measurement_is_not_shown(tmp_path, held):
    """A scanner's export is called alike for every patient."""
    rows = write_results(tmp_path, 2)
    lines = [json.dumps({"file": r["file"], "fingerprint": Source(Path(r["file"])).fingerprint()}) for r in rows]
    (tmp_path / "results" / "fingerprints.jsonl").write_text("\n".join(lines) + "\n")
    session = opened(tmp_path, held)
    assert session.frames.png(session.row(0))[1]
    Path(rows[0]["file"]).write_bytes(Path(rows[1]["file"]).read_bytes())
    with pytest.raises(UserError, match="has changed since"):
        session.frames.png(session.row(0))
    with pytest.raises(UserError, match="no picture, so it cannot be accepted"):
        changed(session, 0, "accept", decision="accepted")


@pytest.mark.parametrize("factor", [1, 1.2])
def test_no_millimetres_outside_the_region_of_a_dicom_spacing(tmp_path, held, factor):
    """Nor anywhere, if the header's scale is another one than the frame was measured with."""
    (row,) = write_results(tmp_path, 1, dicom=True)
    mm = row["spacing_mm"] * factor
    part = region(mm, mm, RegionLocationMinX0=10, RegionLocationMaxX1=250, RegionLocationMaxY1=299)
    save(ultrasound(np.zeros((300, 400), np.uint8), [part]), tmp_path / "frames" / "frame_00.dcm")
    session = opened(tmp_path, held)
    inside = changed(session, 0, "move", ellipse=[150, 140, 80, 60, 0])
    assert (inside["mm"]["hc_mm"] is not None) == (factor == 1)
    state = changed(session, 0, "move", ellipse=[180, 140, 80, 60, 0])
    assert set(state["mm"].values()) == {None}
    assert state["age"] is None


def test_refused_frame_of_an_early_version_without_a_reason_is_shown(tmp_path, held):
    """Rows of versions 1 and 2 have no regions_px, and the reason may be null; their file is gone."""
    gone = tmp_path / "gone.png"
    numbers = {"ellipse_px": [150.0, 140.0, 80.0, 60.0, 0.1], "spacing_mm": 0.2, "column_spacing_mm": 0.2}
    save_rows(tmp_path / "results", [row(gone, "head", "measured", **numbers)])
    assert opened(tmp_path, held).frame(0)["mm"]["hc_mm"] > 0


def test_picture_of_a_file_that_was_rewritten_is_the_new_one(tmp_path, held):
    (row_,) = write_results(tmp_path, 1)
    session = opened(tmp_path, held)
    before = session.picture(0)[0]
    write_png(Path(row_["file"]), np.full((200, 180), 77, np.uint8))
    after = session.picture(0)[0]
    assert after != before
    assert session.frames.size(session.row(0)) == (180, 200)
