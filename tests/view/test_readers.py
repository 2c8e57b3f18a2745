"""Blinded readers, an adjudicator, and how far they agree."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.evaluation.statistics.agreement import bland_altman
from fetal_jax.view import agreement, examinations, exports
from fetal_jax.view.session import REVIEW, Session
from fetal_jax.view.store import NAME, Store
from tests.support.command import fetal_jax, refused
from tests.view.folder import serving, write_examinations, write_results
from tests.view.test_session import changed, opened, stepped


def as_reader(home: Path, held: ExitStack, reader: str, role: str = "reader") -> Session:
    return Session.open(home / "results", reader, held, role)


def read(home: Path, reader: str, factors: list[float], role: str = "blinded") -> None:
    """Accept the first frames with the machine's outline enlarged by these factors."""
    with ExitStack() as held:
        session = as_reader(home, held, reader, role)
        for n, factor in enumerate(factors):
            row = session.row(n)
            plane, answer = row["plane"], {}
            if row["ellipse_px"]:
                cx, cy, a, b, theta = row["ellipse_px"]
                answer["ellipse"] = [cx, cy, factor * a, factor * b, theta]
            else:
                x1, y1, x2, y2, width = row["shaft_px"]
                answer["shaft"] = [x1, y1, x1 + factor * (x2 - x1), y1 + factor * (y2 - y1), width]
            changed(session, n, "draw", plane=plane, **answer)
            changed(session, n, "accept", decision="accepted")


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def test_blinded_reader_sees_nothing_of_the_machine_and_of_others(tmp_path, held):
    rows = write_results(tmp_path, 4)
    with ExitStack() as first:
        changed(opened(tmp_path, first, "Bob"), 0, "comment", comment="seen by Bob")
    session = as_reader(tmp_path, held, "Ann", "blinded")
    said = json.dumps([session.changes(0, 0), *(session.frame(n) for n in range(4)), session.about()])
    for row in rows:
        for value in (row["hc_mm"], row["ac_mm"], row["fl_mm"], row["plane_probability"], *(row["ellipse_px"] or [])):
            assert value is None or repr(value) not in said
    assert "Bob" not in said
    assert "why not" not in said
    assert {r["status"] for r in session.changes(0, 0)["rows"]} == {"unread"}
    for forbidden in (lambda: exports.write(session), lambda: agreement.table(session)):
        with pytest.raises(UserError, match="without --blinded"):
            forbidden()


def test_blinded_reader_begins_empty_and_undoes_to_empty(tmp_path, held):
    write_results(tmp_path, 1)
    session = as_reader(tmp_path, held, "Ann", "blinded")
    changed(session, 0, "draw", plane="head", ellipse=[150, 140, 80, 60, 0.1])
    undone = stepped(session, 0, "undo")["answer"]
    assert (undone["plane"], undone["ellipse"]) == (None, None)
    reset = changed(session, 0, "reset")["answer"]
    assert (reset["plane"], reset["ellipse"]) == (None, None)


def test_blinded_reader_is_not_shown_the_overlay(tmp_path, held):
    rows = write_results(tmp_path, 1)
    Path(rows[0]["file"]).rename(tmp_path / "results" / "overlays" / "frame_00.png")
    assert as_reader(tmp_path, held, "Ann").picture(0)[1] is False
    with pytest.raises(UserError, match="shows the machine's outline"):
        as_reader(tmp_path, held, "Ann", "blinded").picture(0)


def test_examination_of_a_blinded_reader_is_of_own_readings_alone(tmp_path, held):
    write_examinations(tmp_path, 1)
    session = as_reader(tmp_path, held, "Ann", "blinded")
    found = examinations.shown(session, 0)
    assert {m["value"] for m in found["measures"].values()} == {None}
    assert found["age"] is None
    mm = session.row(0)["spacing_mm"]
    changed(session, 0, "draw", plane="head", ellipse=[150, 140, 220 / 2 / np.pi / mm, 220 / 2 / np.pi / mm, 0])
    changed(session, 0, "accept", decision="accepted")
    assert examinations.shown(session, 0)["measures"]["hc"]["value"] == "220.0"


