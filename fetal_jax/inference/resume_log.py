"""Which call a folder of results is of, and what is already measured, so that what was interrupted goes on."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from fetal_jax import files
from fetal_jax.errors import UserError
from fetal_jax.outputs.results import Row
from fetal_jax.reading.sources import Source

CALL = "call.json"
"""What was asked for. It stays, so that a folder never holds two calls' results."""
NAME = "measuring.jsonl"
"""A line a measured file, while there are others left; removed when the results are whole."""


class Journal:
    """A file's rows are saved once all that is said of it is written; a line cut short by the interruption is not."""

    def __init__(self, path: Path, begun: bool) -> None:
        self._path = path
        self.begun = begun  # whether the folder holds results of this call
        self._held = ExitStack()
        self._held.enter_context(files.lock(path.parent, "wait for it, or give another --out"))
        self._file = path.open("a", encoding="ascii")
        try:
            lines = _whole_lines(path)
        except UserError:
            self._file.close()
            self._held.close()
            raise
        self._saved = {line["file"]: line for line in lines}
        self._file.truncate(0)  # without the line that was cut short
        self._write(*lines)

    @classmethod
    def open(cls, folder: Path, call: dict[str, Any]) -> Self:
        """Go on with what was interrupted in `folder`, or begin.

        Raises:
          UserError: another process writes there, or what is there is of another call: other paths, bundle, plane,
            spacing or kinds of results.
        """
        path, text = folder / CALL, json.dumps(call, indent=1) + "\n"
        try:
            before = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
        except ValueError:
            raise UserError(f"{path} is damaged: give another --out, or remove {folder}") from None
        differ = [key for key, value in json.loads(text).items() if before and before.get(key) != value]
        if differ:
            told = ", ".join(differ)
            raise UserError(f"{folder} holds results with another {told}: give another --out, or remove {folder}")
        journal = cls(folder / NAME, begun=bool(before))
        path.write_text(text, encoding="ascii")
        return journal

    def rows(self, source: Source) -> list[Row] | None:
        """The rows of a file that was done and has not changed since; None where it is to be measured."""
        line = self._saved.get(str(source))
        return line["rows"] if line and line["fingerprint"] == source.fingerprint() else None

    def save(self, source: Source, rows: list[Row]) -> None:
        """All of a file's rows."""
        self._write({"file": str(source), "fingerprint": source.fingerprint(), "rows": rows})

    def _write(self, *lines: dict[str, Any]) -> None:
        self._file.writelines(json.dumps(line) + "\n" for line in lines)
        self._file.flush()

    def close(self, finished: bool) -> None:
        """Remove it where the run is finished."""
        if finished:
            self._path.unlink()
        self._file.close()
        self._held.close()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="ascii")
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if all({"file", "fingerprint", "rows"} <= set(line) for line in lines):
            return lines
        raise ValueError
    except (OSError, TypeError, ValueError):
        raise UserError(f"{path} is damaged: remove it to begin again") from None
