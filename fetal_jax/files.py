"""Files and folders: atomic writes, the lock of a folder, buckets (`gs://`), the user's cache. Nothing else writes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from fetal_jax.errors import UserError

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

    Text is written as UTF-8; bytes of file names that are no text as `\\udcXX` escapes.

    Raises:
      OSError: it cannot be written, or the disk is full; the old file is as it was.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if in_bucket(path):  # an object store accepts an object whole or not at all
        path.write_bytes(data)
        return
    with open_whole(path) as file:
        file.write(data)


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
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def draft_of(path: Path) -> Path:
    """The hidden file beside `path` that holds its content until it is complete.

    The name follows from the file's, so that the next write replaces what a kill left behind, and it is short: a file
    name may already have the 255 bytes that a file system allows.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".fetal-jax-{digest}.draft")


@contextmanager
def lock(folder: str | Path, remedy: str = "wait for it to end, or give another folder") -> Iterator[None]:
    """Make `folder` and hold it for one process; the system releases it when the process ends, however it ends.

    A bucket has no locks, nor have some network file systems (NFS and Lustre without a lock service): there every
    process is let in, and the caller must see to it that only one writes.

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
    except NotImplementedError:  # filelock's word for a system call that is missing
        pass
    except OSError as e:
        if e.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        held.release()
