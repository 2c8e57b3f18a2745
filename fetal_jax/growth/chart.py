"""A patient's points on a standard's centile curves. Needs matplotlib (the extra `chart`)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.growth.centiles import STANDARDS, centile, reference
from fetal_jax.growth.estimates import format_age
from fetal_jax.growth.measures import GrowthError, Source, bpd_as
from fetal_jax.planes import QUANTITIES

CURVES = {3: ":", 10: "--", 50: "-", 90: "--", 97: ":"}
"""Centiles that are drawn, and how."""


def draw(values: Mapping[str, float], weeks: float, standard: str, bpd_convention: str | None = None) -> Figure:
    """One panel for each measure that the standard has curves for.

    Args:
      values: mm by measure; "efw" in g, by the standard's weight formula.
      weeks: exact age.
      standard: one of `STANDARDS`.
      bpd_convention: of the BPD, where there is one.

    Raises:
      GrowthError: the standard has a curve for none of the measures.
    """
    chosen = STANDARDS[standard]
    panels = [measure for measure in chosen.weeks if measure in values]
    if not panels:
        raise GrowthError(f"{standard} has curves for {', '.join(chosen.weeks)}: none of these is given")
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.7 * rows + 0.9), layout="constrained")
    sources = {}
    for panel, measure in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, panel)
        value = values[measure]
        if measure == "bpd":
            value = bpd_as(chosen.bpd_convention, value, bpd_convention)
        source = _draw_curves(axes, measure, standard)
        _draw_point(axes, measure, value, weeks, standard)
        sources[source.citation] = source.formula
    told = [*(f"{formula}: {citation}." for citation, formula in sources.items()), NOT_CLINICAL]
    lines = [line for text in told for line in textwrap.wrap(text, 84 * columns)]
    figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left")
    return figure


def _draw_curves(axes: Axes, measure: str, standard: str) -> Source:
    low, high = STANDARDS[standard].weeks[measure]
    ages = np.linspace(low, high, 105)
    references = [reference(measure, age, standard) for age in ages]
    for percent, style in CURVES.items():
        curve = [r.value(percent) for r in references]
        axes.plot(ages, curve, style, color="black" if percent == 50 else "dimgrey", linewidth=1)
        shift = (14 if percent in (10, 90) else 3, 0)  # neighbours' labels would touch
        axes.annotate(f"{percent}", (high, curve[-1]), shift, textcoords="offset points", fontsize=7, va="center")
    convention = f", {STANDARDS[standard].bpd_convention}" if measure == "bpd" else ""
    quantity = QUANTITIES[measure]
    axes.set_ylabel(f"{quantity.label} ({quantity.unit}{convention})")
    axes.set_xlabel("gestational age (weeks)")
    axes.xaxis.set_major_locator(MultipleLocator(4))
    axes.grid(alpha=0.25)
    return references[0].source


def _draw_point(axes: Axes, measure: str, value: float, weeks: float, standard: str) -> None:
    low, high = STANDARDS[standard].weeks[measure]
    axes.set_xlim(min(low, weeks) - 1, max(high + 2, weeks) + 1)  # room for the curves' labels, and for any point
    try:
        stands = f"centile {centile(measure, value, weeks, standard, STANDARDS[standard].bpd_convention).text}"
    except GrowthError as e:
        stands = f"no centile\n{textwrap.fill(str(e), 50)}"
    axes.plot([weeks], [value], "o", color="crimson", markersize=5)
    quantity, digits = QUANTITIES[measure], 0 if measure == "efw" else 1
    size = f"{quantity.label} {value:.{digits}f} {quantity.unit}"
    axes.set_title(f"{size} at {format_age(weeks)}: {stands}", fontsize=9)


def write(path: Path, figure: Figure) -> None:
    """Save a chart as PNG or SVG, by the file's suffix; text stays text in an SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fetal_jax"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
