"""The console script: finds the command, and turns the caller's errors into one line and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys

from fetal_jax.errors import UserError

COMMANDS = {
    "prepare": "build a data set",
    "train": "train a recipe, or go on with it",
    "evaluate": "errors of a run or a bundle on labelled frames",
    "export": "a run's checkpoint into a bundle",
    "measure": "millimetres from frames",
    "growth": "age, weight and centiles from a patient's sizes, and the chart",
    "demo": "the whole way on drawn frames, in minutes",
}


def main(argv: list[str] | None = None) -> int:
    """Run `fetal-jax COMMAND ...`.

    Returns:
      The exit code: 0, 2 (the call is wrong), 3 (some file was not read) or 75 (stopped by SIGTERM: start me again).
    """
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold bytes that are no text
    parser = argparse.ArgumentParser(
        prog="fetal-jax", description="Fetal biometry from ultrasound. Not for clinical use."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((a for a in argv if not a.startswith("-")), None)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name == asked:  # only the command that runs is imported: measuring needs no JAX
            try:
                module = importlib.import_module(f"fetal_jax.cli.{name}")
            except ImportError as e:
                print(f"fetal-jax {name}: {e}: pip install 'fetal_jax[train,export]'", file=sys.stderr)
                return 2
            module.add_arguments(sub)
    args, rest = parser.parse_known_args(argv)
    unknown = [a for a in rest if not (a.startswith("--config.") and "=" in a and args.command in ("train", "demo"))]
    if unknown:
        parser.error(f"{args.command} does not know {' '.join(unknown)}")
    try:
        code = int(module.run(args, rest) or 0)
        sys.stdout.flush()
        return code
    except UserError as e:
        print(f"fetal-jax {args.command}: {e}", file=sys.stderr)
        return 2
    except (
        BrokenPipeError
    ):  # `fetal-jax growth ... | head`: who reads has had enough; Python's own last flush must pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as e:  # a place that cannot be written, a full disk
        print(f"fetal-jax {args.command}: {e.filename or 'file'}: {e.strerror or e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
