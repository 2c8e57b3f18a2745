"""Zip and tar archives, read in place: nothing is unpacked to disk, and the names inside are names, not paths."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from fetal_jax.errors import UserError
from fetal_jax.reading.archives import tars

SUFFIXES = (".zip", *tars.SUFFIXES)
UNPACKED = 20
"""Bytes to read or unpack for each byte of a tar before a member is available: listing reads all of it, seeking to the
member reads it again, and a compressed one unpacks to some ten times its size."""
MAX_MEMBER_BYTES = 512 * 2**20
MAX_MEMBERS = 100_000
HEAD = 132
"""Number of first bytes that identify a file's type: DICOM's preamble ends there."""


@dataclass(frozen=True)
class Entry:
    """A file in an archive: its name, and a function that reads its first bytes."""

    name: str
    head: Callable[[], bytes]


class _Readable(Protocol):
    def read(self, limit: int, /) -> bytes: ...


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its name."""
    return name.lower().endswith(SUFFIXES)


def work(path: Path) -> int:
    """Estimate the bytes to read or unpack before a member is available; of a zip at most the largest member.

    Raises:
      OSError: the archive is gone.
    """
    size = path.stat().st_size
    return UNPACKED * size if tars.is_tar(path.name) else min(size, MAX_MEMBER_BYTES)


def entries(path: Path) -> tuple[list[Entry], bool]:
    """List an archive's files. Returns (entries, whether the list is complete); no entries if there are too many files.

    Raises:
      Exception: of any type, if the archive is damaged.
    """
    if tar := _tar(path):
        if len(tar.members) == MAX_MEMBERS and tar.damage:
            return [], False
        return [Entry(name, functools.partial(_same, m.head)) for name, m in tar.members.items()], not tar.damage
    archive = _zip(path)
    if len(archive.filelist) > MAX_MEMBERS:
        return [], False
    files = sorted((e for e in archive.filelist if not e.is_dir()), key=lambda e: e.filename)
    return [Entry(e.filename, functools.partial(_zip_head, archive, e)) for e in files], True


def read_member(path: Path, member: str | None, is_frame: Callable[[bytes], bool]) -> bytes:
    """Read a file in an archive. For None, the archive as a whole, raise the reason why it cannot be listed.

    Args:
      path: of the archive.
      member: the file's name in it.
      is_frame: tells from the first bytes whether a file is a picture; no more is read of any other, which may unpack
        to gigabytes.

    Raises:
      UserError: the file is damaged, encrypted, repeated, a link, no picture or too large, or its name leads out of the
        archive.
    """
    name = str(path) if member is None else f"{path}/{member}"
    try:
        with _opened(path, member) as file:
            head = file.read(HEAD)
            if not head:
                raise UserError(f"{name} is empty: make the archive again")
            if not is_frame(head):
                raise UserError(f"{name} is not a readable image: give PNG, JPEG, TIFF, BMP or DICOM")
            data = head + file.read(MAX_MEMBER_BYTES - len(head) + 1)
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{name} needs too much memory: unpack the archive") from None
    except RuntimeError as e:  # how zipfile asks for a password
        raise UserError(f"{name} cannot be opened ({e}): unpack the archive") from None
    except Exception as e:  # a mutated archive raises anything: struct.error, zlib.error, KeyError, ...
        raise UserError(f"{name} is damaged ({' '.join(str(e).split())[:80]}): copy the archive again") from None
    if len(data) > MAX_MEMBER_BYTES:
        raise UserError(f"{name} is over {MAX_MEMBER_BYTES // 2**20} MB: unpack the archive")
    return data


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[_Readable]:
    tar = _tar(path)
    count = len(tar.members if tar else _zip(path).filelist)
    if count > MAX_MEMBERS or (tar and tar.damage and count == MAX_MEMBERS):
        raise UserError(f"{path} holds over {MAX_MEMBERS} files: unpack it, and give the folder")
    if member is None:
        after = f" after {count} files: {tar.damage}" if tar else ""
        raise UserError(f"{path} is damaged (its list of files cannot be read{after}): copy it again")
    name = f"{path}/{member}"
    if _leads_out(member):
        raise UserError(f"{name} has a name that leads out of the archive: look at who made it, and unpack it yourself")
    if is_archive(member):
        raise UserError(f"{name} is an archive within an archive: unpack the outer one")
    if member not in (tar.members if tar else _zip(path).NameToInfo):
        raise UserError(f"{path} no longer holds {member}: restore the archive that did, or measure again")
    if member in tar.repeated if tar else _is_repeated(_zip(path), member):
        raise UserError(f"{path} holds {member} twice: unpack the archive, and rename one")
    if tar is None:
        with _zip(path).open(member) as file:
            yield file
    elif not tar.members[member].regular:
        raise UserError(f"{name} is a link or another special file: put the file itself into the archive")
    else:
        yield tar.part(tar.members[member])


def _is_repeated(archive: zipfile.ZipFile, member: str) -> bool:
    if len(archive.filelist) == len(archive.NameToInfo):  # no name is: a search for each of 100,000 takes 4 ms
        return False
    return sum(e.filename == member for e in archive.filelist) > 1


def _leads_out(member: str) -> bool:
    """Whether a name is absolute or has `..`: unpacking it would write outside the target folder."""
    name = PurePosixPath(member.replace("\\", "/"))
    drive = bool(name.parts) and name.parts[0].endswith(":")
    return drive or name.is_absolute() or ".." in name.parts


def _zip(path: Path) -> zipfile.ZipFile:
    return _listed(zipfile.ZipFile, *_now(path))


def _tar(path: Path) -> tars.Tar | None:
    """The list of a tar; None for a zip."""
    return _listed(_index, *_now(path)) if tars.is_tar(path.name) else None


def _index(path: Path) -> tars.Tar:
    return tars.index(path, HEAD, MAX_MEMBERS)


@functools.lru_cache(maxsize=1)
def _listed(read_list: Callable[[Path], Any], path: Path, *_: int) -> Any:
    """Open an archive; its list of files is read once, not once per member."""
    return read_list(path)


def _now(path: Path) -> tuple[Path, int, int, int]:
    """An archive as it is now: one that took its place has another list."""
    now = path.stat()
    return path.absolute(), now.st_ino, now.st_size, now.st_mtime_ns


def _zip_head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(HEAD)


def _same(head: bytes) -> bytes:
    return head
