"""State of a sweep of a PACS: one SQLite file, consistent after a kill at any moment.

An instance's rows and the objects made from it are written in one transaction. An object's bytes are kept until the
server has confirmed it, so that it is sent again byte for byte.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fetal_jax.archive.pacs.dicomweb import Instance
from fetal_jax.errors import UserError
from fetal_jax.outputs.rows import Row
from fetal_jax.results.resume_log import another_call

_TABLES = """
CREATE TABLE IF NOT EXISTS call (text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS instance (uid TEXT PRIMARY KEY, study TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frame (instance TEXT, frame INTEGER, row TEXT NOT NULL, PRIMARY KEY (instance, frame));
CREATE TABLE IF NOT EXISTS object (uid TEXT PRIMARY KEY, instance TEXT NOT NULL, kind TEXT NOT NULL, body BLOB);
CREATE INDEX IF NOT EXISTS unconfirmed ON object (instance) WHERE body IS NOT NULL;
"""
"""`body` is NULL once the server has confirmed the object."""


class State:
    """The state file of a folder that the caller has locked. All methods may be called by several threads."""

    def __init__(self, path: Path, call: dict[str, Any]) -> None:
        """Open the file, or create it.

        Args:
          path: of the file.
          call: everything that affects the rows and objects.

        Raises:
          UserError: it is not a state file, or of another call.
        """
        self._path, self._lock = path, threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        text = json.dumps(call, sort_keys=True)
        try:
            with self._work() as db:
                # one process: no shared memory, which network file systems lack
                db.execute("PRAGMA locking_mode=EXCLUSIVE")
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(_TABLES)
                known = [found for (found,) in db.execute("SELECT text FROM call")]
                if not known:
                    db.execute("INSERT INTO call VALUES (?)", (text,))
        except BaseException:
            self.close()
            raise
        if known and known != [text]:
            before = json.loads(known[0])
            self.close()
            now = json.loads(text)
            differ = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
            raise UserError(f"{path.parent} holds the sweep of {another_call(differ)}: give another --out")

    @contextmanager
    def _work(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time.

        Raises:
          UserError: the disk is full, or the file is damaged or locked by another program.
        """
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as e:
                advice = "make room there, and call again" if "full" in str(e) or "I/O" in str(e) else "call again"
                raise UserError(f"{self._path} cannot be written or read ({e}): {advice}, or give another --out") from e

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._work() as db:
            db.execute("BEGIN")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def is_measured(self, uid: str) -> bool:
        """Whether an instance was measured."""
        with self._work() as db:
            return db.execute("SELECT 1 FROM instance WHERE uid = ?", (uid,)).fetchone() is not None

    def add(self, instance: Instance, rows: list[Row], objects: dict[str, tuple[str, bytes]]) -> None:
        """Add a measured instance, its rows, and the objects to store: kind and file by SOP Instance UID."""
        with self._transaction() as db:
            db.execute("INSERT INTO instance VALUES (?, ?)", (instance.uid, instance.study))
            frames = [(instance.uid, row["frame"], json.dumps(row)) for row in rows]
            db.executemany("INSERT INTO frame VALUES (?, ?, ?)", frames)
            values = [(uid, instance.uid, kind, body) for uid, (kind, body) in objects.items()]
            db.executemany("INSERT INTO object VALUES (?, ?, ?, ?)", values)

    def confirm(self, uids: list[str]) -> list[str]:
        """Mark objects as being on the server; returns their kinds."""
        kinds = []
        with self._transaction() as db:
            for uid in uids:
                query = "UPDATE object SET body = NULL WHERE uid = ? RETURNING kind"
                kinds += [kind for (kind,) in db.execute(query, (uid,))]
        return kinds

    def unconfirmed(self) -> list[tuple[str, str]]:
        """Study and instance of each source with an object that the server has not confirmed."""
        query = (
            "SELECT DISTINCT i.study, i.uid FROM object o JOIN instance i ON i.uid = o.instance"
            " WHERE o.body IS NOT NULL ORDER BY i.uid"
        )
        with self._work() as db:
            return db.execute(query).fetchall()

    def bodies(self, instance: str) -> dict[str, bytes]:
        """The unconfirmed objects of a source instance by SOP Instance UID."""
        query = "SELECT uid, body FROM object WHERE instance = ? AND body IS NOT NULL ORDER BY uid"
        with self._work() as db:
            return dict(db.execute(query, (instance,)).fetchall())

    def rows(self) -> Iterator[Row]:
        """All rows, by instance and frame, without holding them in memory."""
        with self._work() as db:
            for (text,) in db.execute("SELECT row FROM frame ORDER BY instance, frame"):
                yield json.loads(text)
