"""Counts of a call's rows: every reason is counted, without its file's name."""

from __future__ import annotations

import pytest

from fetal_jax.inference.acceptance import NOT_CALIBRATED
from fetal_jax.outputs.tally import Tally, bare_reason

IMPLAUSIBLE = "no head between 12 and 42 weeks has this size; check the spacing and the plane"


@pytest.mark.parametrize("file", ["/d/1", "/d/2", "1", "2", "head", "/d/head", "/d/no"])
def test_a_short_name_is_not_taken_out_of_the_words(file):
    assert bare_reason({"file": file, "reason": IMPLAUSIBLE}) == IMPLAUSIBLE


@pytest.mark.parametrize("file", ["/d/a.dcm", "a.dcm", "/d/x.zip/e/1"])
@pytest.mark.parametrize("between", [" ", ": "])
def test_the_name_before_a_reason_is_left_out(file, between):
    why = "Modality CT is not ultrasound"
    row = {"file": file, "reason": f"{file}{between}{why}: only Modality US is measured"}
    assert bare_reason(row) == f"{why}: only Modality US is measured"
    tally = Tally()
    tally.add(dict.fromkeys(("plane", "spacing_mm", "examination")) | row | {"status": "refused"})
    assert str(tally) == f"1 refused; main reasons: {why} (1)"


def test_every_reason_of_a_row_is_counted():
    tally = Tally()
    row = {"file": "a/b.png", "status": "review", "plane": "head", "spacing_mm": 0.2, "examination": None}
    for reason in (NOT_CALIBRATED, f"the outline has gaps or bulges; {NOT_CALIBRATED}"):
        tally.add(row | {"reason": reason})
    assert str(tally) == "2 review; main reasons: not calibrated (2), the outline has gaps or bulges (1)"


def test_frames_of_the_table_that_are_in_no_examination_are_counted():
    tally = Tally()
    row = {
        "file": "a.dcm",
        "status": "measured",
        "plane": "head",
        "spacing_mm": 0.2,
        "examination": None,
        "reason": None,
    }
    for said in ({}, {"fetus": "A"}, {"stated_ga_weeks": 30.0}, {"examination": "e", "fetus": "A"}):
        tally.add(row | said)
    remedy = "2 frames of the spacing table, without StudyInstanceUID: fill in its column examination"
    assert str(tally) == f"4 measured; in no examination: {remedy}"
