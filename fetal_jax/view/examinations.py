"""The examinations of a results folder with a reader's corrections: values, age, weight, centiles, charts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.growth import format_age
from fetal_jax.inference.acceptance import WITH_VALUE
from fetal_jax.outputs.examinations import chart, page, tables
from fetal_jax.outputs.examinations.examination import Summary, group, summarise
from fetal_jax.outputs.examinations.visits import Pregnancy, follow
from fetal_jax.outputs.rows import Row
from fetal_jax.view import remeasured
from fetal_jax.view.answer import Answer, corrected_row, rejected_row
from fetal_jax.view.session import Session, age_text

NO_VALUE = "no frame has a value yet"
NOT_ACCEPTED = "corrected, not yet accepted"


def row_after(session: Session, number: int, answer: Answer | None = None) -> Row:
    """A row with the reader's answer in place of the machine's, as an examination counts it.

    A rejected frame does not count; a corrected one counts as `review` until it is accepted. A blinded reader's frames
    count once they are accepted.

    Args:
      session: of the reader.
      number: of the row.
      answer: used in place of the stored one while a handle is dragged.
    """
    row = session.row(number)
    stored = session.answer(row)
    answer = answer or stored
    if answer is None:
        return row if session.role != "blinded" else rejected_row(row, "not read yet") | {"plane": None}
    if answer.decision == "rejected":
        return rejected_row(row, "rejected by the reader") | {"plane": answer.plane}
    if answer.decision != "accepted" and remeasured.is_machines(answer, row) and session.role != "blinded":
        return row
    corrected = corrected_row(row, answer, session.millimetres(row, answer))
    return corrected if answer.decision == "accepted" else corrected | {"status": "review", "reason": NOT_ACCEPTED}


def pregnancy(session: Session, k: int, row_of: Callable[[int], Row]) -> tuple[Pregnancy, int]:
    """All visits of an examination's fetus, and the index of the examination among them.

    Args:
      session: with the results.
      k: number of the examination.
      row_of: gives the row for a number.

    Raises:
      UserError: there is no such examination, or its frames were measured again and now belong to another one.
    """
    groups = list(session.results.examinations.items())
    if not 0 <= k < len(groups):
        raise UserError("there is no examination with this number")
    wanted, members = groups[k]
    if not members:
        raise UserError("no frame is of this examination any more: they were measured again")
    patients = {session.row(n)["patient"] for n in members} - {None}
    rows = []
    for key, numbers in groups:
        if key == wanted or (patients and any(session.row(n)["patient"] in patients for n in numbers)):
            rows += [row_of(n) for n in numbers]
    for found in follow(group(rows), session.results.standard()):
        for index, visit in enumerate(found.visits):
            if (visit.examination.name, visit.examination.fetus) == wanted:
                return found, index
    raise AssertionError("every group is an examination")


def of_machine(session: Session, k: int) -> tuple[Pregnancy, int]:
    """An examination as measured by the machine; returns and raises as `pregnancy`."""
    return pregnancy(session, k, session.row)


def accepted(session: Session, k: int) -> tuple[Pregnancy, int, int]:
    """An examination of accepted frames only, as `pregnancy`; and the number of frames with a value but no decision."""
    members = list(session.results.examinations.values())[k]
    decisions = {n: a.decision if (a := session.answer(session.row(n))) else "" for n in members}
    undecided = sum(not d and row_after(session, n)["status"] in WITH_VALUE for n, d in decisions.items())

    def row_of(n: int) -> Row:
        row = row_after(session, n)
        return row if decisions.get(n, "accepted") == "accepted" else rejected_row(row, "not accepted")

    return *pregnancy(session, k, row_of), undecided


def shown(session: Session, k: int, live: tuple[int, Answer] | None = None) -> dict[str, Any]:
    """Everything that the page shows about one examination.

    Args:
      session: of the reader.
      k: number of the examination.
      live: a frame's number, and the answer used in place of the stored one while a handle is dragged.

    Raises:
      UserError: there is no such examination.
    """
    found, index = pregnancy(session, k, lambda n: row_after(session, n, live[1] if live and live[0] == n else None))
    summary = found.visits[index]
    if not summary.sizes_mm:  # the reasons are about a call's arguments
        summary = replace(summary, reasons=dict.fromkeys(summary.reasons, NO_VALUE))
    record = tables.record(found, index)
    cells = {measure: page.measure_cells(summary, record, measure) for measure in page.MEASURES}
    kept = ("label", "name", "unit", "status", "value", "frames", "span", "centile", "z", "change", "why")
    ratios = {name: record["ratios"].get(name) for name in page.RATIO_NAMES}
    return {
        "k": k,
        "name": summary.examination.name,
        "fetus": summary.examination.fetus,
        "visit": index + 1,
        "visits": len(found.visits),
        "status": summary.status,
        "standard": chart.STANDARD_NAMES[summary.standard],
        "measures": {measure: {key: of[key] for key in kept} for measure, of in cells.items()},
        "ratios": [
            {"label": label, "unit": unit, "value": None if ratios[name] is None else format(ratios[name], form)}
            for name, (label, unit, form) in page.RATIO_NAMES.items()
        ],
        **_age(summary),
        "notes": list(summary.notes),
        "why": {name: summary.reasons[name] for name in ("age", "weight") if name in summary.reasons},
        "frames": _frames(session, summary),
        "charts": {m: chart.draw(m, summary.standard, p) for m in page.CHARTS if (p := page.points(found, index, m))},
    }


def statuses(session: Session, changes: dict[str, Any]) -> dict[int, str]:
    """The status of each examination that `Session.changes` touches, by number: of those of its frames and answers."""
    numbers = range(len(session.results.rows)) if changes["anew"] else {r["n"] for r in changes["rows"]}
    touched = {*numbers, *changes["answers"]}
    if not touched:  # most polls of the page
        return {}
    groups = list(session.results.examinations.items())
    members = [n for _, of in groups if not touched.isdisjoint(of) for n in list(of)]
    found = group(row_after(session, n) for n in members)
    places = {key: k for k, (key, _) in enumerate(groups)}
    return {places[e.name, e.fetus]: summarise(e, session.results.standard()).status for e in found}


def preview(session: Session, number: int, data: Any) -> dict[str, Any]:
    """What follows from an answer that is not recorded yet: `age` by it alone, and `examination` as `shown`, or None.

    Raises:
      ValueError: the answer is invalid.
      UserError: there is no such frame.
    """
    answer, k = Answer.parse(data), session.frame_examination(number)
    age = age_text(session.millimetres(session.row(number), answer))
    return {"age": age, "examination": None if k is None else shown(session, k, (number, answer))}


def _age(summary: Summary) -> dict[str, str | None]:
    age = summary.age
    return {
        "age": format_age(age.weeks) if age else None,
        "range": f"{format_age(age.low)} to {format_age(age.high)}" if age else None,
        "formula": age.formula if age else None,
        "known_age": None if summary.known_weeks is None else format_age(summary.known_weeks),
        "known_by": summary.known_by,
    }


def _frames(session: Session, summary: Summary) -> list[dict[str, Any]]:
    """List the frames by number, with whether each counts for the value of its structure."""
    counted = {id(row) for s in summary.structures.values() for row in s.counted}
    best = {id(s.best) for s in summary.structures.values() if s.best}
    found = []
    for row in summary.examination.rows:
        n = session.results.number(row["file"], row["frame"])
        found.append({"n": n, "plane": row["plane"], "counts": id(row) in counted, "best": id(row) in best})
    return found
