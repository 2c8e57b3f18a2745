"""The frames that a reader has changed or decided on, for the exports."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_jax.outputs.rows import Row
from fetal_jax.view import remeasured
from fetal_jax.view.session import Session
from fetal_jax.view.store import Event


@dataclass(frozen=True)
class Correction:
    """The last valid answer of a reader for a frame (`Session.today`)."""

    number: int
    row: Row
    event: Event
    changes: int


def corrections(session: Session, left_out: list[str]) -> list[Correction]:
    """List the frames that a reader has changed or decided on, in the order of the results.

    Answers that are no longer valid, or were accepted before they had a value, are added to `left_out`.
    """
    found: list[Correction] = []
    lines: list[tuple[int, str, str]] = []
    for (_, file, frame), history in list(session.store.histories.items()):
        number = session.results.number(file, frame)
        if number is None or not history.events:
            continue
        row, last = session.row(number), history.events[-1]
        event, name = session.today(row, last), session.results.name(row)
        if event is None:
            lines.append((number, last.reader, remeasured.left_out(name, last, session.reader)))
            continue
        if event.answer.decision != last.answer.decision:
            lines.append((number, last.reader, remeasured.unseen(name, last, session.reader)))
        found.append(Correction(number, row, event, len(history.events)))
    left_out += [text for *_, text in sorted(lines)]
    return sorted(found, key=lambda c: (c.number, c.event.reader))
