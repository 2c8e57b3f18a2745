"""A folder for each reader's exports: no reader's export deletes what another one has signed."""

from __future__ import annotations

import json
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.files import OwnFiles, write_whole

READERS = "readers.json"
"""File with the folder of each reader who has exported, by name. The first reader has `review` itself, ""."""


class ReaderFolder:
    """The files of one export. Nothing is deleted before everything is written."""

    def __init__(self, review: Path, reader: str) -> None:
        """Find or assign the reader's folder.

        Raises:
          UserError: a file in it is not ours, or is damaged.
        """
        self._review, self._own = review, OwnFiles(review)
        self._before: dict[str, tuple[int, int] | None] = {}
        path = self.common(READERS)
        folders = _read(path)
        if reader not in folders:
            folders[reader] = f"reader_{len(folders) + 1}/" if folders else ""
            write_whole(path, json.dumps(folders, indent=1) + "\n")
        self.folder = folders[reader]
        self._others = tuple(folder for name, folder in folders.items() if folder and name != reader)

    def common(self, name: str) -> Path:
        """Claim a file that all readers share; returns its path.

        Raises:
          UserError: the file exists, and this program did not write it.
        """
        path = self._own.claim(name)
        self._before.setdefault(name, _written(path))
        return path

    def claim(self, name: str) -> Path:
        """Claim a file of this reader; returns and raises as `common`."""
        return self.common(self.folder + name)

    def existing(self, pattern: str) -> list[Path]:
        """The files of this reader's earlier exports that match a pattern such as `sr/*.dcm`, sorted."""
        found = sorted((self._review / self.folder).glob(pattern))
        return [path for path in found if path.relative_to(self._review).as_posix() in self._own]

    def sweep(self) -> None:
        """Delete files of earlier exports of this reader that this export did not write."""
        self._own.clear(keep=lambda name: not self._is_mine(name) or self._is_new(name))

    def _is_mine(self, name: str) -> bool:
        return name != READERS and name.startswith(self.folder) and not name.startswith(self._others)

    def _is_new(self, name: str) -> bool:
        """Whether a file was claimed and then written. The old file of a report that could not be signed is not new."""
        return name in self._before and _written(self._review / name) != self._before[name]


def _written(path: Path) -> tuple[int, int] | None:
    """Identity of a file, which changes when it is written: `open_whole` puts another file in its place."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(folder, str) for folder in found.values()):
        raise UserError(f"{path} is damaged: move it away, and the folders of the readers with it")
    return found
