"""One opened results folder: rows, frames and corrections for the page. No HTTP."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from fetal_jax import files
from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.growth import format_age
from fetal_jax.inference.acceptance import GIVE_PLANE, WITH_VALUE, WORDS, flag_words, kind_of
from fetal_jax.outputs.rows import Row, age, spacing_of
from fetal_jax.planes import PRIMARY, QUANTITIES, SHAPE_OF_PLANE
from fetal_jax.view import checklist, readers, remeasured
from fetal_jax.view.answer import MAX_COMMENT, VALUES, Answer
from fetal_jax.view.frames import Frames
from fetal_jax.view.results import Results
from fetal_jax.view.store import ACTIONS, NAME, Conflict, Event, History, Store

FAR = 1e9
"""Coordinate of the open sides of a region, because JSON has no infinity."""
CHOOSE_PLANE = "if it shows a plane that is measured, choose it (H, A or F), else reject the frame"
"""Words of the page for `GIVE_PLANE`, which is about calls."""
REVIEW = "review"
"""Folder inside the results, with corrections and their exports."""
MAX_ID = 64
"""Most characters of an event's id; those of the page have 32."""
_EVENT_KEYS = {"action", "after", "answer", "beside", "id", "reader"}
OF_OUTLINE = ("move", "pull", "turn", "draw", "plane")
"""Actions after which the ticks about an outline are reopened."""


