"""What a call does to the results of an earlier one: rows of files that it no longer finds are removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fetal_jax.errors import amount
from fetal_jax.outputs.rows import JSON
from fetal_jax.results.measured_file import absolute, folders_of, places
from fetal_jax.results.resume_log import ResumeLog, fingerprints


def gone(earlier: Iterable[str], now: Iterable[str], asked: Iterable[str]) -> list[str]:
    """The files of earlier results that a call does not find.

    Args:
      earlier: names of files as the earlier call named them: relative ones may be from another working folder.
      now: names of the files that this call finds.
      asked: the paths of the call.
    """
    there, folders = set(map(absolute, now)), folders_of(asked)
    return [name for name in earlier if absolute(name) not in there and there.isdisjoint(places(name, folders))]


def against(folder: Path, log: ResumeLog, now: Sequence[str], asked: Sequence[str]) -> list[str]:
    """State what a call of `measure` will do to the results in its folder, in sentences; none if there are none.

    Args:
      folder: of the results.
      log: the log of an interrupted call there; empty if it was finished.
      now, asked: as for `gone`.

    Raises:
      UserError: the list of the files of finished results is damaged.
    """
    if log.measured:
        files = gone(log.measured, now, asked)
        return [f"{folder} has the results of an interrupted call, which are kept{_not_kept(files)}"]
    if not (folder / JSON).is_file():
        return []
    said = []
    if earlier := fingerprints(folder):  # results of older versions have no list of their files
        files = gone(earlier, now, asked)
        again = len(earlier) - len(files)
        count = f"{amount(again, 'file')} to measure again, {len(now) - again} new"
        said = [f"compared with the earlier results: {count}{_not_kept(files)}"]
    return [*said, f"{folder} has finished results: the same call measures all frames again and replaces them"]


def _not_kept(files: Sequence[str]) -> str:
    return f"; not kept: the rows of {in_words(files)}" if files else ""


def in_words(files: Sequence[str]) -> str:
    """For a message: "10 files that are gone (the first: a.png)"; there is at least one."""
    if len(files) == 1:
        return f"1 file that is gone ({files[0]})"
    return f"{len(files)} files that are gone (the first: {files[0]})"
