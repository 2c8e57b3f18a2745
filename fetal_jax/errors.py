"""The one error that is the caller's to mend: shown as a single line, never as a traceback."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a key, a folder.

    The message names the thing and says what to do about it. The command line prints it and exits with 2.
    """
