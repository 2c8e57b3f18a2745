"""`fetal-jax`: one small module for each command."""

from __future__ import annotations

import argparse


def number(text: str) -> float:
    """An option's number; argparse shows the words."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number: write it with a point, as 0.12") from None
