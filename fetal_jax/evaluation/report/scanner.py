"""`report.html` of results compared with scanners' reports: the tables of an evaluation, without outlines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from fetal_jax import __version__
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.report import plots, tables
from fetal_jax.evaluation.report.checklist import AGREEMENT, FLOW, GROUPS, MARGIN, SIZES, WORST
from fetal_jax.evaluation.report.headline import headline
from fetal_jax.evaluation.report.page import Block, Plots, Sections, Table, Text, page, with_interval
from fetal_jax.evaluation.summary import MEASURES, NAMES

SHOWN = 25
INTRO = (
    "The reference is what the scanner's reports state: one person's calipers, with their errors. What each table "
    "means: docs/evaluation.md."
)


def render(summary: dict[str, Any], frames: list[EvaluatedFrame], title: str, command: str) -> str:
    """Render the page.

    Args:
      summary: from `summary.summarise`, with `scanner` from `scanner.outputs.counts`.
      frames: from `scanner.outputs.compared`.
      title: of the page.
      command: the command that makes it again.
    """
    by_measure = {m: [f for f in frames if f.measure == m] for m in MEASURES if m in summary}
    agreeing = {m: part for m, part in by_measure.items() if summary[m].get("agreement")}
    drawn = [p for m, f in agreeing.items() for p in (plots.bland_altman(m, f, summary[m]), plots.error_by_size(m, f))]
    sections: Sections = {
        FLOW: _flow(summary),
        SIZES: tables.sizes(summary),
        GROUPS: tables.subgroup_tables(summary),
        AGREEMENT: [*tables.agreement(summary), *([Plots(drawn)] if drawn else []), *_diameters(summary)],
        MARGIN: tables.non_inferiority(summary),
        "Gestational age": tables.ages(summary),
        "90 % intervals": tables.intervals(summary),
        WORST: _worst(frames),
    }
    made = f"Made by fetal_jax {__version__} on {datetime.now(UTC):%Y-%m-%d} (UTC)."
    return page(title, INTRO, sections, command, headline(summary, "", made))


def _flow(summary: dict[str, Any]) -> list[Block]:
    s, by_status = summary["scanner"], summary["flow"]["by_status"]
    titles = ", ".join(f"{n} {title}" for title, n in s["titles"].items())
    read = [
        ["reports used", f"{s['reports']}{f' ({titles})' if titles else ''}"],
        ["of them signed by a person (VERIFIED)", str(s["verified"])],
        ["of them COMPLETE", str(s["complete"])],
        ["values read", str(s["values"])],
        ["compared with a frame", str(s["pairs"].get("frame", 0))],
        ["compared with an examination", str(s["pairs"].get("examination", 0))],
        *([f"of the pairs: {kind} values", str(n)] for kind, n in s["kinds"].items()),
        ["of the pairs: from signed reports", str(s["of_verified"])],
        [
            "frames whose plane is named as the scanner measured it",
            f"{s['planes']['right']} of {s['planes']['frames']}",
        ],
    ]
    outcomes = [[status, str(o["frames"]), str(o["failed"])] for status, o in by_status.items()]
    refused = [[reason, str(n)] for reason, n in s["refused"].items()]
    return [
        Table(["what", "number"], read),
        Table(["outcome of HC, AC and FL", "pairs", "of them failed"], outcomes),
        Table(["refused, and why (each one is in refused.csv)", "number"], refused or [["nothing", "0"]]),
        Text(
            "Every pair of HC, AC and FL is in the tables below, whatever its outcome. Failed: no value, or off by "
            "over 10 %. There are no outlines to compare with: no Dice, no Hausdorff. A value that names its image is "
            "compared with that frame; else the value that the scanner selected, its mean or its only one is compared "
            "with the examination's."
        ),
    ]


def _diameters(summary: dict[str, Any]) -> list[Block]:
    found = summary["scanner"]["diameters"]
    if not found:
        return []
    limits = ("bias", "lower", "upper")
    rows = [
        [m.upper(), f"{b['pairs']} ({b['subjects']})", *(with_interval(b[k], b[f"{k}_ci"]) for k in limits)]
        for m, b in found.items()
    ]
    return [
        Table(["", "pairs (subjects)", "bias, mm", "lower limit", "upper limit"], rows, title="BPD and OFD"),
        Text(
            "Ours are the axes of the ellipse, outer to outer. No report states its calipers' convention: outer to "
            "inner makes a BPD shorter by some 2 mm. So there is a bias here that is not an error, and no verdict."
        ),
    ]


def _worst(frames: list[EvaluatedFrame]) -> list[Block]:
    def badness(frame: EvaluatedFrame) -> float:
        error = abs(frame.error_mm or 0) / (frame.true_mm or 1)
        return float("inf") if np.isnan(error) else error

    rows = [
        [
            *(f.filename, NAMES[str(f.measure)], f"{f.true_mm:.1f}"),
            "none" if f.measured_mm is None else f"{f.measured_mm:.1f}",
            "" if f.measured_mm is None else f"{100 * (f.error_mm or 0) / (f.true_mm or 1):+.1f}",
            *(f.status or "", "; ".join(f.found.flags) if f.found else ""),
        ]
        for f in sorted(frames, key=badness, reverse=True)[:SHOWN]
    ]
    head = ["frame or examination", "", "scanner, mm", "measured, mm", "%", "status", "flags"]
    return [Table(head, rows, text_columns=(0, 5, 6))]
