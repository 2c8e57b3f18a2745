"""`fetal-jax`: one small module for each command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any


class Parser(argparse.ArgumentParser):
    """Parser that refuses a second value of an option that takes one: argparse takes the last without a word.

    An option that may be given again takes each value once: the same run or fold would count twice.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", None, _StoreOnce)  # the action of an option that names none
        self.register("action", "append", _AppendOnce)


class _StoreOnce(argparse.Action):
    """Store a value, once."""

    _given = False

    def __call__(self, _: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *__: Any) -> None:
        if self._given:
            raise argparse.ArgumentError(self, "given twice: give it once")
        self._given = True
        setattr(namespace, self.dest, values)


class _AppendOnce(argparse.Action):
    """Append a value that is not there yet."""

    def __call__(self, _: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *__: Any) -> None:
        before = getattr(namespace, self.dest) or []
        if values in before:
            raise argparse.ArgumentError(self, f"{values} is given twice: give it once")
        setattr(namespace, self.dest, [*before, values])


def number(text: str) -> float:
    """An option's number; argparse shows the words."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number: write it with a point, as 0.12") from None


def several(noun: str, known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Make the type of an option that takes names, separated by commas; argparse shows the words."""
    choices = tuple(known)

    def read(text: str) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        if unknown := [name for name in given if name not in choices]:
            what = f"{', '.join(unknown)} is not a {noun}; the {noun}s are {', '.join(choices)}"
            raise argparse.ArgumentTypeError(f"{what}: separate them by commas")
        return given

    return read


def add_also(parser: argparse.ArgumentParser, kinds: tuple[str, ...], verb: str = "write") -> None:
    """Add `--also=KIND,...`, which names some of these kinds."""
    help_also = f"also {verb} {', '.join(kinds)}"
    parser.add_argument("--also", type=several("kind", kinds), default=(), metavar="KIND,...", help=help_also)
