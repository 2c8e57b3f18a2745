"""A results folder of `fetal-jax measure`: its rows, also while they are being written, and their frames."""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.outputs.examinations.examination import CHOICES
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY, JSON, Row
from fetal_jax.reading.sources import CALL, OVERLAYS, Source
from fetal_jax.results.measured_file import source_of
from fetal_jax.results.resume_log import NAME as LOG
from fetal_jax.results.resume_log import Fingerprint, fingerprints

STANDARD = "hadlock"
_KEYS = (*COLUMNS, *GEOMETRY)


class Results:
    """Rows in the order of their first appearance; a row's number never changes while the program runs."""

    def __init__(self, folder: Path) -> None:
        """Read the existing rows.

        Raises:
          UserError: there are no results of `fetal-jax measure`, or they are damaged.
        """
        self.folder, self.rows, self.complete = folder, list[Row](), False
        self.examinations: dict[tuple[str, str | None], dict[int, None]] = {}
        """The numbers of each examination's rows, by its name and fetus, in the order of their first rows."""
        self.remeasured: list[int] = []
        """The numbers of rows that were measured again since this was opened, with another result, one by one; also of
        those that have another name since a file came that is called alike."""
        self._numbers: dict[tuple[str, int], int] = {}
        self._names, self._of_file = Names(), defaultdict[str, list[int]](list)
        self._read_bytes, self._seen = 0, (0, 0)
        self._mutex = threading.Lock()
        if not any((folder / name).is_file() for name in (JSON, LOG, CALL)):
            raise UserError(f"{folder} holds no {JSON}: give the --out folder of fetal-jax measure, or frames")
        self._asked, self._fingerprints = _asked(folder), dict[str, Fingerprint]()
        self.refresh()

    def refresh(self) -> None:
        """Read rows written since the last call, from the resume log of a running `measure` or the finished JSON."""
        with self._mutex:
            if self._read_log():
                return
            path = self.folder / JSON
            try:
                s = path.stat()
                if (s.st_mtime_ns, s.st_size) == self._seen:
                    return
                rows = json.loads(path.read_text(encoding="utf-8"))
                self._fingerprints = fingerprints(self.folder)
                for row in rows:
                    self._add(row)
            except FileNotFoundError:
                self.complete = False
                return
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
                raise UserError(f"{path} is damaged ({type(e).__name__}): run fetal-jax measure again") from None
            self._seen, self.complete = (s.st_mtime_ns, s.st_size), True

    def number(self, file: str, frame: int) -> int | None:
        """The number of a row; None if it is not in these results."""
        return self._numbers.get((file, frame))

    def name(self, row: Row) -> str:
        """A short name that no other row has; a cine's frame has its number. Bytes that are no text are "�"."""
        name = self._names.of(row["file"])
        if not name.isprintable():
            name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return f"{name} · {row['frame']}" if row["frame"] else name

    def source(self, row: Row) -> Source | None:
        """The file of a row; None if it no longer exists, or is another one now."""
        return source_of(row, self._asked, self._fingerprints.get(row["file"]), self.folder)

    def overlay(self, row: Row) -> Path | None:
        """The overlay of a row; None if it no longer exists, or would be outside the folder."""
        if not row["overlay"]:
            return None
        home, path = (self.folder / OVERLAYS).resolve(), (self.folder / row["overlay"]).resolve()
        return path if path.is_relative_to(home) and path.is_file() else None

    def standard(self) -> str:
        """The standard of age, weight and centiles of the examinations."""
        try:
            found = json.loads((self.folder / CALL).read_text(encoding="ascii"))["examinations"][0]
        except (OSError, ValueError, TypeError, KeyError, IndexError):
            return STANDARD
        return found if found in CHOICES else STANDARD

    def _read_log(self) -> bool:
        """Read new complete lines of the log; returns whether there is a log."""
        try:
            with (self.folder / LOG).open("rb") as file:
                if file.seek(0, 2) < self._read_bytes:  # another run began
                    self._read_bytes = 0
                file.seek(self._read_bytes)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read_bytes += len(line)
                    entry = json.loads(line)
                    self._fingerprints[entry["file"]] = entry["fingerprint"]
                    for row in entry["rows"]:
                        self._add(row)
        except FileNotFoundError:
            self._read_bytes = 0
            return False
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise UserError(f"{self.folder / LOG} is damaged ({type(e).__name__}): remove it, measure again") from None
        self.complete, self._seen = False, (0, 0)
        return True

    def _add(self, row: dict[str, Any]) -> None:
        row = dict.fromkeys(_KEYS) | row
        key = str(row["file"]), int(row["frame"])
        number = self._numbers.setdefault(key, len(self.rows))
        if number < len(self.rows):
            before, self.rows[number] = self.rows[number], row
            if before != row:
                self.remeasured.append(number)
                self.examinations.get((before["examination"], before["fetus"]), {}).pop(number, None)
        else:
            for file in self._names.add(row["file"]):
                self.remeasured += self._of_file[file]
            self.rows.append(row)
            self._of_file[row["file"]].append(number)
        if row["examination"] is not None:
            self.examinations.setdefault((row["examination"], row["fetus"]), {})[number] = None


class Names:
    """A short name of each file: the shortest ending of its path that no other file has, without the suffix.

    The frames of DICOM studies in folders are often called alike. Two files that differ by the suffix alone have it.
    """

    def __init__(self) -> None:
        self._endings: dict[str, str] = {}  # of a path without suffix
        self._owners: dict[str, str | None] = {}  # of an ending; None: several paths have it
        self._files: defaultdict[str, list[str]] = defaultdict(list)  # by path without suffix

    def add(self, file: str) -> list[str]:
        """Take a file in; returns the files that have another name now."""
        path = os.path.splitext(file)[0]
        files = self._files[path]
        if file in files:
            return []
        files.append(file)
        return files[:-1] if len(files) > 1 else self._place(path, 1)

    def of(self, file: str) -> str:
        """The name of a file."""
        path, suffix = os.path.splitext(file)
        return self._endings[path] + (suffix if len(self._files[path]) > 1 else "")

    def _place(self, path: str, parts: int) -> list[str]:
        """Give a path its shortest ending from `parts` parts on; returns the files that give way to it."""
        moved: list[str] = []
        while (ending := _ending(path, parts)) in self._owners:
            other = self._owners[ending]
            if other is not None:
                self._owners[ending] = None
                moved += [*self._files[other], *self._place(other, parts + 1)]
            parts += 1
        self._owners[ending], self._endings[path] = path, ending
        return moved


def _ending(path: str, parts: int) -> str:
    """The last parts of a path. One that has no more begins with "./", which tells "a" from "b/a"."""
    split = Path(path).parts
    return "/".join(split[-parts:]) if parts < len(split) else "./" * (parts - len(split)) + path


def _asked(folder: Path) -> list[str]:
    """The paths that `measure` was given; none if that is not recorded."""
    try:
        return list(map(str, json.loads((folder / CALL).read_text(encoding="ascii"))["paths"]))
    except (OSError, ValueError, TypeError, KeyError):
        return []