def test_adjudicator_sees_and_chooses(tmp_path, held):
    write_results(tmp_path, 3)
    read(tmp_path, "Ann", [1.0, 1.0])
    read(tmp_path, "Bob", [1.12, 1.01])
    session = as_reader(tmp_path, held, "Cid", "adjudicator")
    apart = session.changes(0, 0)["apart"]
    assert (apart[0]["first"], apart[1]["first"]) == (True, False)
    assert apart[0]["text"] == "12.0 % apart"
    readings = session.frame(0)["readings"]
    assert [r["reader"] for r in readings] == ["", "Ann", "Bob"]
    state = session.change(0, {"action": "choose", "after": 0, "reader": "Bob"})
    assert state["answer"]["ellipse"] == readings[2]["answer"]["ellipse"]
    assert state["answer"]["decision"] == "accepted"
    with pytest.raises(ValueError, match="no answer in this frame"):
        session.change(2, {"action": "choose", "after": 0, "reader": "Bob"})
    exports.write(session)
    entries = json.loads((tmp_path / "results" / REVIEW / exports.JSON).read_text())["corrections"]
    roles = [(e["reader"], e["role"], e["chosen"]) for e in entries if e["frame"] == 0 and "00" in e["file"][-6:]]
    assert roles == [("Ann", "blinded", None), ("Bob", "blinded", None), ("Cid", "adjudicator", "Bob")]


def test_a_reader_without_a_name_is_not_taken_for_the_machine(tmp_path, held):
    """The adjudicator's page had two machines, and either button took the person's answer."""
    rows = write_results(tmp_path, 1)
    read(tmp_path, "", [1.12], "reader")
    session = as_reader(tmp_path, held, "Cid", "adjudicator")
    readings = session.frame(0)["readings"]
    assert [r["reader"] for r in readings] == ["", "no name"]
    state = session.change(0, {"action": "choose", "after": 0, "reader": ""})
    assert (state["answer"]["ellipse"], state["taken"]) == (rows[0]["ellipse_px"], "")
    state = session.change(0, {"action": "choose", "after": state["version"], "reader": "no name"})
    assert (state["answer"]["ellipse"], state["taken"]) == (readings[1]["answer"]["ellipse"], "no name")


def test_third_person_adjudicates(tmp_path, held):
    write_results(tmp_path, 1)
    read(tmp_path, "Ann", [1.0])
    with pytest.raises(UserError, match="Ann has read these frames"):
        as_reader(tmp_path, held, "Ann", "adjudicator")
    with ExitStack() as third:
        session = as_reader(tmp_path, third, "Cid", "adjudicator")
        session.change(0, {"action": "choose", "after": 0, "reader": ""})
    with pytest.raises(UserError, match="Cid adjudicates"):
        as_reader(tmp_path, held, "Cid")
    with pytest.raises(ValueError, match="an adjudicator's"):
        opened(tmp_path, held, "Eve").change(0, {"action": "choose", "after": 0, "reader": "Ann"})
    refused(fetal_jax("view", tmp_path / "results", "--no-browser", "--blinded"), "--blinded needs --reader=NAME")


def test_reader_who_has_answered_beside_the_machines_outline_is_not_blinded_later(tmp_path, held):
    write_results(tmp_path, 2)
    read(tmp_path, "Ann", [1.0])
    read(tmp_path, "Ann", [1.0])  # blinded again: nothing was seen
    with ExitStack() as seeing:
        session = as_reader(tmp_path, seeing, "Ann")  # as the export asks
        changed(session, 1, "accept", decision="accepted")
        key = "Ann", session.row(1)["file"], 0
    with pytest.raises(UserError, match=r"Ann has seen the machine's outlines here \(since .* without --blinded"):
        as_reader(tmp_path, held, "Ann", "blinded")
    assert [e.role for e in as_reader(tmp_path, held, "Ann").store.histories[key].events] == ["reader"]


