"""Files and folders: locks, whole writes, buckets (`gs://`), the user's cache."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO, Any

UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def hold(file: IO[str]) -> None:
    """Hold an open file alone; the system lets go of it with the process, however that ends.

    Where locks are not known (Windows, some of NFS and Lustre) everyone is let in.

    Raises:
      BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        if e.errno not in UNKNOWN:
            raise


def in_bucket(place: str | Path) -> bool:
    """Whether a path names a bucket, whose files cannot be appended to or memory-mapped."""
    return "://" in str(place)


def absolute(place: str | Path) -> Any:
    """Absolute path as etils' `epath.Path`, which Orbax and JAX accept; a bucket's path is returned as it is."""
    from etils import epath  # part of the `train` extra

    path = epath.Path(place)
    return path if in_bucket(path) else path.absolute()


def user_cache() -> Path:
    """Folder for what this program can make again: `$XDG_CACHE_HOME/fetal_jax`, else `~/.cache/fetal_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fetal_jax"


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a kill at any moment leaves the old one or the new one."""
    if in_bucket(path):  # which takes a file whole or not at all
        path.write_text(text)
        return
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    os.replace(draft, path)
