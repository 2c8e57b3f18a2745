"""Tar archives, compressed or not, read in place. Those that unpack without end or fill the memory are refused."""

from __future__ import annotations

import gzip
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SUFFIXES = (".tar", ".tar.gz", ".tgz")
HEADER_BYTES = 2**20
"""Limit of a header: it takes 512 bytes, with a long name some thousands. A larger one is damage, or meant to fill the
memory."""
RATIO, LEAST = 100, 512 * 2**20
"""A compressed archive may unpack to `RATIO` times its size, and to `LEAST` bytes whatever its size."""
_BLOCK = 512


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    offset: int
    size: int
    regular: bool
    """False for links, devices and files with holes."""
    head: bytes


@dataclass
class Tar:
    """An archive with its list of files, which is read once."""

    file: IO[bytes]
    """The unpacked bytes. Read forwards: seeking back in a compressed archive starts again at its beginning."""
    members: dict[str, Member] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    damage: str = ""
    """Why the list is incomplete; empty if it is complete."""

    def __del__(self) -> None:  # as in zipfile.ZipFile: the archive stays open as long as its list exists
        self.file.close()

    def part(self, member: Member) -> Part:
        """Seek to a member and return a reader of its bytes."""
        self.file.seek(member.offset)
        return Part(self.file, member.size)


def is_tar(name: str) -> bool:
    """Whether a file is a tar archive by its name."""
    return name.lower().endswith(SUFFIXES)


def index(path: Path, head_bytes: int, most: int) -> Tar:
    """List an archive's files, in its own order, without folders.

    Args:
      path: of the archive.
      head_bytes: length of `Member.head`.
      most: largest number of files; the list of an archive with more ends there, and `damage` says so.

    Raises:
      OSError: it cannot be opened.
    """
    compressed = not path.name.lower().endswith(".tar")
    file: IO[bytes] = gzip.open(path) if compressed else path.open("rb")  # type: ignore[assignment]  # noqa: SIM115
    size = os.stat(path).st_size
    found = Tar(file)
    bounded = _Bounded(file, max(LEAST, RATIO * size) if compressed else size)
    try:
        with tarfile.TarFile(fileobj=bounded, errorlevel=2) as tar:  # type: ignore[arg-type]
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep all of them
                if info.isdir():
                    continue
                if len(found.members) == most:
                    raise tarfile.ReadError(f"over {most} files")
                if info.name in found.members:
                    found.repeated.add(info.name)
                file.seek(info.offset_data)
                head = file.read(min(head_bytes, info.size)) if info.isfile() else b""
                regular = info.isfile() and not info.issparse()
                found.members[info.name] = Member(info.offset_data, info.size, regular, head)
            file.seek(tar.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):  # tarfile mistakes a damaged header for the end
                raise tarfile.ReadError("no end of the archive where its list ends")
    except Exception as e:  # a mutated archive raises anything
        found.damage = " ".join(str(e).split())[:80] or type(e).__name__
    return found


class Part:
    """A reader of one member's bytes that does not read beyond them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, limit: int) -> bytes:
        """Read `limit` bytes, or as many as are left.

        Raises:
          EOFError: the archive ends before the member does.
        """
        count = min(limit, self._left)
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError("it is cut short")
        self._left -= count
        return data


class _Bounded:
    """The file for `tarfile`: refuses reads longer than a header, and seeks beyond a limit."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._limit = file, limit
        self.tell, self.mode = file.tell, "rb"

    def read(self, count: int) -> bytes:
        if not 0 <= count <= HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {count} bytes")
        return self._file.read(count)

    def seek(self, position: int) -> int:
        if position > self._limit:
            raise tarfile.ReadError(f"it unpacks to over {self._limit // 2**20} MB, or is cut short")
        return self._file.seek(position)
