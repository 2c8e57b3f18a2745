"""The checklist of a plane: ours by geometry, the rest a reader's."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from contextlib import ExitStack

import pytest

from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.view import checklist, exports
from fetal_jax.view.session import REVIEW
from fetal_jax.view.store import NAME
from tests.view.folder import save_rows, write_examinations
from tests.view.test_session import changed, opened, stepped

FRAME = (400.0, 300.0)


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def met(items: list[dict]) -> dict[str, bool | None]:
    return {i["item"].partition(".")[2]: i["met"] for i in items}


def test_six_items_of_an_ellipse_four_of_a_femur():
    assert {plane: len(items) for plane, items in checklist.ITEMS.items()} == {"head": 6, "abdomen": 6, "femur": 4}


@pytest.mark.parametrize(("a", "b", "fills"), [(101, 70, True), (99, 70, False), (80, 76, True), (80, 74, False)])
def test_more_than_half_of_either_side_fills(a, b, fills):
    assert checklist.judged("head", Ellipse(200, 150, a, b, 0), FRAME)["head.fills"] is fills


@pytest.mark.parametrize(("degrees", "column_mm", "under"), [(44, 1, True), (46, 1, False), (46, 1.2, True)])
def test_angle_of_a_femur_is_that_in_millimetres(degrees, column_mm, under):
    bone = Shaft(100, 100, 100 + 90 * math.cos(math.radians(degrees)), 100 - 90 * math.sin(math.radians(degrees)), 8)
    assert checklist.judged("femur", bone, FRAME, (1.0, column_mm))["femur.angle"] is under


def test_roundness_and_fit_are_judged():
    round_, flat = Ellipse(200, 150, 100, 86, 0.3), Ellipse(200, 150, 100, 84, 0.3)
    assert checklist.judged("abdomen", round_, FRAME)["abdomen.symmetric"] is True
    assert checklist.judged("abdomen", flat, FRAME)["abdomen.symmetric"] is False
    assert checklist.judged("abdomen", flat, FRAME, None, ["poor fit"])["abdomen.calipers"] is False
    assert checklist.judged("abdomen", flat, FRAME, None, ["leaves the frame"])["abdomen.calipers"] is True
    assert "abdomen.calipers" not in checklist.judged("abdomen", flat, FRAME)  # a person drew it
    assert "head.symmetric" not in checklist.judged("head", round_, FRAME)
    assert checklist.judged("other", round_, FRAME) == {}


def test_reader_goes_before_ours_and_a_new_outline_opens_its_items(tmp_path, held):
    rows = write_examinations(tmp_path, 1)
    session = opened(tmp_path, held)
    assert met(session.state(0)["checklist"]) == {
        **{"symmetric": None, "thalami": None, "cavum": None, "cerebellum": None},
        **{"fills": True, "calipers": True},
    }
    ticks = {"head.thalami": True, "head.cavum": False, "head.calipers": False}
    state = changed(session, 0, "tick", ticks=ticks)
    assert {k: met(state["checklist"])[k] for k in ("thalami", "cavum", "calipers")} == {
        **{"thalami": True, "cavum": False},
        "calipers": False,
    }
    assert checklist.score(state["checklist"]) == "2 of 6, 2 open"
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    state = changed(session, 0, "move", ellipse=[cx + 3, cy, a, b, theta])
    assert state["answer"]["ticks"] == {"head.thalami": True, "head.cavum": False}
    assert met(state["checklist"])["calipers"] is None
    assert stepped(session, 0, "undo")["answer"]["ticks"] == ticks


def test_the_machines_outline_again_keeps_comment_and_ticks(tmp_path, held):
    rows = write_examinations(tmp_path, 1)
    session = opened(tmp_path, held)
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    said = {"comment": "moved", "ticks": {"head.thalami": True, "head.calipers": False}}
    changed(session, 0, "tick", ellipse=[cx + 3, cy, a, b, theta], **said)
    answer = changed(session, 0, "reset")["answer"]
    assert answer["ellipse"] == pytest.approx(rows[0]["ellipse_px"])
    assert (answer["comment"], answer["ticks"]) == ("moved", {"head.thalami": True})


@pytest.mark.parametrize("ticks", [{"head.tail": True}, {"head.thalami": 1}, ["head.thalami"], None])
def test_ticks_that_cannot_be_are_refused(tmp_path, held, ticks):
    write_examinations(tmp_path, 1)
    with pytest.raises(ValueError, match="ticks"):
        changed(opened(tmp_path, held), 0, "tick", ticks=ticks)


def test_ticks_are_exported(tmp_path, held):
    write_examinations(tmp_path, 1)
    session = opened(tmp_path, held)
    changed(session, 2, "tick", ticks={"femur.ends": True})
    changed(session, 2, "accept", decision="accepted")
    exports.write(session)
    folder = tmp_path / "results" / REVIEW
    (entry,) = json.loads((folder / exports.JSON).read_text())["corrections"]
    assert {i["item"]: (i["met"], i["by"]) for i in entry["checklist"]}["femur.ends"] == (True, "reader")
    with (folder / exports.TABLE).open(newline="") as f:
        (cells,) = csv.DictReader(f)
    assert "femur.ends=met (reader)" in cells["checklist"]
    assert int(cells["checklist_items"]) == 4
    bundle = json.loads((folder / "fhir" / "00003.json").read_text())
    notes = [n["text"] for n in bundle["entry"][0]["resource"]["note"]]
    assert any(f"checklist {cells['checklist_met']} of 4" in n and "research use" in n for n in notes)


def test_regions_of_the_row_hold_where_the_file_is_gone(tmp_path, held):
    rows = write_examinations(tmp_path, 1)
    cx, cy, *_ = rows[0]["ellipse_px"]
    rows[0] |= {"regions_px": [[None, None, cx + 10, None]], "file": "gone.png"}
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held)
    assert session.frame(0)["machine_mm"]["hc_mm"] is None
    near = changed(session, 0, "move", ellipse=[cx - 60, cy, 50, 40, 0])
    assert near["mm"]["hc_mm"] is not None
    far = changed(session, 0, "move", ellipse=[cx + 40, cy, 50, 40, 0])
    assert far["mm"]["hc_mm"] is None


def test_store_of_the_first_version_is_read_and_moved_on(tmp_path, held):
    write_examinations(tmp_path, 1)
    with ExitStack() as first:
        changed(opened(tmp_path, first), 0, "reject", decision="rejected")
    path = tmp_path / "results" / REVIEW / NAME
    db = sqlite3.connect(path)
    answer = json.loads(db.execute("SELECT answer FROM events").fetchone()[0])
    del answer["ticks"]
    db.executescript("DROP TRIGGER no_update; PRAGMA user_version = 1;")
    db.execute("UPDATE events SET answer = ?, machine = json_remove(machine, '$.role')", [json.dumps(answer)])
    db.commit()
    db.close()
    session = opened(tmp_path, held)
    assert session.state(0)["answer"]["decision"] == "rejected"
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (3,)
