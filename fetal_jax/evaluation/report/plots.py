"""The plots of the report, as SVG."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.report.page import Plot
from fetal_jax.evaluation.summary import NAMES

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Array = NDArray[Any]
BLUE, ORANGE, GREY = "#1f5f8b", "#c4641a", "#555555"
MARKER = {"marker": "o", "linestyle": "", "ms": 3, "alpha": 0.55, "mew": 0}
MANY = 1500  # points from which they are drawn as pixels, to keep the file small


def bland_altman(measure: str, frames: list[EvaluatedFrame], summary: dict[str, Any]) -> Plot:
    """Plot difference over mean with bias, 95 % limits (Bland & Altman 1986) and the limits of two sonographers."""
    a, (measured, true) = summary["agreement"]["mm"], _pairs(frames)
    fig, axes = _axes(f"mean of both {NAMES[measure]} (mm)", "measured - annotated (mm)")
    axes.plot((measured + true) / 2, measured - true, color=BLUE, rasterized=len(true) > MANY, **MARKER)
    for key, style in (("bias", "-"), ("lower", "--"), ("upper", "--")):
        axes.axhline(a[key], ls=style, lw=1, color=GREY)
        if a[f"{key}_ci"]:
            axes.axhspan(*a[f"{key}_ci"], color=GREY, alpha=0.12, lw=0)
    edge = np.array(axes.get_xlim())
    for sign in (-1, 1):
        axes.plot(edge, sign * summary["agreement"]["observers_percent"] / 100 * edge, ls=":", lw=1.2, color=ORANGE)
    axes.set_xlim(*edge)
    caption = f"{NAMES[measure]}: bias {a['bias']:+.2f} mm, limits {a['lower']:+.2f} to {a['upper']:+.2f} mm"
    return _svg(fig, f"{caption}; shaded: 95 % intervals of the three lines; dotted: limits of two sonographers.")


def error_by_size(measure: str, frames: list[EvaluatedFrame]) -> Plot:
    """Plot the absolute error over the true length, and its mean in each fifth of the frames."""
    measured, true = _pairs(frames)
    size = np.abs(measured - true)
    fig, axes = _axes(f"annotated {NAMES[measure]} (mm)", "absolute error (mm)")
    axes.plot(true, size, color=BLUE, rasterized=len(true) > MANY, **MARKER)
    for part in np.array_split(np.argsort(true, kind="stable"), min(5, len(true))):
        axes.plot([true[part].min(), true[part].max()], [size[part].mean()] * 2, color=ORANGE, lw=2.5)
    return _svg(fig, f"{NAMES[measure]}: error by size; orange: mean of each fifth of the frames.")


def risk_coverage(measure: str, frames: list[EvaluatedFrame]) -> Plot | None:
    """Plot the mean error of the frames kept, when the most doubtful ones are dropped first.

    Frames to review are dropped first, then by error probability, or without a score by `sd_mm` over the size. None
    with fewer than two frames that have a value.
    """
    known = [f for f in frames if f.error_mm is not None]
    with_value = [f for f in known if f.measured_mm is not None and f.found is not None]
    if len(with_value) < 2:
        return None
    measured = np.array([f.status == "measured" for f in with_value])
    doubt = np.array([_doubt(f) for f in with_value])
    doubt[~measured] += 1e3
    kept, risk = metrics.risk_coverage([f.error_mm or 0.0 for f in with_value], doubt)
    kept = kept * len(with_value) / len(known)
    fig, axes = _axes("share of frames kept", "mean absolute error of those (mm)")
    axes.plot(kept, risk, color=BLUE)
    share = measured.sum() / len(known)
    if measured.any():
        axes.plot(share, risk[measured.sum() - 1], "o", color=ORANGE)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.1 * float(risk[len(risk) // 20 :].max()) or 1)
    lacking = (
        f" {len(known) - len(with_value)} of {len(known)} frames have no measurement."
        if len(with_value) < len(known)
        else ""
    )
    return _svg(fig, f"{NAMES[measure]}: orange: the measured ones ({share:.1%} of {len(known)}).{lacking}")


def _doubt(frame: EvaluatedFrame) -> float:
    if frame.error_probability is not None:
        return frame.error_probability
    spread = frame.found.sd_mm if frame.found else None
    return (spread or np.inf) / (frame.measured_mm or np.inf)


def reliability(bins: list[dict[str, float]]) -> Plot:
    """Plot the accuracy of the plane over its confidence."""
    fig, axes = _axes("confidence", "accuracy")
    axes.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY)
    share, confidence, accuracy = (np.array([b[k] for b in bins]) for k in ("share", "confidence", "accuracy"))
    axes.scatter(confidence, accuracy, s=20 + 400 * share, color=BLUE, alpha=0.7, linewidths=0)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.06)
    return _svg(fig, "Planes: accuracy of each fifteenth of confidence; the larger, the more frames.")


def robustness(name: str, unit: str, levels: list[dict[str, Any]]) -> Plot:
    """Plot mean error in percent (left) and share of failures (right) over the strength of one change."""
    fig, axes = _axes(unit, "mean absolute error (%)", (4, 2.9))
    x = np.arange(len(levels))
    low, high = np.array([r["mae_percent_ci"] or (np.nan, np.nan) for r in levels], float).T
    mean = np.array([r["mae_percent"] for r in levels], float)
    axes.fill_between(x, low, high, color=BLUE, alpha=0.15, lw=0)
    axes.plot(x, mean, "o-", color=BLUE, ms=4)
    axes.set_xticks(x, [f"{r['level']:g}" for r in levels])
    axes.set_ylim(0, None)
    axes.tick_params(axis="y", colors=BLUE)
    right = axes.twinx()
    right.plot(x, [100 * r["failed_share"] for r in levels], "s--", color=ORANGE, ms=4)
    right.set_ylabel("failed (%)")
    right.set_ylim(-3, 103)
    right.tick_params(axis="y", colors=ORANGE)
    right.spines["top"].set_visible(False)
    return _svg(fig, name)


def _pairs(frames: list[EvaluatedFrame]) -> Array:
    """(2, N): measured and true lengths of the frames that have both."""
    pairs = [(f.measured_mm, f.true_mm) for f in frames if f.measured_mm is not None and f.true_mm is not None]
    return np.array(pairs, float).reshape(-1, 2).T


def _axes(x: str, y: str, size: tuple[float, float] = (4.6, 3.4)) -> Any:
    fig, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return fig, axes


def _svg(fig: Any, caption: str) -> Plot:
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "fetal_jax"}):  # makes the file reproducible
        fig.savefig(buffer, format="svg", dpi=130, metadata={"Date": None})
    plt.close(fig)
    return Plot(buffer.getvalue().decode(), caption)
