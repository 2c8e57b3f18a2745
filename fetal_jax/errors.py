"""An error the user can fix, the disclaimer shown wherever results are, and counts in words."""

from collections.abc import Iterable

NOT_CLINICAL = "Research software. Not for clinical use."


def with_notice(notes: Iterable[str]) -> str:
    """The disclaimer, then notes that are joined by semicolons, as one text."""
    return " ".join(filter(None, [NOT_CLINICAL, "; ".join(notes)]))


class UserError(Exception):
    """Something outside the program is wrong: a file, a key, a folder.

    The message names the thing and says what to do about it. The command line prints it and exits with 2.
    """


def amount(count: int, noun: str) -> str:
    """A count with its noun: "1 frame", "2 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
