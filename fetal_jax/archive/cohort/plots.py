"""The plots of the cohort report, as SVG; imported only to draw (matplotlib, the `chart` extra)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from scipy import stats

from fetal_jax.archive.cohort.drift import Cell
from fetal_jax.archive.cohort.tables import ZScores
from fetal_jax.evaluation.report.page import Plot

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

COLOURS = {"hc": "#1f5f8b", "ac": "#c4641a", "fl": "#3f7d4e"}
MARKERS = {"hc": "o", "ac": "s", "fl": "^"}
MOST = 6
"""Most machines that are drawn: those with most values."""


def z_by_week(rows: Sequence[tuple[str, dict[str, ZScores]]], caption: str) -> Plot:
    """Mean z-score of each measure by completed week, from two patients on, with its 95 % interval."""
    fig, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    drawn: set[int] = set()
    for number, (measure, colour) in enumerate(COLOURS.items()):
        known = [(int(week), of[measure]) for week, of in rows if week.isdigit() and of[measure].people > 1]
        if not known:
            continue
        drawn |= {week for week, _ in known}
        weeks = np.array([week for week, _ in known]) + 0.15 * (number - 1)  # side by side
        axes.errorbar(
            *(weeks, np.array([z.mean for _, z in known], float), np.array([half_width(z) for _, z in known])),
            fmt=MARKERS[measure],
            color=colour,
            ms=4,
            lw=1,
            label=measure.upper(),
        )
    axes.set(xlabel="completed weeks", ylabel="mean z-score", xlim=(min(drawn) - 0.5, max(drawn) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return _svg(fig, axes, caption)


def half_width(z: ZScores) -> float:
    """Half of a mean's 95 % interval by Student's t, for as many values as patients: visits of one are alike."""
    return float(stats.t.ppf(0.975, z.people - 1) * z.sd / np.sqrt(z.people))


def by_month(cells: Sequence[Cell], alarms: set[tuple[str, str]], unit: str) -> list[Plot]:
    """Plot the mean value of each measure by month, one plot per machine; `alarms` (device, month) are marked."""
    devices = sorted({c.device for c in cells}, key=lambda d: (-sum(c.n for c in cells if c.device == d), d))[:MOST]
    months = sorted({c.month for c in cells})
    top = max((abs(c.mean) + 2 / np.sqrt(c.n) for c in cells if c.device in devices and c.n > 4), default=1.0)
    drawn = []
    for device in devices:
        fig, axes = plt.subplots(figsize=(4.6, 2.8), layout="constrained")
        for measure, colour in COLOURS.items():
            own = sorted((months.index(c.month), c.mean) for c in cells if (c.device, c.measure) == (device, measure))
            if own:
                x, y = zip(*own, strict=True)
                axes.plot(x, y, MARKERS[measure] + "-", color=colour, ms=4, lw=1, label=measure.upper())
        for month in (m for d, m in alarms if d == device):
            axes.axvspan(months.index(month) - 0.4, months.index(month) + 0.4, color="#b00020", alpha=0.18, lw=0)
        step = max(1, len(months) // 6)
        axes.set_xticks(range(0, len(months), step), months[::step], fontsize=8)
        axes.set(xlim=(-0.5, len(months) - 0.5), ylim=(-top, top), ylabel=unit)  # the same for every machine
        drawn.append(_svg(fig, axes, f"{device}: mean by month; red: drift."))
    return drawn


def _svg(fig: Any, axes: Any, caption: str) -> Plot:
    axes.axhline(0, color="#555555", lw=0.8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "fetal_jax"}):  # makes the file reproducible
        fig.savefig(buffer, format="svg", dpi=110, metadata={"Date": None})
    plt.close(fig)
    return Plot(buffer.getvalue().decode(), caption)