class Session:
    """One reader's view of a results folder."""

    def __init__(self, results: Results, store: Store, frames: Frames, reader: str, role: str = "reader") -> None:
        """Take the parts; `role` is one of `store.ROLES`."""
        self.results, self.store, self.frames, self.reader, self.role = results, store, frames, reader, role
        self._recorded = False  # that its rows were shown

    @property
    def blinded(self) -> bool:
        """Whether the machine's and all other readers' answers are hidden."""
        return self.role == "blinded"

    @property
    def page(self) -> str:
        """Hash of folder, reader and role: other pages are refused, and the same page continues after a restart."""
        return _hash(str(self.results.folder.resolve()), self.reader, self.role)

    @classmethod
    def open(cls, folder: Path, reader: str, held: ExitStack, role: str = "reader") -> Self:
        """Open a folder; `held` releases it. A second server of a folder, or one on a full disk, is read-only.

        Raises:
          UserError: there are no results, the corrections cannot be read, or the reader cannot have the role.
        """
        results = Results(folder)
        review, writable = folder / REVIEW, True
        with ExitStack() as opened:
            try:
                opened.enter_context(files.lock(review))
            except (UserError, OSError):
                writable = False
            store = Store(review / NAME, writable)
            opened.callback(store.close)
            readers.check_role(store, reader, role)
            frames = Frames(results)
            opened.callback(frames.close)
            held.push(opened.pop_all())
        return cls(results, store, frames, reader, role)

    def about(self) -> dict[str, Any]:
        """Facts that the page requests once."""
        labels = {q.column: q.label for q in QUANTITIES.values()}
        return {
            "page": self.page,
            "reader": self.reader,
            "writable": self.store.writable,
            "role": self.role,
            "checklist": checklist.SOURCE,
            "notice": NOT_CLINICAL,
            "planes": SHAPE_OF_PLANE,
            "primary": PRIMARY,
            "labels": labels | {"long_mm": "Long axis", "short_mm": "Short axis"},
            "max_comment": MAX_COMMENT,
        }

    def changes(self, rows: int, event: int, exams: int = 0, remeasured: int = 0) -> dict[str, Any]:
        """Rows from number `rows` on, examinations from `exams` on, and this reader's answers after `event`.

        Also the rows that were measured again, without the first `remeasured` ones, and the answers for them. For an
        adjudicator, also the frames in which other readers differ. The first call records that this reader was shown
        the folder.
        """
        self._recorded = self._recorded or self.store.add_opening(self.reader, self.role)
        self.results.refresh()
        self.store.refresh()
        last = self.store.last  # before the answers: an event that arrives meanwhile is reported next time
        known = len(self.results.remeasured)
        again = dict.fromkeys(n for n in self.results.remeasured[remeasured:known] if n < rows)
        answers = {
            number: self._brief(self.results.rows[number], history)
            for key, history in list(self.store.histories.items())
            if key[0] == self.reader and (number := self.results.number(*key[1:])) is not None
            if history.version > event or (number in again and history.events)
        }
        places = {key: k for k, key in enumerate(self.results.examinations)}
        adjudicates = self.role == "adjudicator"

        def listed(number: int) -> dict[str, Any]:
            row = self.results.rows[number]
            return self._listed(number, row) | {"k": places.get(_examination(row))}

        return {
            "rows": [listed(number) for number in range(rows, len(self.results.rows))],
            "examinations": [
                {"k": k, "name": name, "fetus": fetus} for (name, fetus), k in places.items() if k >= exams
            ],
            "anew": [listed(number) for number in again],
            "remeasured": known,
            "answers": answers,
            "apart": readers.apart(self.store, self.results, event, again, self.today) if adjudicates else {},
            "event": last,
            "complete": self.results.complete,
        }

    def row(self, number: int) -> Row:
        """The row with a number.

        Raises:
          UserError: there is none.
        """
        if not 0 <= number < len(self.results.rows):
            raise UserError("there is no frame with this number")
        return self.results.rows[number]

    def picture(self, number: int) -> tuple[bytes, bool]:
        """The PNG of a frame, and whether it is the frame rather than the overlay of `measure`.

        Raises:
          UserError: it cannot be read, or a blinded reader would see the machine's outline in it.
        """
        data, is_frame = self.frames.png(self.row(number))
        if self.blinded and not is_frame:
            raise UserError(
                "the frame is gone, changed or damaged, and its overlay shows the machine's outline: bring it back"
            )
        return data, is_frame

    def frame(self, number: int) -> dict[str, Any]:
        """Everything about one frame."""
        row = self.row(number)
        machine = self._initial(row)
        seen = {key: row[key] for key in ("status", "plane", "plane_probability", "reason", "low_mm", "high_mm")}
        seen["reason"] = (row["reason"] or "").replace(GIVE_PLANE, CHOOSE_PLANE) or None
        seen["noted"] = _noted(row)
        if self.blinded:
            seen = dict.fromkeys(seen) | {"status": readers.UNREAD, "noted": []}
        adjudicates = self.role == "adjudicator"
        machine_mm = dict.fromkeys(VALUES) if self.blinded else self.machine_mm(row)
        return {
            "number": number,
            "name": self.results.name(row),
            **seen,
            "spacing_source": row["spacing_source"],
            "examination": self.frame_examination(number),
            "readings": readers.readings(self.store, row, machine_mm, self.today) if adjudicates else [],
            "spacing_mm": spacing_of(row),
            "regions": [[min(max(v, -FAR), FAR) for v in r.box] for r in self.frames.regions(row)],
            "machine": machine.json(),
            "machine_mm": machine_mm,
            **self._state(row, self._history(row), machine),
        }

    def change(self, number: int, data: Any) -> dict[str, Any]:
        """Add an event from the browser: `action`, `after` and, except for undo and redo, `answer`.

        "choose" takes the answer of another `reader` (empty: the machine), which only an adjudicator may do. `id`
        identifies the event: sending the last event again changes nothing. `beside` is that of the state it refers to.

        Raises:
          ValueError: a value is invalid; the message says which.
          Conflict: the frame was changed in another tab, or measured again, or the number now belongs to another frame.
          UserError: there is nothing to undo, no picture of a frame to accept, the server is read-only, or a blinded
            reader has opened another page that is not.
        """
        if self.blinded:
            self.store.refresh()
            readers.check_blinded(self.store, self.reader)
        if not isinstance(data, dict) or not {"action", "after"} <= set(data) <= _EVENT_KEYS:
            raise ValueError(f"an event has the keys {', '.join(sorted(_EVENT_KEYS))}")
        action, after, row = data["action"], data["after"], self.row(number)
        if action not in ACTIONS or type(after) is not int:
            raise ValueError(f"action is one of {', '.join(ACTIONS)}, after is a number")
        beside = self._beside(row)
        if data.get("beside", beside) != beside:
            raise Conflict
        kept: dict[str, Any] = {"role": self.role}
        if "id" in data:
            if not isinstance(data["id"], str) or not 0 < len(data["id"]) <= MAX_ID:
                raise ValueError(f"id is a text of 1 to {MAX_ID} characters")
            kept["id"] = data["id"]
        machine, answer = self._initial(row), None
        if action == "choose":
            kept["chosen"] = data.get("reader")
            answer = self._chosen(row, data.get("reader"))
        elif action == "reset":  # resets the outline; the reader's comment and ticks are about the frame
            own = self.answer(row) or machine
            answer = replace(machine, comment=own.comment, ticks=checklist.reopened(own.ticks))
        elif action not in ("undo", "redo"):
            answer = Answer.parse(data.get("answer"))
        elif not self._stands(row, self._history(row)):  # undo and redo would restore an answer for another measurement
            raise UserError(f"nothing to {action}: the frame was measured again")
        if answer and action in OF_OUTLINE:
            answer = replace(answer, ticks=checklist.reopened(answer.ticks))
        if answer and answer.decision == "accepted" and answer.plane is None:
            raise ValueError("no plane: choose one, or reject the frame")
        if answer and answer.decision == "accepted" and answer.plane in SHAPE_OF_PLANE and answer.shape is None:
            raise ValueError(f"no outline of the {answer.plane}: draw it, or reject the frame")
        if answer and answer.decision == "accepted":
            self._check_seen(number)
        kept |= {**remeasured.kept(row), "mm": self.machine_mm(row), "status": row["status"]}
        history = self.store.append(self._key(row), action, answer, partial(self.millimetres, row), kept, after)
        return self._state(row, history, machine)

    def state(self, number: int) -> dict[str, Any]:
        """The reader's answer for a frame, as `change` returns it."""
        row = self.row(number)
        return self._state(row, self._history(row), self._initial(row))

    def frame_examination(self, number: int) -> int | None:
        """The number of a frame's examination; None if that is not known."""
        key = _examination(self.row(number))
        return list(self.results.examinations).index(key) if key in self.results.examinations else None

    def answer(self, row: Row) -> Answer | None:
        """The reader's answer for a frame, reopened if it is no longer valid (`remeasured`); None before the first."""
        history = self._history(row)
        return self._now(row, history.events[-1])[0] if history.events else None

    def today(self, row: Row, event: Event) -> Event | None:
        """An event with today's values, its own and the machine's; None if it is no longer valid.

        An acceptance without a scale is open again once there is a value.
        """
        if not remeasured.stands(row, event):
            return None
        mm, answer = event.mm, event.answer
        if not remeasured.had_scale(event):
            mm = self.millimetres(row, answer)
            if answer.decision == "accepted" and any(mm.values()):
                answer = replace(answer, decision="")
        theirs = event.machine["mm"]
        if row["status"] not in WITH_VALUE or not any(theirs.values()):  # early events stored refused values
            theirs = self.machine_mm(row)
        return replace(event, answer=answer, mm=mm, machine=event.machine | {"mm": theirs, "status": row["status"]})

    def machine_mm(self, row: Row) -> dict[str, float | None]:
        """The machine's values for a frame; all None if it refused them, even with an outline and a scale."""
        return self.millimetres(row, Answer.of_row(row)) if row["status"] in WITH_VALUE else dict.fromkeys(VALUES)

    def checklist(self, row: Row, answer: Answer) -> list[dict[str, Any]]:
        """The items of an answer's plane, those that geometry can judge filled in."""
        size, regions = self.frames.size(row), self.frames.regions(row)
        if len(regions) == 1 and all(map(math.isfinite, regions[0].box)):
            x0, y0, x1, y1 = regions[0].box
            size = (round(x1 - x0), round(y1 - y0)) if x1 > x0 and y1 > y0 else size
        own = not self.blinded and remeasured.is_machines(answer, row)
        flags = row["flags"] if own else None
        ours = checklist.judged(answer.plane, answer.shape, size, spacing_of(row), flags)
        return checklist.listed(answer.plane, ours, answer.ticks)

    def _initial(self, row: Row) -> Answer:
        """The first answer of a reader: the machine's answer, or an empty one."""
        return Answer(None) if self.blinded else Answer.of_row(row)

    def _chosen(self, row: Row, reader: Any) -> Answer:
        if self.role != "adjudicator":
            raise ValueError("choose is an adjudicator's")
        chosen, own = readers.answer_of(self.store, row, reader, self.today), self.answer(row)
        return replace(chosen, decision=chosen.decision or "accepted", comment=own.comment if own else "")

    def _check_seen(self, number: int) -> None:
        """Refuse to accept an outline that nobody can have compared with its frame.

        Raises:
          UserError: the picture cannot be shown, and the frame is not accepted already.
        """
        before = self.answer(self.row(number))
        if before is not None and before.decision == "accepted":
            return
        try:
            self.picture(number)
        except (UserError, OSError) as e:
            raise UserError(f"no picture, so it cannot be accepted, only rejected: {e}") from None

    def _listed(self, number: int, row: Row) -> dict[str, Any]:
        primary = PRIMARY.get(row["plane"] or "")
        seen = {"plane": row["plane"], "status": row["status"], "mm": row[primary] if primary else None}
        if self.blinded:
            seen = {"plane": None, "status": readers.UNREAD, "mm": None}
        return {"n": number, "name": self.results.name(row), **seen}

    def millimetres(self, row: Row, answer: Answer) -> dict[str, float | None]:
        """The values of an answer for a frame."""
        return answer.millimetres(spacing_of(row), self.frames.regions(row))

    def _brief(self, row: Row, history: History) -> dict[str, Any]:
        """The part of a reader's answer for the list."""
        answer, mm = self._now(row, history.events[-1]) if history.events else (self._initial(row), None)
        primary = PRIMARY.get(answer.plane or "")
        edited = not self.blinded and not remeasured.is_machines(answer, row)
        first = dict.fromkeys(VALUES) if self.blinded else row
        return {
            "decision": answer.decision,
            "plane": answer.plane,
            "mm": (mm or first)[primary] if primary else None,
            "edited": edited,
            "version": history.version,
        }

    def _key(self, row: Row) -> tuple[str, str, int]:
        return self.reader, row["file"], row["frame"]

    def _history(self, row: Row) -> History:
        return self.store.histories.get(self._key(row)) or History()

    def _now(self, row: Row, event: Event) -> tuple[Answer, dict[str, float | None]]:
        """The reader's answer after an event, and its values."""
        if (today := self.today(row, event)) is not None:
            return today.answer, today.mm
        answer = remeasured.reopened(event, self._initial(row))
        return answer, self.millimetres(row, answer)

    def _stands(self, row: Row, history: History) -> bool:
        return not history.events or remeasured.stands(row, history.events[-1])

    def _beside(self, row: Row) -> str:
        """Hash of a frame and the machine's answer for it, by which an event identifies what the reader saw."""
        return _hash(row["file"], row["frame"], remeasured.kept(row))

    def _state(self, row: Row, history: History, machine: Answer) -> dict[str, Any]:
        if history.events:
            answer, values = self._now(row, history.events[-1])
        else:
            answer, values = machine, self.millimetres(row, machine)
        stands, last = self._stands(row, history), history.events[-1] if history.events else None
        return {
            "version": history.version,
            "beside": self._beside(row),
            "answer": answer.json(),
            "mm": values,
            "age": age_text(values),
            "undo": len(history.past) if stands else 0,
            "redo": len(history.future) if stands else 0,
            "checklist": self.checklist(row, answer),
            "events": [_event(e) for e in history.events[-8:]],
            "taken": readers.taken(history, answer) if self.role == "adjudicator" else None,
            "open_again": remeasured.why_open(last, self.today(row, last)) if last else "",
            "brief": self._brief(row, history),
        }


def age_text(values: dict[str, float | None]) -> str | None:
    """The age by an answer's values alone, as the page shows it; None without one."""
    weeks = age(values)["ga_weeks"]
    return None if weeks is None else format_age(weeks)


def _hash(*facts: Any) -> str:
    return hashlib.blake2b(json.dumps(facts).encode("ascii"), digest_size=8).hexdigest()


def _noted(row: Row) -> list[str]:
    """The flags that the reason leaves out, in words: those that are only noted, and those that a score outweighs."""
    words = [flag_words(f, row["plane"] or "") if f in WORDS else f for f in row["flags"] or []]
    return [text for text in words if kind_of(text) not in (row["reason"] or "")]  # a reason may have another remedy


def _examination(row: Row) -> tuple[str, str | None]:
    return row["examination"], row["fetus"]


def _event(event: Event) -> dict[str, str]:
    return {"time": event.time, "reader": event.reader, "action": event.action}
