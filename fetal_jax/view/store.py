"""Corrections in an append-only SQLite file. Every change is an event with time, reader and both answers."""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.view.answer import Answer

NAME = "corrections.sqlite"
APPLICATION = 0x46424A58
"""SQLite's application_id: a file of another program is refused."""
SCHEMA = 3
"""SQLite's user_version. Later versions of this program read earlier files; earlier ones refuse later files.
Version 2: answers may have ticks, the machine's part has the role of the reader, names of files may be bytes.
Version 3: the openings."""
ACTIONS = (
    *("move", "pull", "turn", "draw", "plane", "accept", "reject", "undecide", "comment", "tick", "choose", "reset"),
    *("undo", "redo"),
)
_OPENINGS = """
CREATE TABLE IF NOT EXISTS openings (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, reader TEXT NOT NULL, role TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS openings_no_update BEFORE UPDATE ON openings
  BEGIN SELECT RAISE(ABORT, 'openings are only added'); END;
CREATE TRIGGER IF NOT EXISTS openings_no_delete BEFORE DELETE ON openings
  BEGIN SELECT RAISE(ABORT, 'openings are only added'); END;
"""
_CREATE = f"""
BEGIN;
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, reader TEXT NOT NULL, file TEXT NOT NULL,
  frame INTEGER NOT NULL, action TEXT NOT NULL, answer TEXT NOT NULL, mm TEXT NOT NULL,
  machine TEXT NOT NULL);
CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
{_OPENINGS}
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {SCHEMA};
COMMIT;
"""
ROLES = ("reader", "blinded", "adjudicator")
"""A reader sees the machine's answer, a blinded one sees nothing, an adjudicator sees all answers."""
Key = tuple[str, str, int]
"""Reader, file, frame."""


class Conflict(Exception):
    """The frame was changed since the caller last read it, in another tab or by another measurement."""


@dataclass(frozen=True)
class Event:
    """One change: the answer after it, and the machine's answer that it corrects."""

    id: int
    time: str  # UTC, ISO 8601
    reader: str
    file: str
    frame: int
    action: str
    answer: Answer
    mm: dict[str, float | None]  # the values of `answer`
    machine: dict[str, Any]

    @property
    def role(self) -> str:
        """The role of the reader when the event was made, one of `ROLES`."""
        return str(self.machine.get("role", ROLES[0]))


@dataclass(frozen=True)
class Opening:
    """A page that was shown to a reader, whether or not the reader answered; `role` is one of `ROLES`."""

    time: str  # UTC, ISO 8601
    reader: str
    role: str


