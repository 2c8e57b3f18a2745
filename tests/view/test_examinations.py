"""Examinations follow the corrections."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest

from fetal_jax.errors import UserError
from fetal_jax.growth import STANDARDS, fetal_weight, format_age, gestational_age
from fetal_jax.view import examinations
from fetal_jax.view.session import Session
from tests.view.folder import save_rows, write_examinations
from tests.view.test_session import changed, opened


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def value(shown: dict, measure: str) -> float:
    return float(shown["measures"][measure]["value"])


def test_two_women_are_two_examinations(tmp_path, held):
    write_examinations(tmp_path)
    session = opened(tmp_path, held)
    found = session.changes(0, 0)
    assert [e["name"] for e in found["examinations"]] == ["visit-0", "visit-1"]
    assert [r["k"] for r in found["rows"]] == [0, 0, 0, 1, 1, 1]
    assert session.changes(6, 0, 2)["examinations"] == []
    one = examinations.shown(session, 0)
    assert [f["n"] for f in one["frames"]] == [0, 1, 2]
    assert set(one["charts"]) == {"hc", "ac", "fl", "efw"}
    assert one["status"] == "review"  # its head is
    assert examinations.shown(session, 1)["status"] == "measured"


def test_examination_that_nobody_has_read_says_so_instead_of_naming_arguments(tmp_path, held):
    write_examinations(tmp_path, 1)
    session = Session.open(tmp_path / "results", "Ann", held, "blinded")
    shown = examinations.shown(session, 0)
    assert set(shown["why"].values()) == {examinations.NO_VALUE}
    assert "give one" not in str(shown)


def test_status_is_that_of_the_whole_examination_not_of_its_frames(tmp_path, held):
    rows = write_examinations(tmp_path)
    rows[3]["hc_mm"] *= 0.6  # no fetus has this head and these other sizes, whatever the status of its frames
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held)
    assert {r["status"] for r in rows[3:]} == {"measured"}
    assert examinations.statuses(session, session.changes(0, 0)) == {0: "review", 1: "review"}
    seen = session.changes(6, 0, 2)["event"]
    assert examinations.statuses(session, session.changes(6, seen, 2)) == {}
    changed(session, 0, "accept", decision="accepted")
    assert examinations.statuses(session, session.changes(6, seen, 2)) == {0: "measured"}


def test_corrected_outline_changes_age_weight_and_chart(tmp_path, held):
    rows = write_examinations(tmp_path)
    session = opened(tmp_path, held)
    before = examinations.shown(session, 0)
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    changed(session, 0, "pull", ellipse=[cx, cy, 1.1 * a, 1.1 * b, theta])
    after = examinations.shown(session, 0)
    hc, ac, fl = (1.1 * rows[0]["hc_mm"], rows[1]["ac_mm"], rows[2]["fl_mm"])
    assert value(after, "hc") == pytest.approx(hc, abs=0.06)
    weeks = gestational_age(hc_mm=hc, ac_mm=ac, fl_mm=fl, standard="hadlock").weeks
    assert (before["age"], after["age"]) == ("24w0d", format_age(weeks))
    grams = fetal_weight(hc_mm=hc, ac_mm=ac, fl_mm=fl, formula=STANDARDS["hadlock"].weight_formula).grams
    assert re.sub(r"\D", "", after["measures"]["efw"]["value"]) == f"{grams:.0f}"
    dots = [re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', x["charts"]["hc"]).groups() for x in (before, after)]
    assert float(dots[1][1]) < float(dots[0][1])  # larger: higher on the chart
    assert after["measures"]["hc"]["status"] == "review"
    assert "not yet accepted" in " ".join(after["notes"])
    changed(session, 0, "accept", decision="accepted")
    assert examinations.shown(session, 0)["status"] == "measured"
    assert examinations.shown(session, 1)["age"] == "24w0d"  # the other woman's stays


def test_rejected_frame_and_changed_plane_leave_the_examination(tmp_path, held):
    write_examinations(tmp_path, 1)
    session = opened(tmp_path, held)
    changed(session, 1, "reject", decision="rejected")
    without = examinations.shown(session, 0)
    assert without["measures"]["ac"]["value"] is None
    assert "rejected" in without["measures"]["ac"]["why"]
    changed(session, 1, "undecide", decision="")
    changed(session, 0, "plane", plane="abdomen")
    turned = examinations.shown(session, 0)
    assert turned["measures"]["hc"]["value"] is None
    assert [f["plane"] for f in turned["frames"]] == ["abdomen", "abdomen", "femur"]


def test_preview_is_not_recorded(tmp_path, held):
    rows = write_examinations(tmp_path, 1)
    session = opened(tmp_path, held)
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    answer = session.state(0)["answer"] | {"ellipse": [cx, cy, 1.05 * a, 1.05 * b, theta]}
    found = examinations.preview(session, 0, answer)["examination"]
    assert value(found, "hc") == pytest.approx(1.05 * rows[0]["hc_mm"], abs=0.06)
    assert value(examinations.shown(session, 0), "hc") == pytest.approx(rows[0]["hc_mm"], abs=0.06)
    assert session.state(0)["undo"] == 0


def test_visits_of_one_woman_are_on_one_chart(tmp_path, held):
    rows = write_examinations(tmp_path)
    for row in rows[3:]:
        row |= {"patient": "woman-0", "day": 107}
    save_rows(tmp_path / "results", rows)
    later = examinations.shown(opened(tmp_path, held), 1)
    assert (later["visit"], later["visits"]) == (2, 2)
    assert later["charts"]["hc"].count("<circle") == 2
    assert later["known_age"] == "25w0d"


def test_frame_without_an_examination_has_none(tmp_path, held):
    rows = write_examinations(tmp_path, 1)
    rows[2]["examination"] = None
    save_rows(tmp_path / "results", rows)
    session = opened(tmp_path, held)
    assert session.frame(2)["examination"] is None
    assert session.frame(1)["examination"] == 0
    found = examinations.preview(session, 2, session.state(2)["answer"])
    assert found == {"age": session.state(2)["age"], "examination": None}
    with pytest.raises(UserError, match="no examination"):
        examinations.shown(session, 1)
