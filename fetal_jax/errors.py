"""An error the user can fix, and the disclaimer shown wherever results are."""

NOT_CLINICAL = "Research software. Not for clinical use."


class UserError(Exception):
    """Something outside the program is wrong: a file, a key, a folder.

    The message names the thing and says what to do about it. The command line prints it and exits with 2.
    """
