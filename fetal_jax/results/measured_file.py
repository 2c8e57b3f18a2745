"""The file of a row of earlier results: where it is today, and whether it is still the file that was measured."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket
from fetal_jax.inference.identity import KEY_FILE, Key
from fetal_jax.outputs.rows import Row
from fetal_jax.reading import study
from fetal_jax.reading.dicom import read_header
from fetal_jax.reading.sources import Source, is_archive, sha256
from fetal_jax.results.resume_log import Fingerprint, is_untouched


def absolute(name: str) -> str:
    """The absolute path of a file's name; a bucket's is returned as it is."""
    return name if in_bucket(name) else os.path.abspath(name)


def folders_of(asked: Iterable[str]) -> list[Path]:
    """The folders at and above the paths of a call: its working folder, which is not recorded, is one of them."""
    paths = [Path(absolute(path)) for path in asked if not in_bucket(path)]
    return [f for f in dict.fromkeys(f for path in paths for f in (path, *path.parents)) if not f.is_file()]


def places(name: str, folders: Iterable[Path]) -> list[str]:
    """The absolute paths that a file's name in a row may stand for: a relative one is from a working folder.

    Args:
      name: as the call named the file.
      folders: `folders_of` the call.
    """
    if in_bucket(name) or os.path.isabs(name):
        return [name]
    below = os.path.normpath(name)
    while below.startswith("../"):
        below = below.removeprefix("../")
    return [os.path.join(folder, below) for folder in folders]


def source_of(row: Row, asked: Sequence[str], fingerprint: Fingerprint | None, results: Path) -> Source | None:
    """The file of a row; None if it is gone, or another file has its name now.

    Args:
      row: with its `file`.
      asked: the paths of the call that measured it. A file of the same name elsewhere, such as in the current folder,
        comes last: it may be of another examination.
      fingerprint: of the file when it was measured; None or empty if not known, as in old results.
      results: the folder of the results, which has the key of their hashes.
    """
    file = row["file"]
    roots = [_without_pattern(absolute(path)) for path in asked if not in_bucket(path)]
    named = [Path(place) for place in places(file, folders_of(asked))]
    there = [path for path in named if os.path.isabs(file) or any(map(path.is_relative_to, roots))]
    for path in (*there, Path(absolute(file))):
        archives = (p for p in path.parents if is_archive(p.name) and p.is_file())
        member_of = None if path.is_file() else next(archives, None)
        source = Source(member_of, path.relative_to(member_of).as_posix()) if member_of else Source(path)
        if source.path.is_file() and _is_unchanged(source, row, fingerprint, results):
            return source
    return None


def _without_pattern(path: str) -> str:
    """The fixed folder above a pattern; a path that exists is none."""
    while not os.path.exists(path) and glob.has_magic(path):
        path = os.path.dirname(path)
    return path


def _is_unchanged(source: Source, row: Row, fingerprint: Fingerprint | None, results: Path) -> bool:
    """Whether a file is the one that was measured, as far as is known. A copy has a time of its own.

    A scanner's export is often called alike for every patient, and all its pictures and DICOM may have one size: the
    content or the object must be the same.
    """
    if fingerprint and len(fingerprint) > 2:
        return _has_content(source, fingerprint[2])
    if not fingerprint or is_untouched(source, fingerprint):
        return True
    same_size = source.fingerprint()[:1] == fingerprint[:1]
    return same_size and (not row["instance"] or _is_object(source, row["instance"], results))


def _has_content(source: Source, content: int | str) -> bool:
    """Whether the SHA-256 of a file, or of an archive's member, is `content`."""
    try:
        s = source.path.stat()
        return _sha256(source, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) == content
    except (UserError, OSError):
        return False


@functools.lru_cache(maxsize=1024)
def _sha256(source: Source, *_: int) -> str:
    """As `sha256`; a file is read again only when it was written again: each frame of a cine is asked for."""
    return sha256(source.open())


def _is_object(source: Source, instance: str, results: Path) -> bool:
    """Whether DICOM is the object of a row's `instance` (a UID or its hash); True if the key of the hash is missing."""
    try:
        uid = study.of_dicom(read_header(source.open(), str(source))).instance
    except UserError:
        return False
    if uid == instance or (Key.of_environment() is None and not (results / KEY_FILE).is_file()):
        return True
    return Key(results.joinpath).digest("instance", uid).hex()[:16] == instance
