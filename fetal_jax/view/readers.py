"""Several readers of one folder: their roles, and what an adjudicator sees of the others."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.inference.score import WRONG
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import PRIMARY
from fetal_jax.view.answer import Answer
from fetal_jax.view.results import Results
from fetal_jax.view.store import Event, History, Store

Today = Callable[[Row, Event], Event | None]
"""Gives an answer with today's values, or None if it is no longer valid: `Session.today`."""

MACHINE = ""
"""The machine's name among readers."""
NO_NAME = "no name"
"""The name among readers of those who gave none, whose own is empty, as the machine's is."""
UNREAD = "unread"
"""The status of every frame that a blinded reader sees."""


def check_role(store: Store, reader: str, role: str) -> None:
    """Refuse a reader who is also an adjudicator, or blinded after another page; and a name in another case.

    Raises:
      UserError: the reader is, or the name would be another person, or a role that needs a name has none.
    """
    if role != "reader" and not reader:
        raise UserError(f"{'--blinded' if role == 'blinded' else '--adjudicate'} needs --reader=NAME")
    for name in readers(store):
        if name != reader and name.casefold() == reader.casefold():
            raise UserError(f"--reader={reader}: the answers in this folder are of {name}: give that, or another name")
    for (name, _, _), history in store.histories.items():
        if name == reader and any((e.role == "adjudicator") != (role == "adjudicator") for e in history.events):
            other = "has read these frames" if role == "adjudicator" else "adjudicates these frames"
            raise UserError(f"{reader} {other}: a third person adjudicates (--reader=NAME)")
    if role == "blinded":
        check_blinded(store, reader)


def check_blinded(store: Store, reader: str) -> None:
    """Refuse a blinded reading by a reader who was shown the machine's outlines, answered or not.

    A page shows the values of all frames in its list, so one opening without --blinded counts for the whole folder.

    Raises:
      UserError: the reader was; says since when.
    """
    if since := seen_since(store, reader):
        raise UserError(
            f"{reader} has seen the machine's outlines here (since {_minute(since)}): open the "
            "folder without --blinded, or let a person who has not seen them read it (--reader=NAME)"
        )


def seen_since(store: Store, reader: str) -> str:
    """When a reader was first shown the machine's outlines, in ISO 8601; empty if never. Upper and lower case are one.

    Files of earlier versions have no openings: there only answers tell.
    """
    shown = [(o.time, o.role) for o in store.openings if o.reader.casefold() == reader.casefold()]
    own = (history for (name, _, _), history in store.histories.items() if name == reader)
    shown += [(event.time, event.role) for history in own for event in history.events]
    return min((time for time, role in shown if role != "blinded"), default="")


def _minute(time: str) -> str:
    return f"{time[:16].replace('T', ' ')} UTC"


def last_answers(store: Store, row: Row, today: Today) -> Iterator[Event]:
    """Yield the last valid answer of each reader for a frame, without adjudicators, sorted by name."""
    found = (store.histories.get((reader, row["file"], row["frame"])) for reader in readers(store))
    last = (h.events[-1] for h in found if h and h.events and h.events[-1].role != "adjudicator")
    yield from (event for event in (today(row, event) for event in last) if event is not None)


def readers(store: Store) -> list[str]:
    """The names of all who have answered."""
    return sorted({reader for reader, _, _ in store.histories})


def so_far(store: Store, reader: str, role: str) -> list[str]:
    """Lines for the terminal: the readers of a folder, whether this one is new (a mistyped one is), and what ends."""
    names, lines = readers(store), []
    if names:
        new = f"; {reader} is new" if reader and reader not in names else ""
        lines.append(f"readers so far: {', '.join(name or NO_NAME for name in names)}{new}")
    if reader and role != "blinded" and not seen_since(store, reader):
        lines.append(f"the page shows {reader} the machine's outlines: no later reading here can be --blinded")
    if role == "blinded" and (since := seen_since(store, "")):
        shown = f"the page has shown somebody without a name (since {_minute(since)}) the machine's outlines"
        lines.append(f"{shown}: if that was {reader}, this is not a blinded reading")
    return lines


def readings(store: Store, row: Row, machine_mm: dict[str, float | None], today: Today) -> list[dict[str, Any]]:
    """All answers for a frame, the machine's first, as an adjudicator sees them."""
    machine = {"reader": MACHINE, "answer": Answer.of_row(row).json(), "mm": machine_mm, "time": None}
    others = [
        {"reader": e.reader or NO_NAME, "answer": e.answer.json(), "mm": e.mm, "time": e.time}
        for e in last_answers(store, row, today)
    ]
    return [machine, *others]


def answer_of(store: Store, row: Row, reader: Any, today: Today) -> Answer:
    """The answer of a reader, or of the machine, for a frame.

    Raises:
      ValueError: there is none.
    """
    answers = {MACHINE: Answer.of_row(row)} | {e.reader or NO_NAME: e.answer for e in last_answers(store, row, today)}
    if not isinstance(reader, str) or reader not in answers:
        raise ValueError("reader has no answer in this frame")
    return answers[reader]


def taken(history: History, answer: Answer) -> str | None:
    """Whose reading an adjudicator's decided answer is; None where it was drawn, or is still open."""
    outline = answer.plane, answer.shape
    for event in reversed(history.events if answer.decision else []):
        if event.action == "choose" and (event.answer.plane, event.answer.shape) == outline:
            return str(event.machine["chosen"])
    return None


def apart(store: Store, results: Results, event: int, again: Container[int], today: Today) -> dict[int, dict[str, Any]]:
    """Differences between readers by frame number: of frames with an answer after `event`, or in `again`."""
    found = {}
    for (_, file, frame), history in list(store.histories.items()):
        number = results.number(file, frame)
        if number is not None and number not in found and (history.version > event or number in again):
            text, first = difference(list(last_answers(store, results.rows[number], today)))
            found[number] = {"text": text, "first": first}
    return found


def difference(events: list[Event]) -> tuple[str, bool]:
    """Describe the difference between readers in a frame, and whether an adjudicator should see it first.

    Values differ if the largest is over 5 % (HC) or 8 % (AC, FL) above the smallest.
    """
    if len(events) < 2:
        return ("one reader" if events else ""), False
    if len({e.answer.decision for e in events}) > 1:
        return "decisions differ", True
    if len({e.answer.plane for e in events}) > 1:
        return "planes differ", True
    plane = events[0].answer.plane or ""
    values = [v for e in events if plane in PRIMARY and (v := e.mm[PRIMARY[plane]]) is not None]
    if len(values) < 2:
        return "", False
    apart = max(values) / min(values) - 1
    return f"{100 * apart:.1f} % apart", apart > WRONG[plane]
