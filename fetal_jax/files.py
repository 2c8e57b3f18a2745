"""Files and folders: atomic writes, the lock of a folder, lists of own files, buckets (`gs://`), the user's cache."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from fetal_jax import __version__
from fetal_jax.errors import UserError

MARK = "fetal_jax"
"""In the metadata of the pictures that we write: the name of the software."""
LOCK = ".fetal-jax.lock"
"""The file that `lock` holds. It stays in the folder, empty: removing it would let a second process in."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems without locks."""


def in_bucket(place: str | Path) -> bool:
    """Whether a path names a bucket, whose files cannot be appended to or memory-mapped."""
    return "://" in str(place)


def absolute(place: str | Path) -> Any:
    """Absolute path as etils' `epath.Path`, which Orbax and JAX accept; a bucket's path is returned as it is."""
    from etils import epath  # part of the `train` extra

    path = epath.Path(place)
    return path if in_bucket(path) else path.absolute()


def user_cache() -> Path:
    """Folder for files this program can rebuild: `$XDG_CACHE_HOME/fetal_jax`, else `~/.cache/fetal_jax`.

    Without a home (`docker run --user`, a service account) it is a folder of this user in the system's temporary one.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # neither HOME nor an entry in the password file
            import tempfile

            return Path(tempfile.gettempdir()) / f"fetal_jax-{os.getuid()}"
    return Path(base) / "fetal_jax"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file at once: a kill at any moment leaves the old content or the new, never a part.

    Text is written as UTF-8; bytes of file names that are not UTF-8 become `\\udcXX` escapes.

    Raises:
      OSError: it cannot be written, or the disk is full; the old file is as it was.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if in_bucket(path):  # an object store accepts an object whole or not at all
        path.write_bytes(data)
        return
    with open_whole(path) as file:
        file.write(data)


def refuse_other(path: Path) -> None:
    """Refuse to replace a picture of another program, a patient's frame perhaps: ours name `MARK` in their bytes.

    Raises:
      UserError: the file is there and does not.
    """
    if path.is_file() and MARK.encode() not in path.read_bytes():
        raise UserError(f"{path} exists and was not written by this program: give another name")


@contextmanager
def open_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name when the block ends, and is discarded if the block raises.

    For content too long to hold in memory; otherwise `write_whole`. On disk only.
    """
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            yield file
        os.replace(draft, path)
    except BaseException as e:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(e, OSError) and str(e.filename) == str(draft):
            e.filename = str(path)  # the name that the user knows
        raise


def draft_of(path: Path) -> Path:
    """The hidden file beside `path` that holds its content until it is complete.

    Its name is derived from the file's, so that the next write replaces a draft that a kill left behind. It is short,
    because the file's own name may already have the 255 bytes that a file system allows.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".fetal-jax-{digest}.draft")


@contextmanager
def lock(folder: str | Path, remedy: str = "wait for it to end, or give another folder") -> Iterator[None]:
    """Make `folder` and hold it for one process; the system releases it when the process ends, however it ends.

    A bucket has no locks, nor have some network file systems (NFS and Lustre without a lock service): there every
    process gets in, and the caller must make sure that only one writes.

    Args:
      folder: the folder that is about to be written.
      remedy: end of the message for the second process.

    Raises:
      UserError: another process holds the folder.
      OSError: the folder cannot be made or written.
    """
    if in_bucket(folder):
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    held = FileLock(Path(folder) / LOCK, timeout=0, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        raise UserError(f"another process is writing into {folder}: {remedy}") from None
    except NotImplementedError:  # how filelock reports a missing system call
        pass
    except OSError as e:
        if e.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        held.release()


def spreadsheet_text(value: Any) -> Any:
    """Escape a CSV cell that a spreadsheet would run as a formula: such text gets a `'` before it.

    Numbers stay, negative ones too. Excel, LibreOffice and Google Sheets run a cell such as `=HYPERLINK(...)`, and file
    names come from strangers.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


class OwnFiles:
    """The files that a command wrote into a folder, listed in `written.jsonl`: it overwrites and deletes no others.

    A name is on the list before its file is created, so that a kill leaves no file of ours unlisted. The caller holds
    the folder's `lock`. Commands that write the same names use separate lists.
    """

    LIST = "written.jsonl"

    def __init__(self, folder: Path, list_name: str = LIST) -> None:
        """Read the list, or start one.

        Raises:
          UserError: a file of the list's name that is not such a list.
        """
        self.folder, self._path = folder, folder / list_name
        self._names: set[str] = set()
        if os.path.lexists(self._path):
            self._names = set(self._listed())
        self._write_list()

    def _listed(self) -> list[str]:
        try:
            head, *lines = self._path.read_text(encoding="ascii").split("\n")[:-1]  # a kill may cut the last
            names = [json.loads(line) for line in lines]
            inside = all(isinstance(name, str) and ".." not in Path(name).parts for name in names)
            if "written_by" in json.loads(head) and inside:
                return names
        except (OSError, ValueError, TypeError):
            pass
        raise UserError(f"{self._path} was not written by this program, or is damaged: give another --out")

    def _write_list(self) -> None:
        head = {"written_by": f"fetal_jax {__version__}", "meaning": "only these files are overwritten or deleted"}
        write_whole(self._path, "".join(json.dumps(line) + "\n" for line in (head, *sorted(self._names))))

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def is_free(self, name: str) -> bool:
        """Whether a file of this name may be written: it is ours, or there is none."""
        path = self.folder / name
        return name in self._names or not (os.path.lexists(path) or os.path.lexists(draft_of(path)))

    def check(self, name: str) -> None:
        """Refuse a name that `claim` would refuse, without listing it.

        Raises:
          UserError: there is such a file, and this program did not write it, or another of its commands did.
        """
        if not self.is_free(name):
            path = self.folder / name
            raise UserError(
                f"{path} was not written by this program, or by another of its commands: move it away, or give "
                "another name or --out"
            )

    def claim(self, name: str) -> Path:
        """List a file that is about to be written, and make its folder; returns its path.

        Args:
          name: relative to the folder, or an absolute path, which `clear` leaves alone.

        Raises:
          UserError: there is such a file, and this program did not write it.
        """
        self.check(name)
        path = self.folder / name
        if name not in self._names:
            with self._path.open("a", encoding="ascii") as f:
                f.write(json.dumps(name) + "\n")
            self._names.add(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def clear(self, keep: Callable[[str], bool]) -> None:
        """Delete the listed files and their drafts, except those to keep and those outside the folder."""
        gone = {name for name in self._names if not (Path(name).is_absolute() or keep(name))}
        for path in (self.folder / name for name in gone):
            for ours in (path, draft_of(path)):
                if not ours.is_dir():
                    ours.unlink(missing_ok=True)
        self._names -= gone
        self._write_list()
