"""Files of earlier results that the same call no longer finds: their rows are removed, which must be said."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fetal_jax.errors import amount
from fetal_jax.files import in_bucket
from fetal_jax.outputs.rows import JSON
from fetal_jax.results.resume_log import fingerprints


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


def against(folder: Path, now: Sequence[str], asked: Iterable[str]) -> str:
    """State what a call of `measure` will do to the finished results in its folder, in words; empty if there are none.

    Args:
      folder: of the results.
      now, asked: as for `gone`.

    Raises:
      UserError: the list of their files is damaged.
    """
    earlier = fingerprints(folder) if (folder / JSON).is_file() else {}
    if not earlier:  # also results of older versions, which have no list of their files
        return ""
    files = gone(earlier, now, asked)
    again = len(earlier) - len(files)
    words = f"against the earlier results: {amount(again, 'file')} again, {len(now) - again} new"
    if not files:
        return words
    return f"{words}; not kept: the rows of {in_words(files)}"


def in_words(files: Sequence[str]) -> str:
    """For a message: "10 files that are gone (the first: a.png)"; there is at least one."""
    if len(files) == 1:
        return f"1 file that is gone ({files[0]})"
    return f"{len(files)} files that are gone (the first: {files[0]})"


def _absolute(name: str) -> str:
    return name if in_bucket(name) else os.path.abspath(name)
