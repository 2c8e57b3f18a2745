"""Sizes of one fetus, in mm, as the worked examples of the growth formulas use them."""

from __future__ import annotations

SIZES = {"bpd": 80.0, "hc": 290.0, "ac": 260.0, "fl": 56.0}


def lengths(text: str, sizes: dict[str, float] = SIZES) -> dict[str, float | str]:
    """Arguments of the measures named in a text, with the BPD as Hadlock took it."""
    found: dict[str, float | str] = {f"{m}_mm": sizes[m] for m in text.split()}
    return found | ({"bpd_convention": "outer-inner"} if "bpd" in text else {})
