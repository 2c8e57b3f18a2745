"""Files of earlier results that the same call no longer finds: their rows are removed, which must be said."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fetal_jax.errors import amount
from fetal_jax.files import in_bucket


def gone(earlier: Iterable[str], now: Iterable[str], asked: Iterable[str]) -> list[str]:
    """The files of earlier results that a call does not find.

    Args:
      earlier: names of files as the earlier call named them: relative ones may be from another working folder.
      now: names of the files that this call finds.
      asked: the paths of the call. A relative name is looked for in each folder that leads to one of them.
    """
    there = {_absolute(name) for name in now}
    paths = [Path(_absolute(path)) for path in asked if not in_bucket(path)]
    folders = list(dict.fromkeys(str(folder) for path in paths for folder in (path, *path.parents)))

    def found(name: str) -> bool:
        if in_bucket(name) or os.path.isabs(name):
            return name in there
        below = os.path.normpath(name)
        while below.startswith("../"):
            below = below.removeprefix("../")
        return any(os.path.join(folder, below) in there for folder in folders)

    return [name for name in earlier if not found(name)]


def in_words(rows: int, files: list[str]) -> str:
    """For a message: "10 rows of 10 files that are gone (the first: a.png)"; there is at least one file."""
    which = f"1 file that is gone ({files[0]})"
    which = which if len(files) == 1 else f"{len(files)} files that are gone (the first: {files[0]})"
    return f"{amount(rows, 'row')} of {which}"


def _absolute(name: str) -> str:
    return name if in_bucket(name) else os.path.abspath(name)
