"""`report.html`: tables, plots and frames of one evaluation, in one self-contained file."""

from __future__ import annotations

import html
import io
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from PIL import Image

from fetal_jax.data.source import Split
from fetal_jax.evaluation import robustness
from fetal_jax.evaluation.frames import Row
from fetal_jax.evaluation.report import plots, tables
from fetal_jax.evaluation.report.page import figure, image, note, page, table
from fetal_jax.evaluation.summary import MEASURES, NAMES
from fetal_jax.outputs import overlay

WORST, PICTURE_WIDTH = 12, 480
PACKAGES = ("fetal_jax", "numpy", "scipy", "pillow", "onnxruntime", "jax", "flax", "tensorflow-datasets", "matplotlib")


def render(
    title: str,
    summary: dict[str, Any],
    rows: list[Row],
    frames: Split,
    command: str,
    training: dict[str, Any] | None = None,
) -> str:
    """The page as text.

    Args:
      title: what was evaluated.
      summary: of `summary.summarise`, and `robustness` where it was asked for.
      rows: of `frames.evaluate_frames`.
      frames: the split that they are of.
      command: what makes the report again.
      training: what a bundle says of its network; None where nothing is known of it.
    """
    measured = [r for r in rows if r.dice is not None]
    worst = sorted(measured, key=_badness, reverse=True)[:WORST]
    drawn = np.random.default_rng(0).permutation(len(measured))[:WORST]
    by_measure = {m: [r for r in measured if r.measure == m] for m in MEASURES if m in summary}
    agreeing = {m: part for m, part in by_measure.items() if summary[m].get("agreement")}
    sections = {
        "Millimetres and overlap": tables.sizes(summary),
        "Agreement": tables.agreement(summary)
        + _grid("plots", [plot for m, part in agreeing.items() for plot in _plots(m, part, summary[m])]),
        "Gestational age": tables.ages(summary),
        "90 % intervals": tables.intervals(summary),
        "Flags: what is given up for what": _grid("plots", [plots.risk_coverage(m, r) for m, r in by_measure.items()])
        + note("The most doubtful frames are given up first: those with a flag, then by the map's own error estimate."),
        "Planes": tables.planes(summary)
        + (_grid("plots", [plots.reliability(summary["plane"]["reliability"])]) if "plane" in summary else ""),
        "Robustness": _robustness(summary),
        f"The {len(worst)} worst frames": _pictures(worst, frames),
        f"{len(drawn)} frames at random": _pictures([measured[i] for i in drawn], frames),
        "Made from": _made_from(frames, training or {}),
    }
    return page(title, f"{len(rows)} frames of {summary['subjects']} subjects.", sections, command)


def _plots(measure: str, rows: list[Row], summary: dict[str, Any]) -> list[str]:
    return [plots.bland_altman(measure, rows, summary), plots.error_by_size(measure, rows)]


def _grid(kind: str, figures: list[str]) -> str:
    return f'<div class="{kind}">{"".join(figures)}</div>' if any(figures) else ""


def _robustness(summary: dict[str, Any]) -> str:
    if "robustness" not in summary:
        return "<p>Robustness: not measured, because it was not asked for (--robustness).</p>"
    found = summary["robustness"]
    drawn = [
        plots.robustness(f"{name}: {change.meaning}", change.unit, found["changes"][name])
        for name, change in robustness.CHANGES.items()
    ]
    return _grid("plots", drawn) + note(
        f"{found['frames']} frames drawn by lot, each changed at its native size before it is measured; factor 1, "
        "0 and quality 100 are the frame as it is. Blue: mean absolute error of the frames with a figure, shaded: "
        "95 % interval by subject; orange: failures, of all frames."
    )


def _badness(row: Row) -> tuple[int, float]:
    """Frames without a figure first, then by their error; those without millimetres by their overlap."""
    if row.error_mm is None:
        return 0, 1 - (row.dice or 0)
    return (2, 0.0) if np.isnan(row.error_mm) else (1, abs(row.error_mm))


def _pictures(rows: list[Row], frames: Split) -> str:
    if not rows:
        return "<p>None: no frame of the split has a shape to compare with.</p>"
    return note("Green: annotated. Yellow: measured.") + _grid("frames", [_picture(r, frames) for r in rows])


def _picture(row: Row, frames: Split) -> str:
    frame = frames[row.index]
    if row.error_mm is None:
        error = "no length to compare with"
    elif np.isnan(row.error_mm):
        error = "no figure"
    else:
        error = f"{row.error_mm:+.2f} of {row.true_mm:.1f} mm"
    drawn = Image.fromarray(overlay.draw(frame.image, row.found, [], frame.shape))
    drawn.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
    buffer = io.BytesIO()
    drawn.save(buffer, format="JPEG", quality=88)
    flags = "; ".join(row.found.flags) if row.found else ""
    text = f"{row.filename}: {NAMES[row.measure or 'hc_mm']} {error}, Dice {row.dice:.3f}"
    return figure(image(buffer.getvalue(), "jpeg", row.filename), text + (f". {flags}" if flags else ""))


def _made_from(frames: Split, training: dict[str, Any]) -> str:
    """The data's fingerprint, the network's training and the versions of what measured."""
    changed = training.get("changed")
    recipe = json.dumps(training.get("recipe", {}), sort_keys=True)
    lines = {
        "data": frames.fingerprint,
        "trained on": training.get("fingerprint") or training.get("dataset") or "not known",
        **({"but": changed} if changed else {}),
        "steps": str(training.get("steps", "not known")),
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
        "recipe": recipe if training.get("recipe") else "not known",
    }
    return table(["", ""], [[k, html.escape(v)] for k, v in lines.items()], text_columns=(1,))


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found
