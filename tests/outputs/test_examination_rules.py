"""Contradictory, extreme and partial examinations through the rules of docs/examinations.md."""

from __future__ import annotations

import pytest

from fetal_jax.outputs.examinations.examination import group, summarise
from fetal_jax.outputs.examinations.visits import follow
from tests.support.examination_rows import row, sizes, woman

OF_30, OF_20 = sizes(30), sizes(20)
MIXED = "two fetuses, a wrong spacing or abnormal growth"
STATED = "weeks from the sizes"
APART = "frames do not agree"
SOFT = "the outline has gaps or bulges"


def two_heads(**changes):
    return [row("head", 200.0, **changes), row("head", 300.0, **changes)]


EXAMINATIONS = {
    "a head of 12 weeks alone": ([row("head", 74.0)], "measured", False, []),
    "an abdomen of 46 weeks alone": ([row("abdomen", 420.0)], "measured", False, []),
    "all under 14 weeks": (woman("a", {"hc": 74.0, "ac": 60.0, "fl": 10.0}), "measured", False, []),
    "all over 42 weeks": (woman("a", {"hc": 365.0, "ac": 420.0, "fl": 82.0}), "measured", False, []),
    "a head of 12, a femur of 33": (woman("a", {"hc": 74.0, "fl": 63.6}), "review", False, [MIXED]),
    "a head of 12, an abdomen of 39": (woman("a", {"hc": 70.8, "ac": 354.6}), "review", False, [MIXED]),
    "a head of 43, an abdomen of 34": (woman("a", {"hc": 370.0, "ac": 300.0}), "review", False, [MIXED]),
    "a head of 30, a femur of 20": (woman("a", OF_30 | {"fl": OF_20["fl"]}), "review", False, [MIXED]),
    "the same, all to review": (
        woman("a", OF_30 | {"fl": OF_20["fl"]}, status="review"),
        "review",
        False,
        [MIXED, SOFT, SOFT, SOFT],
    ),
    "the same by two spacings": (
        [row("head", OF_30["hc"]), row("femur", OF_20["fl"], spacing_source="ruler")],
        "review",
        False,
        [MIXED, "different sources"],
    ),
    "all to review": (woman("a", OF_30, status="review"), "review", True, [SOFT, SOFT, SOFT]),
    "two heads": (two_heads(), "refused", False, [APART]),
    "two heads to review": (two_heads(status="review"), "refused", False, [APART]),
    "two heads in one cine": (two_heads(file="cine.dcm"), "refused", False, [APART]),
    "two heads and an abdomen": ([*two_heads(), row("abdomen", OF_30["ac"])], "review", True, [APART]),
    "a head to review and two femurs": (
        [row("head", OF_30["hc"], status="review"), row("femur", 30.0), row("femur", 60.0)],
        "review",
        True,
        [APART, SOFT],
    ),
    "to review, stated 12": (
        woman("a", OF_30, status="review", stated_ga_weeks=12.0),
        "review",
        True,
        [STATED, SOFT, SOFT, SOFT],
    ),
    "a head and another to review": (
        [row("head", 200.0), row("head", 300.0, status="review")],
        "measured",
        True,
        [],
    ),
    "nothing but a refused frame": (
        [row("abdomen", None, status="refused", reason="no spacing")],
        "refused",
        False,
        [],
    ),
    "two days": ([row("head", 200.0, day=day) for day in (1, 2)], "refused", False, ["2 days"]),
    "sizes of 30, stated 12": (woman("a", OF_30, stated_ga_weeks=12.0), "review", True, [STATED]),
    "sizes of 30, stated 26": (woman("a", OF_30, stated_ga_weeks=26.0), "measured", True, []),
    "a head of 12, stated 30": ([row("head", 74.0, stated_ga_weeks=30.0)], "review", False, [STATED]),
    "a head of 12, stated 13": ([row("head", 74.0, stated_ga_weeks=13.0)], "measured", False, []),
}
"""Rows, status, whether there is an age, and a part of each note, the gravest first."""


@pytest.mark.parametrize("name", EXAMINATIONS)
def test_status_age_and_notes_are_those_of_the_rules(name):
    rows, status, has_age, notes = EXAMINATIONS[name]
    (examination,) = group(rows)
    found = summarise(examination)
    assert (found.status, found.age is not None) == (status, has_age)
    assert len(found.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, found.notes, strict=True))
    if MIXED in notes:
        assert found.weight is None
        assert not {"hc_ac", "fl_ac"} & found.ratios.keys()
    if status == "refused":
        assert not found.sizes_mm


@pytest.mark.parametrize("standard", ["hadlock", "intergrowth"])
def test_a_later_visit_whose_sizes_have_no_age_is_compared_with_its_date_too(standard):
    """A head of 12 weeks, ten weeks after an examination of 20 weeks, is of another pregnancy."""
    first = woman("a", OF_20, patient="p", day=100)
    pregnancies = follow(group([*first, row("head", 74.0, "b", patient="p", day=170)]), standard)
    assert [[v.examination.name for v in p.visits] for p in pregnancies] == [["a"], ["b"]]
    assert "another pregnancy" in pregnancies[1].visits[0].notes[-1]
    expected = row("abdomen", OF_30["ac"], "b", patient="p", day=170)  # INTERGROWTH-21st has no age by it
    ((_, second),) = (p.visits for p in follow(group([*first, expected]), standard))
    assert second.known_by == "first visit"
