"""A plot of a bundle's acceptance rules: calibration of the probabilities, and cost of each limit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from etils import epath
from numpy.typing import NDArray

from fetal_jax.evaluation.statistics.fitted_rules import Judged
from fetal_jax.files import write_whole

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Array = NDArray[Any]
COLOURS = {"head": "#1f5f8b", "abdomen": "#c4641a", "femur": "#3f7d4e"}
BINS = np.array([0, 0.01, 0.03, 0.1, 0.3, 1.0])


def plot_rules(judged: Sequence[Judged], path: epath.Path) -> None:
    """Write a PNG: share of wrong values over error probability, and over the share of values that are kept.

    All probabilities are out of fold. The dots on the right are the limits.
    """
    fig, (calibration, risk) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    calibration.plot([0, 1], [0, 1], ls="--", lw=1, color="#555555")
    for plane in judged:
        if plane.limit is None:
            continue
        known = ~np.isnan(plane.probability)
        probability, wrong = plane.probability[known], plane.wrong[known]
        colour = COLOURS[plane.plane]
        calibration.plot(*_bins(probability, wrong), "o-", color=colour, label=plane.plane)
        order = np.argsort(probability)
        kept = np.arange(1, len(order) + 1) / len(order)
        risk.plot(kept, 100 * np.cumsum(wrong[order]) / np.arange(1, len(order) + 1), color=colour)
        under = int((probability <= plane.limit).sum())
        if under:
            risk.plot(kept[under - 1], 100 * wrong[order][:under].mean(), "o", color=colour)
    calibration.set(xlabel="error probability", ylabel="share of wrong values")
    risk.set(xlabel="share of values kept", ylabel="of those wrong (%)", xlim=(0, 1.02), ylim=(0, None))
    for axes in (calibration, risk):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    if any(plane.limit is not None for plane in judged):
        calibration.legend(frameon=False)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    plt.close(fig)
    write_whole(path, buffer.getvalue())


def _bins(probability: Array, wrong: Array) -> tuple[Array, Array]:
    """Mean probability and share of wrong values in each bin with at least ten values."""
    which = np.clip(np.digitize(probability, BINS) - 1, 0, len(BINS) - 2)
    full = [b for b in range(len(BINS) - 1) if (which == b).sum() >= 10]
    means = [(probability[which == b].mean(), wrong[which == b].mean()) for b in full]
    x, y = np.array(means).reshape(-1, 2).T
    return x, y