@dataclass
class History:
    """The events of one reader for one frame, with undo and redo."""

    past: list[Answer] = field(default_factory=list)
    future: list[Answer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Number of the last event; 0 before the first."""
        return self.events[-1].id if self.events else 0

    @property
    def answer(self) -> Answer | None:
        """The current answer; None before the first event."""
        return self.events[-1].answer if self.events else None

    def add(self, event: Event, initial: Answer) -> None:
        """Apply an event; `initial` is the answer before the first one, and before the first after a new measurement.

        Undo never returns to an answer for an earlier measurement.
        """
        again = bool(self.events) and event.machine["answer"] != self.events[-1].machine["answer"]
        if again:
            self.past.clear()
            self.future.clear()
        before = initial if again else self.answer or initial
        if event.action == "undo" and self.past:
            self.past.pop()
            self.future.append(before)
        else:
            if event.action == "redo" and self.future:
                self.future.pop()
            else:
                self.future.clear()
            self.past.append(before)
        self.events.append(event)


class Store:
    """All events of a results folder."""

    def __init__(self, path: Path, writable: bool) -> None:
        """Open or create the file.

        Raises:
          UserError: the file is from another program or a later version, is damaged, or cannot be opened.
        """
        self.path, self.writable = path, writable
        self.histories: defaultdict[Key, History] = defaultdict(History)
        self.openings: list[Opening] = []
        self.last = 0
        self._mutex = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._open()

    def _open(self) -> None:
        if not (self.writable or self.path.is_file()):
            return
        mode = "rwc" if self.writable else "ro"
        with _named(self.path), ExitStack() as failed:
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False)
            failed.callback(db.close)
            application, version = (db.execute(f"PRAGMA {k}").fetchone()[0] for k in _HEADER)
            if application == version == 0 and self.writable and not _tables(db, "%"):
                db.executescript(_CREATE)
                application, version = APPLICATION, SCHEMA
            if application != APPLICATION:
                raise UserError(f"{self.path} was not written by this program: move it away")
            if version > SCHEMA:
                raise UserError(f"{self.path} was written by a later version of this program: update fetal_jax")
            db.execute("PRAGMA synchronous = FULL")
            if self.writable and version < SCHEMA:
                db.executescript(_OPENINGS)
                db.execute(f"PRAGMA user_version = {SCHEMA}")
            failed.pop_all()
        self._db = db
        self.refresh()

    def refresh(self) -> list[Event]:
        """Read events added since the last call, by which a read-only server follows the writing one.

        Raises:
          UserError: the file cannot be read.
        """
        with self._mutex:
            if self._db is None:
                if self.path.is_file():
                    self._open()
                return []
            with _named(self.path):
                found = self._db.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (self.last,)).fetchall()
                if _tables(self._db, "openings"):  # not in a file of an earlier version that this one only reads
                    after = "SELECT time, reader, role FROM openings WHERE id > ? ORDER BY id"
                    self.openings += (Opening(*values) for values in self._db.execute(after, (len(self.openings),)))
            events = [_event(values) for values in found]
            for event in events:
                # a blinded reader began with an empty frame, and undo must not show the machine's outline
                initial = Answer(None) if event.role == "blinded" else Answer.parse(event.machine["answer"])
                self.histories[event.reader, event.file, event.frame].add(event, initial)
                self.last = event.id
            return events

    def append(
        self,
        key: Key,
        action: str,
        answer: Answer | None,
        millimetres: Callable[[Answer], dict[str, float | None]],
        machine: dict[str, Any],
        after: int,
    ) -> History:
        """Add one event; it is on disk when this returns.

        Args:
          key: reader, file, frame.
          action: one of `ACTIONS`. "undo" and "redo" take the answer from the history.
          answer: the answer after the change.
          millimetres: computes the values of an answer, which are stored with the event.
          machine: the machine's answer, stored with the event; its "id", if any, is the event's id. If the last event
            is sent again because its reply was lost, it is not added twice.
          after: the `version` of the history that the caller has read.

        Raises:
          Conflict: the history has another version.
          UserError: the store is read-only, there is nothing to undo or redo, or this user cannot write the file.
          OSError: the disk is full, or another program has locked the file. Nothing was added; a later attempt may
            succeed.
        """
        with self._mutex:
            if not self.writable or self._db is None:
                raise UserError("another server holds these results: this one only shows them")
            history = self.histories[key]
            if "id" in machine and history.events and history.events[-1].machine.get("id") == machine["id"]:
                return history
            if after != history.version:
                raise Conflict
            if action in ("undo", "redo"):
                answers = history.past if action == "undo" else history.future
                if not answers:
                    raise UserError(f"nothing to {action}")
                answer = answers[-1]
            assert answer is not None
            reader, file, frame = key
            values = (
                _now(),
                reader,
                _stored(file),
                frame,
                action,
                *map(json.dumps, (answer.json(), millimetres(answer), machine)),
            )
            try:
                with self._db:
                    self._db.execute(
                        "INSERT INTO events (time, reader, file, frame, action, answer, mm, machine)"
                        " VALUES (?,?,?,?,?,?,?,?)",
                        values,
                    )
            except sqlite3.Error as e:
                if e.sqlite_errorcode & 0xFF in _NO_ROOM:  # the last byte is the primary code
                    raise OSError(errno.EIO, str(e), str(self.path)) from None
                raise UserError(f"{self.path} cannot be written ({e}): check who may write there") from None
            self.refresh()
            return history

    def add_opening(self, reader: str, role: str) -> bool:
        """Record that a page is shown to a reader, also beside another server; returns whether it is on disk.

        It is not where this user cannot write, or the disk is full.
        """
        with self._mutex:
            try:
                with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True)) as db, db:
                    db.execute("INSERT INTO openings (time, reader, role) VALUES (?,?,?)", (_now(), reader, role))
            except sqlite3.Error:
                return False
            self.refresh()
            return True

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_HEADER = ("application_id", "user_version")
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY)
"""Temporary errors: the same event can be sent again."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in SQLite's errors, with the remedy.

    Raises:
      UserError: in place of an error of SQLite.
    """
    try:
        yield
    except sqlite3.OperationalError as e:  # due to the disk or permissions, not the content
        raise UserError(
            f"{path} cannot be opened ({e}): make room on its disk, and check who may write there"
        ) from None
    except sqlite3.DatabaseError as e:
        raise UserError(f"{path} cannot be read ({e}): move it away") from None


def _event(values: tuple[Any, ...]) -> Event:
    number, time, reader, file, frame, action, answer, mm, machine = values
    parsed = Answer.parse(json.loads(answer)), json.loads(mm), json.loads(machine)
    file = file.decode("utf-8", "surrogateescape") if isinstance(file, bytes) else file
    return Event(number, time, reader, file, frame, action, *parsed)


def _stored(file: str) -> str | bytes:
    """A file's name for SQLite: bytes if it is not UTF-8."""
    try:
        file.encode()
    except UnicodeEncodeError:
        return file.encode("utf-8", "surrogateescape")
    return file


def _tables(db: sqlite3.Connection, named: str) -> int:
    """Count the tables of a name, or a pattern of LIKE, and all else that a file of SQLite has by name."""
    count: int = db.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE ?", (named,)).fetchone()[0]
    return count
