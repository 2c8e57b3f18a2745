"""Frames that are measured again: with a scale, or because their file was rewritten."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.outputs.rows import Row
from fetal_jax.view import agreement, examinations, exports
from fetal_jax.view.answer import VALUES
from fetal_jax.view.session import REVIEW, Session
from fetal_jax.view.store import NAME, Conflict
from tests.view.folder import save_rows, write_examinations, write_results
from tests.view.test_readers import as_reader, read
from tests.view.test_session import changed, opened, stepped

SCALE = ("spacing_mm", "column_spacing_mm", "spacing_source", "regions_px")
NEW = [150.0, 140.0, 80.0, 60.0, 0.1]


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def without_scale(of: Row) -> Row:
    """The row that `measure` writes where no spacing is known: the outline is there, a value is not."""
    empty = dict.fromkeys((*SCALE, *VALUES, "ga_weeks", "ga_standard"))
    return of | empty | {"status": "refused", "reason": "no spacing"}


def exported(home: Path) -> list[dict]:
    with (home / "results" / REVIEW / exports.TABLE).open(newline="") as f:
        return list(csv.DictReader(f))


def pairs(session: Session) -> dict[tuple[str, str], dict]:
    return {(p["one"], p["other"]): p for p in agreement.table(session)["pairs"]}


def test_frames_accepted_without_a_scale_are_open_with_their_values_once_there_is_one(tmp_path, held):
    rows = write_results(tmp_path, 2, dicom=True)
    save_rows(tmp_path / "results", [without_scale(r) for r in rows])
    with ExitStack() as first:
        session = opened(tmp_path, first)
        assert changed(session, 0, "pull", ellipse=NEW)["mm"]["hc_mm"] is None
        for n in (0, 1):
            changed(session, n, "accept", decision="accepted")
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held)
    state = session.frame(0)
    hc = state["mm"]["hc_mm"]
    assert hc == pytest.approx(2 * np.pi * 70 * rows[0]["spacing_mm"], rel=0.02)
    assert state["answer"]["decision"] == ""  # nobody has seen this value
    assert session.changes(0, 0)["answers"][0]["mm"] == hc
    done = exports.write(session)
    assert (done["frames"], done["reports"], done["corrections"]) == (0, 0, 0)
    assert done["left_out"] == [f"frame_0{n}: Ann accepted it without millimetres: accept its value" for n in (0, 1)]
    assert state["open_again"] == "You accepted it without millimetres: accept its value."
    assert not (tmp_path / "results" / REVIEW / "fhir").exists()
    assert agreement.table(session)["pairs"] == []
    for n in (0, 1):
        changed(session, n, "accept", decision="accepted")
    done = exports.write(session)
    assert (done["left_out"], done["reports"]) == ([], 2)
    cells = exported(tmp_path)
    assert [float(cells[0]["hc_mm"]), float(cells[1]["ac_mm"])] == pytest.approx([hc, rows[1]["ac_mm"]], abs=1e-3)
    assert float(cells[0]["hc_machine_mm"]) == pytest.approx(rows[0]["hc_mm"], abs=1e-3)
    (fhir,) = {
        e["resource"]["valueQuantity"]["value"]
        for e in json.loads((tmp_path / "results" / REVIEW / "fhir" / "00001.json").read_text())["entry"]
        if "HC" in json.dumps(e["resource"]["code"]) or "11984-2" in json.dumps(e["resource"]["code"])
    }
    assert fhir == pytest.approx(hc, abs=0.01)
    assert [q["key"] for q in pairs(session)["", "Ann"]["quantities"]] == ["hc_mm", "bpd_mm", "ofd_mm", "ac_mm"]


def test_outline_that_differs_by_rounding_is_not_corrected(tmp_path, held):
    rows = write_results(tmp_path, 2)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    rows[0]["ellipse_px"] = [cx + 1e-10, cy, a, b - 1e-10, theta]
    save_rows(tmp_path / "results", rows)
    session.results.refresh()
    state = session.state(0)
    assert (state["answer"]["decision"], state["brief"]["edited"]) == ("accepted", False)
    turned = changed(session, 0, "turn", ellipse=[cx, cy, a, b, theta + 0.1 / a])  # the smallest step of a key
    assert turned["brief"]["edited"]


def test_readings_without_a_scale_are_compared_once_there_is_one(tmp_path, held):
    rows = write_results(tmp_path, 1)
    save_rows(tmp_path / "results", [without_scale(r) for r in rows])
    read(tmp_path, "Ann", [1.0])
    read(tmp_path, "Bob", [1.12])
    save_rows(tmp_path / "results", rows)
    session = as_reader(tmp_path, held, "Cid", "adjudicator")
    assert session.changes(0, 0)["apart"][0]["text"] == "12.0 % apart"
    readings = [r["mm"]["hc_mm"] for r in session.frame(0)["readings"]]
    assert readings == pytest.approx([rows[0]["hc_mm"], rows[0]["hc_mm"], 1.12 * rows[0]["hc_mm"]])


def test_adjudicators_list_follows_frames_that_are_measured_again(tmp_path, held):
    rows = write_results(tmp_path, 2)
    read(tmp_path, "Ann", [1.0, 1.0])
    read(tmp_path, "Bob", [1.12, 1.12])
    session = as_reader(tmp_path, held, "Cid", "adjudicator")
    first = session.changes(0, 0)
    assert {n: of["first"] for n, of in first["apart"].items()} == {0: True, 1: True}
    save_rows(tmp_path / "results", [rows[0] | {"ellipse_px": NEW}, rows[1]])
    found = session.changes(2, first["event"], 0, first["remeasured"])
    assert found["apart"] == {0: {"text": "", "first": False}}  # no reading is of this outline


def test_values_that_the_machine_refused_are_nowhere_the_machines(tmp_path, held):
    rows = write_results(tmp_path, 4)
    refused = rows[3] | {"status": "refused", "reason": "implausible size"} | dict.fromkeys(VALUES)
    save_rows(tmp_path / "results", [*rows[:3], refused])
    session = opened(tmp_path, held)
    found = session.frame(3)
    assert set(found["machine_mm"].values()) == {None}
    assert found["mm"]["hc_mm"] > 0  # the outline's own: a person may accept it
    changed(session, 3, "accept", decision="accepted")
    exports.write(session)
    (cells,) = exported(tmp_path)
    assert (cells["hc_machine_mm"], float(cells["hc_mm"])) == ("", pytest.approx(found["mm"]["hc_mm"], abs=1e-3))
    assert pairs(session)["", "Ann"]["quantities"] == []


def as_early_event(home: Path, machine_mm: dict) -> None:
    """Make the one event what earlier versions wrote: a value of a refused frame, and nothing of scale and plane."""
    db = sqlite3.connect(home / "results" / REVIEW / NAME)
    (machine,) = db.execute("SELECT machine FROM events").fetchone()
    early = {k: v for k, v in json.loads(machine).items() if k in ("role", "answer", "status")} | {"mm": machine_mm}
    db.executescript("DROP TRIGGER no_update")
    db.execute("UPDATE events SET machine = ?", [json.dumps(early)])
    db.commit()
    db.close()


def test_refused_values_of_early_events_are_left_out_too(tmp_path, held):
    rows = write_results(tmp_path, 4)
    refused = rows[3] | {"status": "refused", "reason": "implausible size"} | dict.fromkeys(VALUES)
    save_rows(tmp_path / "results", [*rows[:3], refused])
    with ExitStack() as first:
        changed(opened(tmp_path, first), 3, "accept", decision="accepted")
    as_early_event(tmp_path, dict.fromkeys(VALUES) | {"hc_mm": 99.0})
    session = opened(tmp_path, held)
    exports.write(session)
    (cells,) = exported(tmp_path)
    assert cells["hc_machine_mm"] == ""
    assert float(cells["hc_mm"]) > 0
    assert pairs(session)["", "Ann"]["quantities"] == []


OTHERS = [
    {"ellipse_px": [160.0, 140.0, 80.0, 60.0, 0.1]},
    {"plane": "abdomen"},
    {"spacing_mm": 0.3, "column_spacing_mm": 0.3},
    {"spacing_mm": None, "column_spacing_mm": None},
    {"ellipse_px": None, "plane": None, "status": "error"},
    {"plane_probability": 0.7},
]


@pytest.mark.parametrize("other", OTHERS)
def test_outline_of_a_file_that_was_rewritten_is_not_signed_for_the_new_one(tmp_path, held, other):
    rows = write_results(tmp_path, 2, dicom=True)
    with ExitStack() as first:
        session = opened(tmp_path, first)
        for n in (0, 1):
            changed(session, n, "tick", ticks={f"{rows[n]['plane']}.symmetric": True}, comment="mine")
            changed(session, n, "accept", decision="accepted")
        assert exports.write(session)["reports"] == 2
    save_rows(tmp_path / "results", [rows[0] | other, rows[1]])
    session = opened(tmp_path, held)
    state = session.state(0)
    assert (state["answer"]["decision"], state["answer"]["ticks"], state["answer"]["comment"]) == ("", {}, "mine")
    assert state["answer"]["ellipse"] == session.frame(0)["machine"]["ellipse"]
    assert (state["open_again"], session.state(1)["open_again"]) == (
        "Measured again since you answered: look again.",
        "",
    )
    assert [a["decision"] for a in session.changes(0, 0)["answers"].values()] == ["", "accepted"]
    done = exports.write(session)
    assert done["left_out"] == ["frame_00: measured again since Ann answered: look again"]
    assert (done["corrections"], done["frames"], done["reports"]) == (1, 1, 1)
    review = tmp_path / "results" / REVIEW
    for name in ("sr/00001.dcm", "fhir/00001.json", f"{exports.DATA_SET}/00001.png"):
        assert not (review / name).exists()
        assert (review / name.replace("1.", "2.")).is_file()
    assert pairs(session)["", "Ann"]["frames"] == 1


def test_another_readers_frame_is_no_task_of_the_one_who_exports(tmp_path, held):
    rows = write_results(tmp_path, 2, dicom=True)
    save_rows(tmp_path / "results", [rows[0], without_scale(rows[1])])
    with ExitStack() as first:
        session = opened(tmp_path, first)
        for n in (0, 1):
            changed(session, n, "accept", decision="accepted")
    save_rows(tmp_path / "results", [rows[0] | OTHERS[0], rows[1]])
    session = opened(tmp_path, held, "Bob")
    assert exports.write(session)["left_out"] == [
        "frame_00: measured again since Ann answered: Ann has to look again",
        "frame_01: Ann accepted it without millimetres: Ann has to look again",
    ]
    assert [session.state(n)["open_again"] for n in (0, 1)] == ["", ""]


def test_frame_that_was_measured_again_is_accepted_again(tmp_path, held):
    rows = write_results(tmp_path, 1)
    with ExitStack() as first:
        session = opened(tmp_path, first)
        changed(session, 0, "pull", ellipse=NEW)
        changed(session, 0, "accept", decision="accepted")
    other = rows[0] | {"ellipse_px": [170.0, 140.0, 90.0, 60.0, 0.1]}
    save_rows(tmp_path / "results", [other])
    session = opened(tmp_path, held)
    assert session.state(0)["answer"]["ellipse"] == NEW  # the person's own outline stays to be looked at
    changed(session, 0, "accept", decision="accepted")
    done = exports.write(session)
    assert (done["left_out"], done["frames"]) == ([exports.reports.NO_DICOM], 1)


def test_page_is_told_what_was_measured_again(tmp_path, held):
    rows = write_results(tmp_path, 3)
    session = opened(tmp_path, held)
    changed(session, 1, "accept", decision="accepted")
    first = session.changes(0, 0)
    assert (first["anew"], first["remeasured"]) == ([], 0)
    save_rows(tmp_path / "results", [rows[0], rows[1] | {"ellipse_px": NEW, "status": "review"}, rows[2]])
    found = session.changes(3, first["event"], 0, first["remeasured"])
    assert ([(r["n"], r["status"]) for r in found["anew"]], found["remeasured"]) == ([(1, "review")], 1)
    assert [(n, a["decision"]) for n, a in found["answers"].items()] == [(1, "")]
    assert session.changes(3, found["event"], 0, 1)["anew"] == []
    assert session.changes(0, 0)["anew"] == []  # a page that is opened now has all rows of today


def test_another_processors_rounding_is_not_another_picture(tmp_path, held):
    rows = write_results(tmp_path, 1)
    with ExitStack() as first:
        changed(opened(tmp_path, first), 0, "accept", decision="accepted")
    rounded = {"ellipse_px": [v + 1e-4 for v in rows[0]["ellipse_px"]], "plane_probability": 0.99001}
    save_rows(tmp_path / "results", [rows[0] | rounded])
    assert opened(tmp_path, held).state(0)["answer"]["decision"] == "accepted"


def test_adjudicator_does_not_see_readings_of_an_earlier_file(tmp_path, held):
    rows = write_results(tmp_path, 1)
    read(tmp_path, "Ann", [1.0])
    save_rows(tmp_path / "results", [rows[0] | {"ellipse_px": NEW}])
    session = as_reader(tmp_path, held, "Cid", "adjudicator")
    assert [r["reader"] for r in session.frame(0)["readings"]] == [""]
    with pytest.raises(ValueError, match="no answer in this frame"):
        session.change(0, {"action": "choose", "after": 0, "reader": "Ann"})


def measured_again(home: Path, rows: list[Row], n: int = 0) -> None:
    """Write the results of a file that was rewritten: the outline is another one."""
    save_rows(home / "results", [r | {"ellipse_px": NEW} if i == n else r for i, r in enumerate(rows)])


def test_what_was_pressed_beside_the_old_picture_is_not_recorded(tmp_path, held):
    rows = write_results(tmp_path, 2)
    session = opened(tmp_path, held)
    seen = session.state(0)
    event = {"action": "accept", "after": 0, "beside": seen["beside"]}
    accepted = event | {"answer": seen["answer"] | {"decision": "accepted"}}
    with pytest.raises(Conflict):
        session.change(1, accepted)  # the number is another frame's
    measured_again(tmp_path, rows)
    session.changes(0, 0)
    with pytest.raises(Conflict):
        session.change(0, accepted)
    now = session.state(0)
    assert now["version"] == 0
    state = session.change(0, accepted | {"beside": now["beside"], "answer": now["answer"] | {"decision": "accepted"}})
    assert (state["answer"]["ellipse"], state["answer"]["decision"]) == (NEW, "accepted")


def test_undo_brings_back_no_answer_from_before_a_new_measurement(tmp_path, held):
    rows = write_results(tmp_path, 2)
    session = opened(tmp_path, held)
    changed(session, 0, "accept", decision="accepted")
    changed(session, 0, "comment", comment="mine")
    stepped(session, 0, "undo")
    measured_again(tmp_path, rows)
    session.changes(0, 0)
    state = session.state(0)
    assert (state["undo"], state["redo"], state["answer"]["decision"]) == (0, 0, "")
    for action in ("undo", "redo"):
        with pytest.raises(UserError, match="measured again"):
            stepped(session, 0, action)
    changed(session, 0, "reject", decision="rejected")
    state = stepped(session, 0, "undo")
    assert (state["answer"]["ellipse"], state["answer"]["decision"], state["undo"]) == (NEW, "", 0)
    assert exports.write(session)["reports"] == 0
    assert exported(tmp_path)[0]["decision"] == ""
    held.close()
    with ExitStack() as again:  # the same from the file
        assert opened(tmp_path, again).state(0)["undo"] == 0


def test_frame_that_is_measured_into_another_examination_leaves_its_old_one(tmp_path, held):
    rows = write_examinations(tmp_path, 2)
    session = opened(tmp_path, held)
    changes = session.changes(0, 0)
    names = [e["name"] for e in changes["examinations"]]
    assert [r["k"] for r in changes["rows"]] == [0, 0, 0, 1, 1, 1]
    moved = [r | {"examination": names[1], "patient": rows[-1]["patient"]} for r in rows]
    save_rows(tmp_path / "results", moved)
    found = session.changes(6, 0, 2)
    assert [(r["n"], r["k"]) for r in found["anew"]] == [(0, 1), (1, 1), (2, 1)]
    with pytest.raises(UserError, match="measured again"):
        examinations.shown(session, 0)
    pregnancy, visit = examinations.of_machine(session, 1)
    assert len(pregnancy.visits[visit].examination.rows) == 6
