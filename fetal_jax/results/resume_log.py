"""The resume log of a results folder: its call and the rows already measured."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from fetal_jax import files
from fetal_jax.errors import UserError
from fetal_jax.files import OwnFiles
from fetal_jax.inference.identity import KEY_FILE
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.sources import CALL, PARTS, Source

NAME = "measuring.jsonl"
"""Name of the log, with a line for each measured file; removed when the results are complete."""
FINGERPRINTS = "fingerprints.jsonl"
"""Name of the list of fingerprints: a line for each file of complete results, from before it was read."""
Fingerprint = list[int | str]
"""Size and modification time (`Source.fingerprint`), then the SHA-256 of the content if it is known: not of DICOM, nor
in results of older versions. Empty if the file was gone."""
_FIXED = re.compile(
    r"measurements\.(csv|json)|examinations\.(csv|json)|report\.html|identifiers\.key|fingerprints\.jsonl|cines\.csv"
    r"|contact_sheet_\d+\.png"
)
"""Files of a results folder whose names do not depend on the frames."""


class ResumeLog:
    """The lines of `measuring.jsonl`: the rows of a file, saved once everything else about it is written.

    Rows are read when they are needed, so that memory does not grow with the folder. A line that a kill cut short is
    ignored.
    """

    def __init__(self, own: OwnFiles, held: ExitStack) -> None:
        self.own, self._held = own, held
        self._path = own.claim(NAME)
        self._file = held.enter_context(self._path.open("ab"))
        self._reader = held.enter_context(self._path.open("rb"))
        self._lines: dict[str, tuple[int, Fingerprint]] = {}  # by file: offset of its line, its fingerprint
        self._file.truncate(self._index())

    def _index(self) -> int:
        """Find the complete lines; returns the end of the last one."""
        end = 0
        self._reader.seek(0)
        for line in self._reader:
            if line.endswith(b"\n"):
                entry = _parsed(line, self._path)
                self._lines[entry["file"]] = end, entry["fingerprint"]
                end += len(line)
        return end

    @classmethod
    def open(cls, folder: Path, call: dict[str, Any]) -> Self:
        """Lock a folder, and resume the interrupted run there, or begin a new one.

        A call that differs only by adding to the spacings of the earlier one replaces that one's results.

        Raises:
          UserError: another process writes there, or the folder holds files that this program did not write, an older
            version's results, or those of another call: other paths, bundle, plane, spacing or kinds of results.
        """
        with ExitStack() as held:
            held.enter_context(files.lock(folder, "wait for it to end, or give another --out"))
            _check_foreign(folder)
            own = OwnFiles(folder)
            path, call = own.claim(CALL), json.loads(json.dumps(call))
            try:
                before = dict(json.loads(path.read_text(encoding="ascii"))) if path.exists() else {}
            except (ValueError, TypeError):
                raise UserError(f"{path} is damaged: remove it, or give another --out") from None
            differ = [key for key, value in call.items() if before and before.get(key) != value]
            of_spacing = "spacing" in differ and set(differ) <= {"spacing", "examinations"}
            if of_spacing and _adds(before["spacing"], call["spacing"]):
                own.clear(keep=(CALL, KEY_FILE).__contains__)
            elif differ:
                raise UserError(f"{folder} holds results of {another_call(differ)}: give another --out")
            files.write_whole(path, json.dumps(call, indent=1) + "\n")
            log = cls(own, held)
            log._held = held.pop_all()
            return log

    def take_up(self, sources: list[Source], finished: Path) -> None:
        """Reuse the rows of finished results, for files that are unchanged since.

        Args:
          sources: the files of this call.
          finished: `measurements.json`. Nothing is reused if it is missing, or if an interrupted run left its log.

        Raises:
          UserError: the list of fingerprints is damaged.
        """
        if self._lines or not finished.is_file():
            return
        known = fingerprints(self.own.folder)
        rows: dict[str, list[Row]] = {}
        for row in json.loads(finished.read_text(encoding="utf-8")):
            rows.setdefault(row["file"], []).append(row)
        for source in sources:
            fingerprint = known.get(str(source))
            if fingerprint and str(source) in rows and is_untouched(source, fingerprint):
                self.save(source, rows[str(source)], fingerprint)
        self._index()

    def claim_submission(self, path: Path) -> None:
        """Claim a file that the caller writes afterwards, in this folder or elsewhere (`OwnFiles.claim`).

        Raises:
          UserError: it is one of the results, or exists and is not of this program.
        """
        folder, real = Path(os.path.realpath(self.own.folder)), Path(os.path.realpath(path))
        first = real.relative_to(folder).parts[0] if folder in real.parents else ""
        if first in (CALL, NAME, OwnFiles.LIST, files.LOCK, *PARTS) or _FIXED.fullmatch(first):
            raise UserError(f"{path} is one of the results: give the submission another name")
        self.own.claim(os.path.abspath(path))

    @property
    def measured(self) -> list[str]:
        """Names of the files that an interrupted run measured."""
        return list(self._lines)

    def has(self, source: Source) -> bool:
        """Whether a file was measured and has not changed since."""
        _, fingerprint = self._lines.get(str(source), (0, None))
        return fingerprint is not None and is_untouched(source, fingerprint)

    def rows(self, source: Source) -> list[Row]:
        """The rows of a file that was measured."""
        self._reader.seek(self._lines[str(source)][0])
        rows: list[Row] = _parsed(self._reader.readline(), self._path)["rows"]
        return rows

    def save(self, source: Source, rows: list[Row], fingerprint: Fingerprint) -> None:
        """Add all rows of a file, with its fingerprint from before it was read."""
        line = json.dumps({"file": str(source), "fingerprint": fingerprint, "rows": rows})
        self._file.write(line.encode("ascii") + b"\n")
        self._file.flush()

    def clear(self, keep: Callable[[str], bool]) -> None:
        """Delete the files of the earlier run, except the pictures and reports to keep."""
        self.own.clear(keep=lambda name: name in (CALL, NAME, KEY_FILE) or keep(name))

    def finish(self, sources: Iterable[Source]) -> None:
        """Write the fingerprints of the measured files, and remove the log: the results are complete."""
        gone = self._lines.keys() - map(str, sources)  # deleted since the interrupted run
        with files.open_whole(self.own.claim(FINGERPRINTS)) as file:
            self._reader.seek(0)
            for line in self._reader:
                entry = _parsed(line, self._path)
                del entry["rows"]
                if entry["file"] not in gone:
                    file.write(json.dumps(entry).encode("ascii") + b"\n")
        self._path.unlink()

    def close(self) -> None:
        """Release the folder."""
        self._held.close()


_OPTIONS = {
    "paths": "paths",
    "bundle": "bundle (--bundle)",
    "version": "version of this program",
    "plane": "plane (--plane)",
    "spacing": "spacing",
    "also": "reports (--also)",
    "examinations": "standard, identifiers, age (--ga) or table of examinations",
    "runtime": "runtime (--runtime)",
    "url": "server (--url)",
}
"""The parts of a call (`folder.call_of`) in words."""
_SEVERAL = ("paths", "also")


def another_call(differ: Iterable[str]) -> str:
    """For a message: "a call that had another plane (--plane)"; `differ` are keys of `call.json`."""
    words = [f"{'other' if key in _SEVERAL else 'another'} {_OPTIONS.get(key, key)}" for key in differ]
    return f"a call that had {' and '.join(words)}"


def is_untouched(source: Source, fingerprint: Fingerprint) -> bool:
    """Whether a file has the size and time of a fingerprint: it is not read."""
    return fingerprint[:2] == source.fingerprint()


def fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """Read the fingerprints of the files of complete results, each from before the file was read.

    Empty if there is no list, as in results of older versions: then no file counts as unchanged.

    Raises:
      UserError: the list is damaged.
    """
    path = folder / FINGERPRINTS
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        entries = (_parsed(line, path, {"file", "fingerprint"}) for line in file)
        return {entry["file"]: entry["fingerprint"] for entry in entries}


def _adds(before: list[Any], now: list[Any]) -> bool:
    """Whether a call gives every spacing that an earlier one gave, and more (`call_of`): rows of a table, the ruler."""
    (source, constant, table, *ruler), (new_source, new_constant, new_table, *new_ruler) = before, now
    if source == "none":
        return True
    had_ruler, has_ruler = source == "ruler" or bool(ruler), new_source == "ruler" or bool(new_ruler)
    rows, new_rows = (table or {}).items(), (new_table or {}).items()
    return constant == new_constant and rows <= new_rows and has_ruler >= had_ruler


def _check_foreign(folder: Path) -> None:
    """Refuse a folder with results of an older format, or of another program."""
    if os.path.lexists(folder / OwnFiles.LIST):
        return
    names = sorted(path.name for path in folder.iterdir() if path.name in (CALL, NAME) or _FIXED.fullmatch(path.name))
    if CALL in names:
        raise UserError(f"{folder} holds results of an older version, or a {CALL} of yours: give another --out")
    if names:
        raise UserError(f"{folder} holds {', '.join(names[:3])}, not written by this program: give another --out")


def _parsed(line: bytes, path: Path, keys: Iterable[str] = ("file", "fingerprint", "rows")) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if set(keys) <= set(entry):
            return dict(entry)
    except (TypeError, ValueError):
        pass
    raise UserError(f"{path} is damaged: remove it to begin again")
