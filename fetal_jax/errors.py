"""The error a user can fix, the disclaimer shown beside all results, and counts with their nouns."""

import errno
from collections.abc import Iterable

NOT_CLINICAL = "Research software. Not for clinical use."


def with_notice(notes: Iterable[str]) -> str:
    """Join the disclaimer and some notes, which are separated by semicolons, into one text."""
    return " ".join(filter(None, [NOT_CLINICAL, "; ".join(notes)]))


class UserError(Exception):
    """Something outside the program is wrong: a file, a key, a folder.

    The message names the thing and says what to do about it. The command line prints it and exits with 2.
    """


def amount(count: int, noun: str) -> str:
    """A count with its noun: "1 frame", "2 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def not_written(error: OSError, place: object, then: str) -> UserError:
    """Make the error of a failed write: "FILE cannot be written (it is full): make room there, or give another --out".

    Args:
      error: the system's. Some of its errors are of a failed read, too, and then the message says so.
      place: what is named where the error names no file.
      then: the end of the remedy, such as ", or give another --out".
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    done = "written" if full or error.errno == errno.EROFS else "written or read"
    remedy = before_writing(error, "make room there" if full else "check what is there and who may write there")
    return UserError(f"{error.filename or place} cannot be {done} ({error.strerror or error}): {remedy}{then}")


def before_writing(error: OSError, otherwise: str = "make room") -> str:
    """State the remedy for a failed write: room helps neither a read-only disk nor a missing right."""
    if error.errno == errno.EROFS:
        return "mount its disk for writing"
    return "get permission to write there" if error.errno in (errno.EACCES, errno.EPERM) else otherwise
