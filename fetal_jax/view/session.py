"""One opened results folder: rows, frames and corrections, as the page asks for them. No HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from fetal_jax import files
from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.growth import format_age
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import PRIMARY, QUANTITIES, SHAPE_OF_PLANE
from fetal_jax.view.answer import MAX_COMMENT, Answer, age, spacing_of
from fetal_jax.view.frames import Frames
from fetal_jax.view.results import Results
from fetal_jax.view.store import ACTIONS, NAME, Event, History, Store

FAR = 1e9
"""Stands for the open sides of a region, since JSON has no infinity."""
REVIEW = "review"
"""Folder within the results: corrections and their exports."""


class Session:
    """What a server serves. `writable` is false for the second server of a folder, or where it cannot be written."""

    def __init__(self, results: Results, store: Store, frames: Frames, reader: str) -> None:
        self.results, self.store, self.frames, self.reader = results, store, frames, reader

    @classmethod
    def open(cls, folder: Path, reader: str, held: ExitStack) -> Self:
        """Open a folder; `held` releases it.

        Raises:
          UserError: no results, or corrections that cannot be read.
        """
        results = Results(folder)
        review, writable = folder / REVIEW, True
        try:
            held.enter_context(files.lock(review))
        except (UserError, OSError):
            writable = False
        store = Store(review / NAME, writable)
        held.callback(store.close)
        frames = Frames(results)
        held.callback(frames.close)
        return cls(results, store, frames, reader)

    def about(self) -> dict[str, Any]:
        """Facts that the page asks for once."""
        labels = {q.column: q.label for q in QUANTITIES.values()}
        return {
            "reader": self.reader,
            "writable": self.store.writable,
            "notice": NOT_CLINICAL,
            "planes": SHAPE_OF_PLANE,
            "primary": PRIMARY,
            "labels": labels | {"long_mm": "Long axis", "short_mm": "Short axis"},
            "max_comment": MAX_COMMENT,
        }

    def changes(self, rows: int, event: int) -> dict[str, Any]:
        """Rows from number `rows` on, and this reader's answers after `event`."""
        self.results.refresh()
        self.store.refresh()
        answers = {
            number: self._brief(self.results.rows[number], history)
            for key, history in list(self.store.histories.items())
            if key[0] == self.reader and history.version > event
            if (number := self.results.number(*key[1:])) is not None
        }
        new = enumerate(self.results.rows[rows:], rows)
        return {
            "rows": [_listed(number, row) for number, row in new],
            "answers": answers,
            "event": self.store.last,
            "complete": self.results.complete,
        }

    def row(self, number: int) -> Row:
        """The row of a number.

        Raises:
          UserError: there is none.
        """
        if not 0 <= number < len(self.results.rows):
            raise UserError("no frame of this number")
        return self.results.rows[number]

    def frame(self, number: int) -> dict[str, Any]:
        """Everything about one frame."""
        row = self.row(number)
        machine = Answer.of_row(row)
        shown = ("status", "plane", "plane_probability", "reason", "spacing_source", "low_mm", "high_mm")
        return {
            "number": number,
            "name": _name(row),
            **{key: row[key] for key in shown},
            "spacing_mm": spacing_of(row),
            "regions": [[min(max(v, -FAR), FAR) for v in r.box] for r in self.frames.regions(row)],
            "machine": machine.json(),
            "machine_mm": self.millimetres(row, machine),
            **self._state(row, self._history(row), machine),
        }

    def change(self, number: int, data: Any) -> dict[str, Any]:
        """Add the event that a browser sent: `action`, `after` and, but for undo and redo, `answer`.

        Raises:
          ValueError: something cannot be; the message says what.
          Conflict: the frame was changed in another tab.
          UserError: nothing to undo, or the server is read-only.
        """
        if not isinstance(data, dict) or not {"action", "after"} <= set(data) <= {"action", "after", "answer"}:
            raise ValueError("an event has the keys action, after, answer")
        action, after, row = data["action"], data["after"], self.row(number)
        if action not in ACTIONS or type(after) is not int:
            raise ValueError(f"action is one of {', '.join(ACTIONS)}, after is a number")
        answer = None if action in ("undo", "redo") else Answer.parse(data.get("answer"))
        machine = Answer.of_row(row)
        if action == "reset":
            answer = machine
        if answer and answer.decision == "accepted" and answer.plane is None:
            raise ValueError("no plane: choose one, or reject the frame")
        if answer and answer.decision == "accepted" and answer.plane in SHAPE_OF_PLANE and answer.shape is None:
            raise ValueError(f"no outline of the {answer.plane}: draw it, or reject the frame")
        kept = {"answer": machine.json(), "mm": self.millimetres(row, machine), "status": row["status"]}
        history = self.store.append(self._key(row), action, answer, partial(self.millimetres, row), kept, after)
        return self._state(row, history, machine)

    def state(self, number: int) -> dict[str, Any]:
        """The reader's answer in a frame, as `change` returns it."""
        row = self.row(number)
        return self._state(row, self._history(row), Answer.of_row(row))

    def millimetres(self, row: Row, answer: Answer) -> dict[str, float | None]:
        """The values of an answer in a frame."""
        return answer.millimetres(spacing_of(row), self.frames.regions(row))

    def _brief(self, row: Row, history: History) -> dict[str, Any]:
        """What the list shows of a reader's answer."""
        answer = history.answer or Answer.of_row(row)
        primary = PRIMARY.get(answer.plane or "")
        edited = answer.shape != Answer.of_row(row).shape or answer.plane != row["plane"]
        return {
            "decision": answer.decision,
            "plane": answer.plane,
            "mm": (history.events[-1].mm if history.events else row)[primary] if primary else None,
            "edited": edited,
            "version": history.version,
        }

    def _key(self, row: Row) -> tuple[str, str, int]:
        return self.reader, row["file"], row["frame"]

    def _history(self, row: Row) -> History:
        return self.store.histories.get(self._key(row)) or History()

    def _state(self, row: Row, history: History, machine: Answer) -> dict[str, Any]:
        answer = history.answer or machine
        values = history.events[-1].mm if history.events else self.millimetres(row, answer)
        weeks = age(values)["ga_weeks"]
        return {
            "version": history.version,
            "answer": answer.json(),
            "mm": values,
            "age": None if weeks is None else format_age(weeks),
            "undo": len(history.past),
            "redo": len(history.future),
            "events": [_event(e) for e in history.events[-8:]],
            "brief": self._brief(row, history),
        }


def _name(row: Row) -> str:
    """The bare name of the file, without its suffix; a cine's frame has its number."""
    stem = Path(row["file"]).stem
    return f"{stem} · {row['frame']}" if row["frame"] else stem


def _listed(number: int, row: Row) -> dict[str, Any]:
    primary = PRIMARY.get(row["plane"] or "")
    value = row[primary] if primary else None
    return {"n": number, "name": _name(row), "plane": row["plane"], "status": row["status"], "mm": value}


def _event(event: Event) -> dict[str, str]:
    return {"time": event.time, "reader": event.reader, "action": event.action}
