"""A patient's sizes on a standard's centile curves. Needs matplotlib (the extra `chart`)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.files import MARK, open_whole, refuse_other
from fetal_jax.growth.ages import format_age
from fetal_jax.growth.centiles import STANDARDS, Centile, centile, reference
from fetal_jax.growth.measures import GrowthError, bpd_as, bpd_text
from fetal_jax.planes import QUANTITIES

CURVES = {3: ":", 10: "--", 50: "-", 90: "--", 97: ":"}
"""Line style of each centile."""


def draw(
    values: Mapping[str, float],
    weeks: float,
    standard: str,
    bpd_convention: str | None = None,
    *,
    weight_formula: str | None = None,
    heading: str = "",
    notes: Sequence[str] = (),
) -> Figure:
    """Draw a panel for each measure that the standard has a curve for at this age.

    Args:
      values: mm by measure; "efw" in g.
      weeks: exact age.
      standard: one of `STANDARDS`.
      bpd_convention: of the BPD, where there is one. It is drawn, and written, in the standard's convention.
      weight_formula: formula of the "efw" where it is not the standard's own; the panel says so.
      heading: above the panels, such as a patient's code and the date.
      notes: lines below the panels, after the sources and the measures that the standard does not cover.

    Raises:
      GrowthError: the standard has no curve for any of the measures at this age.
    """
    chosen = STANDARDS[standard]
    given = [measure for measure in chosen.weeks if measure in values]
    if not given:
        raise GrowthError(f"{standard} has curves for {', '.join(chosen.weeks)}: none of these is given")
    found: dict[str, Centile] = {}
    left_out = []
    for measure in given:
        try:
            found[measure] = centile(
                *(measure, values[measure], weeks, standard, bpd_convention),
                weight_formula=weight_formula,
                allow_other_formula=weight_formula is not None,
            )
        except GrowthError as e:
            left_out.append(f"{QUANTITIES[measure].label} is not drawn: {e}.")
    if not found:
        raise GrowthError(f"no chart: {' '.join(left_out)}")
    columns = 2 if len(found) == 4 else min(len(found), 3)
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.7 * rows + 0.9), layout="constrained")
    if heading:
        figure.suptitle(heading, fontsize=11, x=0.01, ha="left")
    for panel, (measure, of_value) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(rows, columns, panel)
        _draw_curves(axes, measure, standard)
        value, detail = values[measure], ""
        if measure == "bpd" and chosen.bpd_convention:
            detail = f" {bpd_text(chosen.bpd_convention, value, bpd_convention)},"
            value = bpd_as(chosen.bpd_convention, value, bpd_convention)
        if measure == "efw" and weight_formula not in (None, chosen.weight_formula):
            detail = f" by {weight_formula} on curves of {chosen.weight_formula},"
        axes.plot([weeks], [value], "o", color="crimson", markersize=5)
        quantity, digits = QUANTITIES[measure], 0 if measure == "efw" else 1
        size = f"{quantity.label} {value:.{digits}f} {quantity.unit}{detail}"
        axes.set_title(
            "\n".join(textwrap.wrap(f"{size} at {format_age(weeks)}: centile {of_value.text}", 60)), fontsize=9
        )
    sources = dict.fromkeys(f"{c.formula}: {c.citation}." for c in found.values())
    lines = [line for text in (*sources, *left_out, *notes, NOT_CLINICAL) for line in textwrap.wrap(text, 84 * columns)]
    figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left")
    return figure


def _draw_curves(axes: Axes, measure: str, standard: str) -> None:
    low, high = STANDARDS[standard].weeks[measure]
    ages = np.linspace(low, high, 105)
    references = [reference(measure, age, standard) for age in ages]
    for percent, style in CURVES.items():
        curve = [r.value(percent) for r in references]
        axes.plot(ages, curve, style, color="black" if percent == 50 else "dimgrey", linewidth=1)
        shift = (14 if percent in (10, 90) else 3, 0)  # neighbouring labels would touch
        axes.annotate(f"{percent}", (high, curve[-1]), shift, textcoords="offset points", fontsize=7, va="center")
    convention = f", {STANDARDS[standard].bpd_convention}" if measure == "bpd" else ""
    quantity = QUANTITIES[measure]
    axes.set_ylabel(f"{quantity.label} ({quantity.unit}{convention})")
    axes.set_xlabel("gestational age (weeks)")
    axes.set_xlim(low - 1, high + 3.6)  # room for the labels of the curves
    axes.xaxis.set_major_locator(MultipleLocator(4))
    axes.grid(alpha=0.25)


def write(path: Path, figure: Figure) -> None:
    """Save a chart in the format of the file's suffix, png, svg or pdf in either case; text stays text in an SVG.

    Raises:
      UserError: another program's file is there.
    """
    refuse_other(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})  # equal charts are equal files
    ours = {"Software" if kind == "png" else "Creator": MARK}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fetal_jax"}), open_whole(path) as file:
        figure.savefig(file, dpi=150, format=kind, metadata=undated | ours)
