"""What is already measured: a line a file, so that an interrupted folder goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from fetal_jax.errors import UserError
from fetal_jax.inference.rows import Row
from fetal_jax.reading.sources import Source

NAME = "measuring.jsonl"
"""In the folder of the results while they are being made; removed when they are whole."""


class Journal:
    """A file's rows are saved once all that is said of it is written; a line cut short by the interruption is not."""

    def __init__(self, path: Path, saved: dict[str, dict[str, Any]]) -> None:
        self._path, self._saved = path, saved
        self._file = path.open("a", encoding="ascii")

    @classmethod
    def open(cls, folder: Path, call: dict[str, Any]) -> Self:
        """Go on with what was interrupted in `folder`, or begin.

        Raises:
          UserError: what was interrupted there was another call: other bundle, plane, spacing or results.
        """
        path = folder / NAME
        lines = _whole_lines(path)
        if lines:
            differ = [key for key in call if lines[0].get(key) != call[key]]
            if differ:
                told = ", ".join(differ)
                raise UserError(f"{folder} holds an interrupted run with another {told}: finish it, or remove {path}")
        text = "".join(json.dumps(line) + "\n" for line in (lines or [call]))
        path.write_text(text, encoding="ascii")  # without the line that was cut short
        return cls(path, {line["file"]: line for line in lines[1:]})

    def rows(self, source: Source) -> list[Row] | None:
        """The rows of a file that was done and has not changed since; None where it is to be measured."""
        line = self._saved.get(str(source))
        return line["rows"] if line and line["fingerprint"] == source.fingerprint() else None

    @property
    def overlays(self) -> set[str]:
        """Pictures that are taken."""
        return {row["overlay"] for line in self._saved.values() for row in line["rows"] if row["overlay"]}

    def save(self, source: Source, rows: list[Row]) -> None:
        """All of a file's rows."""
        line = {"file": str(source), "fingerprint": source.fingerprint(), "rows": rows}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self, finished: bool) -> None:
        """Remove it where the run is finished."""
        self._file.close()
        if finished:
            self._path.unlink()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} is damaged: remove it to begin again") from None
    try:
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    except ValueError:
        raise UserError(f"{path} is damaged: remove it to begin again") from None