@pytest.mark.parametrize("role", ["reader", "adjudicator"])
@pytest.mark.parametrize("name", ["Ann", "ann"])
def test_reader_who_has_only_looked_is_not_blinded_later(tmp_path, held, role, name):
    write_results(tmp_path, 2)
    with ExitStack() as first:
        as_reader(tmp_path, first, "Ann", "blinded").changes(0, 0)
        as_reader(tmp_path, first, "Bob", role).changes(0, 0)
    with ExitStack() as again:
        as_reader(tmp_path, again, "Ann", "blinded")  # nothing was shown to her
    with ExitStack() as looking:
        session = as_reader(tmp_path, looking, name, role)
        session.changes(0, 0)
        session.changes(2, 0)  # each server is recorded once
    with pytest.raises(UserError, match=r"Ann has seen the machine's outlines here"):
        as_reader(tmp_path, held, "Ann", "blinded")
    openings = [(o.reader, o.role) for o in session.store.openings]
    assert openings == [("Ann", "blinded"), ("Bob", role), (name, role)]
    cid = as_reader(tmp_path, held, "Cid")
    exports.write(cid)
    found = json.loads((tmp_path / "results" / REVIEW / exports.JSON).read_text())["openings"]
    assert [(o["reader"], o["role"]) for o in found] == openings


def test_blinded_reading_ends_where_another_page_shows_the_outlines(tmp_path, held):
    write_results(tmp_path, 1)
    session = as_reader(tmp_path, held, "Ann", "blinded")
    changed(session, 0, "comment", comment="not yet seen")
    beside = as_reader(tmp_path, held, "Ann")  # read-only: the first server holds the folder
    assert not beside.store.writable
    beside.changes(0, 0)
    with pytest.raises(UserError, match="Ann has seen the machine's outlines here"):
        changed(session, 0, "reject", decision="rejected")


