"""`fetal-jax`: one small module for each command."""

from __future__ import annotations

import argparse


def number(text: str) -> float:
    """An option's number; argparse shows the words."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number: write it with a point, as 0.12") from None


def add_also(parser: argparse.ArgumentParser, kinds: tuple[str, ...], verb: str = "write") -> None:
    """Add `--also=KIND,...`, which names some of these kinds."""

    def parse(text: str) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(text.split(",")))
        if unknown := [kind for kind in given if kind not in kinds]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not a kind; the kinds are {', '.join(kinds)}")
        return given

    help_also = f"also {verb} {', '.join(kinds)}"
    parser.add_argument("--also", type=parse, default=(), metavar="KIND,...", help=help_also)
