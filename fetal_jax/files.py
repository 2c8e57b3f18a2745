"""One process at a time."""

from __future__ import annotations

import errno
from typing import IO

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
