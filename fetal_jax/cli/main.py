"""The console script: runs a command, and turns its end into an exit code and at most one line."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from fetal_jax import __version__
from fetal_jax.cli import Parser
from fetal_jax.errors import NOT_CLINICAL, UserError, not_written

COMMANDS = {
    "prepare": "build a data set for training or evaluation",
    "train": "train a network, or resume a run",
    "evaluate": "measure the errors of a run or a bundle on labelled frames",
    "export": "write a run's checkpoint as a bundle",
    "measure": "measure HC, AC and FL in frames, in millimetres",
    "archive": "measure millions of frames into Parquet, on all cores or by Apache Beam",
    "pacs": "measure the ultrasound images of a PACS over DICOMweb, each once",
    "view": "review, correct and sign results in a browser",
    "cohort": "report on the results of a whole archive: z-scores, drift, outliers",
    "growth": "compute age, weight and centiles from sizes, and draw the chart",
    "demo": "run every step on synthetic frames, in minutes",
}
RESUME = dict.fromkeys(("measure", "archive", "pacs"), "; the same call resumes") | dict.fromkeys(
    ("train", "demo"), "; the same call resumes at the newest checkpoint, or at the first step if there is none"
)
"""Commands that resume when the same call is given again, and the end of their message about it."""
WITH_OVERRIDES = ("train", "demo")
"""Commands that take `--config.KEY=VALUE`."""
INSTEAD = {("evaluate", "--config.data.name"): "--dataset", ("evaluate", "--config.data.dir"): "--data-dir"}
"""Options of commands without `--config.KEY=VALUE` that say the same as a key of those with it."""
WITH_FLAGS = ("archive",)
"""Commands that pass on the arguments after `--`."""


class Terminated(BaseException):
    """SIGTERM arrived."""


def main(argv: list[str] | None = None) -> int:
    """Run `fetal-jax COMMAND ...`.

    Returns:
      The exit code: 0; 1 (a bug in this program); 2 (the call is wrong, or a file cannot be written); 3 (a file could
      not be read); 75 (stopped by SIGTERM: the same call resumes); 130 (Ctrl-C); 134 (another process of the run is
      gone or late: the same call resumes); 141 (the reader of a pipe is gone); 143 (stopped by SIGTERM).
    """
    argv = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    name = next((a for a in argv if not a.startswith("-")), "")
    said = f"fetal-jax {name}".strip()
    again = RESUME.get(name, "")
    try:
        with _sigterm_raises():
            code = _run([_with_home(a) for a in argv], name)
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _end(130, f"{said}: interrupted{again}")
    except Terminated:
        return _end(75 if again else 128 + signal.SIGTERM, f"{said}: stopped{again}")
    except BrokenPipeError:  # `fetal-jax growth ... | head`: the reader has closed the pipe
        return _end(128 + signal.SIGPIPE, "")
    except UserError as e:
        return _end(2, f"{said}: {e}")
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] in ("fetal_jax", "tfds_builders", ""):
            raise
        return _end(2, f"{said}: {e}: pip install '.[train,export]'")
    except OSError as e:  # a folder that cannot be written, or a full disk
        return _end(2, f"{said}: {not_written(e, 'output', ', or give another place')}")
    except MemoryError:
        return _end(1, f"{said}: out of memory{again}")
    except Exception as e:
        if sys.flags.dev_mode:
            raise
        file, line, *_ = traceback.extract_tb(e.__traceback__)[-1]
        what = " ".join(str(e).split())[:300]
        where = f"{os.path.basename(file)}:{line}"
        advice = "a bug in this program: please report it; python -X dev -m fetal_jax shows the traceback"
        return _end(1, f"{said}: {type(e).__name__}: {what} ({where}): {advice}")


def _run(argv: list[str], name: str) -> int:
    """Parse the command line and run the command."""
    if "--quiet" in argv or not sys.stderr.isatty():  # progress bars are for a terminal
        os.environ.setdefault("TQDM_DISABLE", "1")  # tqdm reads it when it is imported
    parser = Parser(prog="fetal-jax", description=f"Fetal biometry from ultrasound. {NOT_CLINICAL}")
    parser.add_argument("-V", "--version", action="version", version=f"fetal-jax {__version__}")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    module: Any = None
    for command, text in COMMANDS.items():
        sub = commands.add_parser(command, help=text, description=text, allow_abbrev=False)
        before = argparse.SUPPRESS  # keeps a --quiet given before the command
        sub.add_argument("--quiet", action="store_true", default=before, help="print errors only")
        if command == name:  # the other commands are not imported
            if name == "measure" and not {"-h", "--help"} & {*argv}:
                from fetal_jax.reading import isolated

                isolated.start_early()
            module = importlib.import_module(f"fetal_jax.cli.{command}")
            module.add_arguments(sub)
    flags: list[str] = []
    if name in WITH_FLAGS and "--" in argv:
        at = argv.index("--")
        argv, flags = argv[:at], argv[at + 1 :]
    _refuse_empty(argv)
    try:
        args, rest = parser.parse_known_args(argv)
        unknown = [a for a in rest if not (a.startswith("--config.") and "=" in a and name in WITH_OVERRIDES)]
        if unknown:
            advice = _key_meant(unknown) if name in WITH_OVERRIDES else _option_meant(unknown, name)
            parser.error(f"{args.command} does not know {' '.join(unknown)}{advice}")
    except SystemExit as e:  # argparse has printed the reason, or the help
        return int(e.code or 0)
    run: Callable[[argparse.Namespace, list[str]], int | None] = module.run
    if not args.quiet:
        return run(args, rest + flags) or 0
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return run(args, rest + flags) or 0


def _key_meant(unknown: list[str]) -> str:
    """End of a message: how a configuration key is written, where an argument is one without `config.` or `=`."""
    from fetal_jax.config.schema import KEYS, RENAMED  # only where it is needed: --help is fast

    for argument in unknown:
        key, equals, value = argument.lstrip("-").removeprefix("config.").partition("=")
        if argument.startswith("--config.") or (argument.startswith("-") and key in {*KEYS, *RENAMED}):
            return f": write --config.{key}={value if equals else 'VALUE'}"
    return ""


def _option_meant(unknown: list[str], command: str) -> str:
    """End of a message: the option of a command without configuration that says the same as a key of one."""
    for argument in unknown:
        key, _, value = argument.partition("=")
        if option := INSTEAD.get((command, key)):
            return f": write {option}={value or 'VALUE'}"
    return ""


def _refuse_empty(argv: list[str]) -> None:
    """Refuse `--out=` and an empty argument: an empty path is the current folder, an empty age none.

    A configuration key may be empty.

    Raises:
      UserError: names the argument.
    """
    for before, argument in zip(["", *argv], argv, strict=False):
        key, equals, value = argument.partition("=")
        if not argument or (equals and not value and key.startswith("--") and not key.startswith("--config.")):
            shown = argument or f"the argument{f' after {before}' if before else ''}"
            raise UserError(f"{shown} is empty, perhaps from a variable that is not set: give a value, or leave it out")


def _with_home(arg: str) -> str:
    """Expand `--out=~/x`, which a shell passes on as it is."""
    key, sep, value = arg.partition("=")
    if not (arg.startswith("--") and (value == "~" or value.startswith("~/"))):
        return arg
    path = os.path.expanduser(value)
    if path == value:
        raise UserError(f"{arg}: no home folder is known: give the whole path")
    return key + sep + path


def _open_closed_streams() -> None:
    """Give a process started without stdin, stdout or stderr (`>&-`, cron) the null device in their place.

    Otherwise the next file to be opened gets the stream's number, and printed text ends up in that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may have bytes that are not UTF-8


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, so that files are closed and the lock is released."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(code: int, line: str) -> int:
    """Print the last line, and replace broken streams, so that Python's flush at exit does not fail."""
    try:
        if line:
            print(line, file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