def test_openings_are_only_added_also_in_a_file_of_an_earlier_version(tmp_path, held):
    write_results(tmp_path, 1)
    path = tmp_path / "results" / REVIEW / NAME
    with ExitStack() as first:
        changed(as_reader(tmp_path, first, "Ann"), 0, "reject", decision="rejected")
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE openings; PRAGMA user_version = 2")
    with ExitStack() as only_reading:
        store = Store(path, writable=False)
        only_reading.callback(store.close)
        assert (store.add_opening("Ann", "reader"), store.openings) == (False, [])
    as_reader(tmp_path, held, "Ann").changes(0, 0)
    for change in ("UPDATE openings SET reader = ''", "DELETE FROM openings"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            db.execute(change)
    db.close()


@pytest.mark.parametrize("role", ["reader", "blinded", "adjudicator"])
def test_known_name_in_another_case_is_no_other_person(tmp_path, held, role):
    write_results(tmp_path, 1)
    read(tmp_path, "Smith^Ann", [1.0])
    with pytest.raises(UserError, match=r"--reader=Smith\^ann: the answers in this folder are of Smith\^Ann"):
        as_reader(tmp_path, held, "Smith^ann", role)


def test_start_names_the_readers_so_far_and_a_new_one(tmp_path):
    write_results(tmp_path, 1)
    with serving(tmp_path / "results", "--reader=Smith^Ann", "--blinded") as server:
        assert server.process.stdout.readline().startswith("Ctrl-C")  # nobody was here before
    read(tmp_path, "Smith^Ann", [1.0])
    for name, new in (("Smith^An", "; Smith^An is new"), ("Smith^Ann", "")):
        with serving(tmp_path / "results", f"--reader={name}") as server:
            assert server.process.stdout.readline() == f"readers so far: Smith^Ann{new}\n"
            ends = f"the page shows {name} the machine's outlines: no later reading here can be --blinded\n"
            assert server.process.stdout.readline() == ends
            with urlopen(f"{server.address}api/changes"):
                pass
    with serving(tmp_path / "results", "--reader=Smith^Ann") as server:  # she has seen them now
        server.process.stdout.readline()
        assert server.process.stdout.readline().startswith("Ctrl-C")
    with serving(tmp_path / "results") as server, urlopen(f"{server.address}api/changes"):
        pass
    with serving(tmp_path / "results", "--reader=Bob", "--blinded") as server:
        assert server.process.stdout.readline() == "readers so far: Smith^Ann; Bob is new\n"
        said = server.process.stdout.readline()
        assert said.startswith("the page has shown somebody without a name (since 20")
        assert said.endswith("UTC) the machine's outlines: if that was Bob, this is not a blinded reading\n")


@pytest.mark.parametrize(
    ("named", "subjects", "half_width"),
    [
        ({}, 50, 0.49),
        ({"examination": "visit-{}"}, 5, 2.29),
        ({"examination": "visit-{}", "patient": "woman-{}"}, 5, 2.29),
    ],
)
def test_frames_of_an_examination_are_one_subject(named, subjects, half_width):
    rng, nobody = np.random.default_rng(0), dict.fromkeys(("patient", "examination", "fetus"))
    both = []
    for n, (one, other) in enumerate(200 + rng.normal(size=(50, 2))):
        row = nobody | {"file": f"{n}.png"} | {key: name.format(n // 10) for key, name in named.items()}
        both.append((row, {"hc_mm": one}, {"hc_mm": other}, False, True))
    found = agreement._quantity("hc_mm", both)
    assert found["subjects"] == subjects
    low, high = found["lower_ci"]
    assert (high - low) / 2 / found["sd"] == pytest.approx(half_width, abs=0.01)


def test_twins_of_an_examination_are_two_subjects():
    rows = [{"file": f, "patient": None, "examination": "e", "fetus": fetus} for f, fetus in ("1A", "2A", "3B")]
    found = agreement._quantity("hc_mm", [(row, {"hc_mm": 200.0}, {"hc_mm": 201.0}, False, True) for row in rows])
    assert found["subjects"] == 2


def test_agreement_is_that_of_the_values(tmp_path, held):
    rows = write_examinations(tmp_path, 4)
    ann, bob = np.linspace(0.98, 1.03, 12), np.linspace(1.04, 0.99, 12)
    read(tmp_path, "Ann", ann.tolist())
    read(tmp_path, "Bob", bob[:9].tolist())
    session = opened(tmp_path, held, "Cid")
    changed(session, 0, "accept", decision="accepted")
    changed(session, 3, "reject", decision="rejected")
    exports.write(session)
    pairs = {(p["one"], p["other"]): p for p in agreement.table(session)["pairs"]}
    json.dumps(list(pairs.values()), allow_nan=False)
    assert set(pairs) == {("", "Ann"), ("", "Bob"), ("", "Cid"), ("Ann", "Bob"), ("Ann", "Cid"), ("Bob", "Cid")}
    heads = np.array([rows[n]["hc_mm"] for n in (0, 3, 6)])
    found = next(q for q in pairs["Ann", "Bob"]["quantities"] if q["key"] == "hc_mm")
    expected = bland_altman(heads * ann[[0, 3, 6]], heads * bob[[0, 3, 6]])
    assert [found[k] for k in ("bias", "lower", "upper")] == pytest.approx(
        [expected[k] for k in ("bias", "lower", "upper")]
    )
    assert (found["pairs"], found["subjects"], found["blinded"], found["unchanged"]) == (3, 3, 3, 0)
    own = next(q for q in pairs["", "Cid"]["quantities"] if q["key"] == "hc_mm")
    assert (own["pairs"], own["unchanged"], own.get("bias")) == (1, 1, None)  # one pair has no limits
    assert pairs["Ann", "Cid"]["one_rejected"] == 1
    with (tmp_path / "results" / REVIEW / exports.AGREEMENT[0]).open(newline="") as f:
        cells = [c for c in csv.DictReader(f) if (c["one"], c["other"], c["quantity"]) == ("machine", "Ann", "ac")]
    assert float(cells[0]["bias_mm"]) == pytest.approx(
        np.mean([rows[n]["ac_mm"] * (1 - ann[n]) for n in (1, 4, 7, 10)]), rel=1e-4
    )
