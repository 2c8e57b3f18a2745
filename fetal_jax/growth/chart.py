"""A patient's sizes on the centile curves of their standard, as PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fetal_jax.growth.centiles import value_at

NAMES = {"hc": "HC, mm", "bpd": "BPD, mm", "ofd": "OFD, mm", "ac": "AC, mm", "fl": "FL, mm", "efw": "weight, g"}
CURVES = (3, 10, 50, 90, 97)
TEXT_STAYS_TEXT: Any = {"svg.fonttype": "none"}


def draw(points: dict[str, float], weeks: float, standard: str, path: Path) -> None:
    """Draw one panel a measure.

    Args:
      points: sizes in mm, or g for "efw"; a BPD in the standard's own convention.
      weeks: exact weeks.
      standard: one of centiles.STANDARDS.
      path: ends in .png or .svg.
    """
    panels = [(measure, value, curves(measure, standard)) for measure, value in points.items()]
    with mpl.rc_context(TEXT_STAYS_TEXT):
        figure = Figure(figsize=(3.6 * len(panels), 3.8), layout="constrained")
        for axes, (measure, value, (ages, sizes)) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            for percent, size in zip(CURVES, sizes, strict=True):
                axes.plot(ages, size, color="#456", lw=1.4 if percent == 50 else 0.7)
                axes.annotate(
                    f"{percent}", (ages[-1], size[-1]), xytext=(3, -3), textcoords="offset points", fontsize=7
                )
            axes.plot([weeks], [value], "o", color="#c30", ms=7)
            axes.set_xlabel("weeks")
            axes.set_title(NAMES[measure], fontsize=10)
            axes.grid(alpha=0.25)
        figure.suptitle(f"{standard}: centiles {', '.join(map(str, CURVES))}. Not for clinical use.", fontsize=9)
        figure.savefig(path, dpi=150)


def curves(measure: str, standard: str) -> tuple[np.ndarray, np.ndarray]:
    """Ages (N,) that the standard covers, every quarter of a week, and the sizes (CURVES, N) there."""
    ages, sizes = [], []
    for age in np.arange(10, 42.01, 0.25):
        try:
            sizes.append([value_at(measure, percent, float(age), standard) for percent in CURVES])
        except ValueError:  # an age that the standard does not cover
            continue
        ages.append(age)
    return np.array(ages), np.array(sizes).T
