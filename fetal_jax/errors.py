"""The error a user can fix, the disclaimer shown beside all results, and counts with their nouns."""

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
