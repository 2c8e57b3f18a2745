"""`report.html`: tables, plots and frames of one evaluation."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from fetal_jax.data.source import Frame, Split
from fetal_jax.errors import amount
from fetal_jax.evaluation import robustness
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.report import checklist, plots, tables
from fetal_jax.evaluation.report.checklist import (
    ACCEPTANCE,
    FLOW,
    GROUPS,
    MADE,
    MARGIN,
    PLANES,
    ROBUSTNESS,
    SIZES,
    WORST,
)
from fetal_jax.evaluation.report.headline import headline
from fetal_jax.evaluation.report.page import Block, Picture, Pictures, Plot, Plots, Sections, Table, Text, page
from fetal_jax.evaluation.report.pictures import picture
from fetal_jax.evaluation.summary import MEASURES, NAMES

SHOWN = 12
PACKAGES = ("fetal_jax", "numpy", "scipy", "scikit-image", "pillow", "onnxruntime", "jax", "flax", "matplotlib")


@dataclass(frozen=True)
class Origin:
    """The network, the data and the command of an evaluation."""

    title: str
    command: str
    data_dir: str = ""
    network: dict[str, str] = field(default_factory=dict)  # lines of "How it was made"
    kind: str = ""  # of `checklist`: INTERNAL, EXTERNAL or OVERLAPPING; empty: not known
    partitions_known: bool = False
    identity: dict[str, Any] = field(default_factory=dict)  # of the network: name, steps, parameters (SHA-256)


def render(summary: dict[str, Any], evaluated: list[EvaluatedFrame], frames: Split, origin: Origin) -> str:
    """Render the page.

    Args:
      summary: from `summary.summarise`, with `robustness` if it was measured.
      evaluated: from `frames.evaluate_frames`.
      frames: the split of these frames.
      origin: for the section "How it was made".
    """
    compared = [f for f in evaluated if f.dice is not None]
    by_measure = {m: [f for f in compared if f.measure == m] for m in MEASURES if m in summary}
    agreeing = {m: part for m, part in by_measure.items() if summary[m].get("agreement")}
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    sections: Sections = {
        FLOW: tables.frame_flow(summary),
        SIZES: tables.sizes(summary),
        GROUPS: tables.subgroup_tables(summary),
        checklist.AGREEMENT: [
            *tables.agreement(summary),
            *_plots([p for m, part in agreeing.items() for p in _agreement_plots(m, part, summary[m])]),
        ],
        MARGIN: tables.non_inferiority(summary),
        "Gestational age": tables.ages(summary),
        "90 % intervals": tables.intervals(summary),
        ACCEPTANCE: _acceptance(by_measure),
        PLANES: [
            *tables.planes(summary),
            *_plots([plots.reliability(summary["plane"]["reliability"])] if "plane" in summary else []),
        ],
        ROBUSTNESS: _robustness(summary),
        WORST: _pictures(sorted(compared, key=_badness, reverse=True)[:SHOWN], frames),
        "Frames at random": _pictures(_drawn(compared), frames),
        MADE: [Table(["", ""], [list(line) for line in _made(frames, origin, date).items()], text_columns=(1,))],
    }
    sections["CLAIM 2024 and TRIPOD+AI"] = _checklists(sections, origin)
    made = f"Made by fetal_jax {_version('fetal_jax')} on {date} (UTC), of {frames.fingerprint}, split {frames.name}."
    intro = "What each table means: docs/evaluation.md."
    return page(origin.title, intro, sections, origin.command, headline(summary, origin.kind, made))


def _agreement_plots(measure: str, frames: list[EvaluatedFrame], summary: dict[str, Any]) -> list[Plot]:
    return [plots.bland_altman(measure, frames, summary), plots.error_by_size(measure, frames)]


def _plots(items: Sequence[Plot | None]) -> list[Block]:
    drawn = [item for item in items if item is not None]
    return [Plots(drawn)] if drawn else []


def _acceptance(by_measure: dict[str, list[EvaluatedFrame]]) -> list[Block]:
    drawn = _plots([plots.risk_coverage(m, part) for m, part in by_measure.items()])
    order = (
        "The most doubtful frames are dropped first: those to review, then by the score of the acceptance rule, or "
        "without a score by the error estimate of the map."
    )
    return [*drawn, Text(order)] if drawn else []


def _robustness(summary: dict[str, Any]) -> list[Block]:
    if "robustness" not in summary:
        return [Text("Robustness: not measured; give --robustness to measure it.")]
    found = summary["robustness"]
    drawn = [
        plots.robustness(f"{name}: {change.meaning}", change.unit, found["changes"][name])
        for name, change in robustness.CHANGES.items()
    ]
    return [
        *_plots(drawn),
        Text(
            f"{amount(found['frames'], 'frame')} drawn at random, each changed at its native size before it is "
            "measured. Factor 1, 0 and quality 100 are the unchanged frame. Blue: mean absolute error of frames with "
            "a measurement; shaded: 95 % interval by subject; orange: failures, of all frames."
        ),
    ]


def _drawn(compared: list[EvaluatedFrame]) -> list[EvaluatedFrame]:
    return [compared[i] for i in np.random.default_rng(0).permutation(len(compared))[:SHOWN]]


def _badness(frame: EvaluatedFrame) -> tuple[int, float]:
    """Sort key, worst first: frames without a measurement, then by error, or without millimetres by overlap."""
    if frame.error_mm is None:
        return 0, 1 - (frame.dice or 0)
    return (2, 0.0) if np.isnan(frame.error_mm) else (1, abs(frame.error_mm))


def _pictures(chosen: list[EvaluatedFrame], frames: Split) -> list[Block]:
    if not chosen:
        return [Text("None: no frame of the split has a shape to compare with.")]
    legend = Text("Green, dashed: annotated. Yellow, solid: measured. Click a frame to enlarge it, again to close it.")
    return [legend, Pictures([_picture(f, frames[f.index]) for f in chosen])]


def _picture(evaluated: EvaluatedFrame, frame: Frame) -> Picture:
    if evaluated.error_mm is None:
        error = "no length to compare with"
    elif np.isnan(evaluated.error_mm):
        error = "no measurement"
    else:
        error = f"{evaluated.error_mm:+.2f} of {evaluated.true_mm:.1f} mm"
    found = evaluated.found
    shapes = {"annotated": frame.shape, "measured": (found.ellipse or found.shaft) if found else None}
    caption = f"{evaluated.filename}: {NAMES[evaluated.measure or 'hc_mm']} {error}, Dice {evaluated.dice:.3f}"
    caption += ", failed" * evaluated.failed
    reasons = f": {'; '.join(evaluated.reasons)}" if evaluated.reasons else ""
    return picture(frame, shapes, f"{caption}. {evaluated.status or ''}{reasons}")


def _made(frames: Split, origin: Origin, date: str) -> dict[str, str]:
    """The data, the network and the versions of the programs."""
    versions = [f"{name} {found}" for name in PACKAGES if (found := _version(name))]
    return {
        "data": frames.fingerprint,
        "split": frames.name,
        **(origin.network or {"network": "not known: these are predictions from a file"}),
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
        "date (UTC)": date,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _checklists(sections: Sections, origin: Origin) -> list[Block]:
    def shows(blocks: Sequence[Block]) -> bool:
        return any(not isinstance(block, Text) for block in blocks)

    done = {heading for heading, blocks in sections.items() if shows(blocks)} | {checklist.SUMMARY, origin.kind}
    done |= {checklist.NETWORK} if origin.network else set()
    done |= {checklist.PARTITIONS} if origin.partitions_known else set()
    head = ["item", "about", "where in this report"]
    return [
        Table(head, checklist.answered(checklist.CLAIM, done), (1, 2), "CLAIM 2024"),
        Table(head, checklist.answered(checklist.TRIPOD_AI, done), (1, 2), "TRIPOD+AI"),
        Text(checklist.SOURCES),
    ]
