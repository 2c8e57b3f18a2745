"""The sections of the cohort report, from the numbers of `tables`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax import __version__
from fetal_jax.archive.cohort import drift as drift_rule
from fetal_jax.archive.cohort.drift import Alarm, Cell, Drift
from fetal_jax.archive.cohort.names import Names
from fetal_jax.archive.cohort.pictures import RIM, picture
from fetal_jax.archive.cohort.tables import MEASURES, Tables, ZScores
from fetal_jax.errors import amount
from fetal_jax.evaluation.report.page import Block, Pictures, Plots, Table, Text
from fetal_jax.evaluation.scanner.matching import Matched
from fetal_jax.evaluation.statistics.agreement import FEWEST, OBSERVER_LIMIT_PERCENT, SARRIS, bland_altman
from fetal_jax.growth.ages import format_age
from fetal_jax.outputs.rows import STATUSES
from fetal_jax.planes import QUANTITIES

SURPRISING, MOST_ROWS, MOST_REASONS = 50, 60, 12
DATED = "of examinations whose age is known (stated, or counted from the first visit)"
OWN = "at the age by the examination's own sizes"
POWER = (
    "A drift of 2 % in one month of one of 4 machines is seen in 16 % of simulated reports with 100 patients in each "
    "machine and month, 54 % with 200, 99 % with 400 at 20 weeks; 79 % with 100, 98 % with 150 at 30 weeks."
)
"""From the table of docs/cohort.md, which the reader of a page does not have."""
TITLES = {"week": "week", "device": "machine", "operator": "operator", "month": "month"}


def frames(tables: Tables, names: Names) -> list[Block]:
    """Shares of the statuses, overall, by machine and by month, and the reasons."""
    blocks: list[Block] = []
    for by in (None, "device", "month"):
        rows = []
        for part, counts in tables.shares(by):
            total = sum(counts.values())
            cells = [f"{counts.get(s, 0)} ({100 * counts.get(s, 0) / total:.1f} %)" for s in STATUSES]
            rows.append([names.show(by or "", part), str(total), *cells])
        blocks.append(table(["", "frames", *STATUSES.values()], rows, f"By {TITLES[by]}" if by else ""))
    for status in ("review", "refused", "error"):
        reasons = tables.reasons(status) + (tables.unread if status == "error" else Counter())
        if reasons:
            common = reasons.most_common(MOST_REASONS)
            rows = [[reason, str(n)] for reason, n in common]
            if others := len(reasons) - len(common):
                rows.append([f"{others} other reasons", str(reasons.total() - sum(n for _, n in common))])
            blocks.append(Table(["reason", "frames"], rows, (0,), f"Why {STATUSES[status]}"))
    blocks.append(Text("Numbers in a reason are written as N. Only the first reason of a frame counts."))
    return blocks


def sizes(tables: Tables, size: dict[str, int], names: Names) -> list[Block]:
    """z-scores by week, machine, operator and month, for known ages; if no age is known, at the age from the sizes."""
    dated = size["dated"] > 0
    blocks: list[Block] = [Text(f"z-scores {DATED if dated else OWN}.")]
    for by, title in TITLES.items():
        rows = tables.z_scores(by, dated)
        if by == "week" and any(of[m].people > 1 for _, of in rows for m in MEASURES):  # one has no interval
            from fetal_jax.archive.cohort import plots

            said = "Mean z-score by week, from two patients on; bars: 95 % intervals (Student's t, by patients)."
            blocks.append(Plots([plots.z_by_week(rows, said)]))
        cells = [[names.show(by, part), *(_z(of[m]) for m in MEASURES)] for part, of in rows]
        head = [title, *(f"{QUANTITIES[m].label}: n, mean (SD)" for m in MEASURES)]
        blocks.append(table(head, cells, f"By {title}"))
    left_out = size["examinations"] - size["dated"]
    if dated:
        text = (
            f"A mean of 0 and an SD of 1 are expected. Left out: {amount(left_out, 'examination')} whose only age "
            "is that by its own sizes, at which a machine that measures everything too large still looks right."
        )
    else:
        text = (
            "No examination has an age other than the one by its own sizes. These z-scores compare the sizes of a "
            "fetus with each other only: a machine that measures everything too large still looks right. State ages (a "
            "column ga in the spacing table), or give the scanner's reports."
        )
    return [*blocks, Text(f"{text} Only sizes that are measured count, not those to review.")]


def _z(z: ZScores) -> str:
    if not z.n or z.mean is None:
        return "–"
    return f"{z.n}, {z.mean:+.2f}" + (f" ({z.sd:.2f})" if z.sd is not None else "")


def drift(found: dict[str, Drift], cells: dict[str, list[Cell]], names: Names) -> list[Block]:
    """The months that drifted, the means by month, and the rule."""
    blocks: list[Block] = []
    for what, result in found.items():
        unit = "mean z-score" if what == "z-score" else "ours - scanner, %"
        rows = [_alarm(a, names) for a in result.alarms]
        head = ["machine", "month", "", "patients", "month's mean", "other months", "p", "limit"]
        title = f"{what.capitalize()}: {amount(result.tests, 'test')}; {result.too_few} not made, with too few patients"
        blocks.append(Table(head, rows or [["none", *[""] * 7]], (), title))
        if cells[what]:
            from fetal_jax.archive.cohort import plots

            shown = [Cell(c.measure, names.device(c.device), c.month, c.n, c.total, c.squares) for c in cells[what]]
            alarms = {(names.device(a.cell.device), a.cell.month) for a in result.alarms}
            blocks.append(Plots(plots.by_month(shown, alarms, unit)))
    rule = (
        "The rule: Welch's t-test of each measure between a month of a machine and the machine's other months, "
        f"patients counted once a month, at least {drift_rule.FEWEST} in each; Holm's correction over all months, "
        f"machines and measures of a table at {drift_rule.FALSE_ALARM:g}: without drift, at most one report in "
        f"{1 / drift_rule.FALSE_ALARM:.0f} has a false alarm. "
        f"{POWER} A machine that is off in all months does not drift: see its mean in the tables above."
    )
    return [*blocks, Text(rule)]


def _alarm(alarm: Alarm, names: Names) -> list[str]:
    c = alarm.cell
    head = [names.device(c.device), c.month, QUANTITIES[c.measure].label, str(c.n)]
    return [*head, f"{c.mean:+.2f}", f"{alarm.others:+.2f}", f"{alarm.p:.1e}", f"{alarm.limit:.1e}"]


def scanner(matched: Matched, differences: list[dict[str, Any]], names: Names) -> list[Block]:
    """Agreement with the scanner's values, overall and by machine, and the refused values."""
    rows, groups = [], []
    for m in MEASURES:
        pairs = [p for p in matched.pairs if p.measure == m]
        both = [p for p in pairs if p.measured_mm is not None]
        if len(both) < FEWEST:
            continue
        ours, theirs = [p.measured_mm or 0.0 for p in both], [p.scanner_mm for p in both]
        b = bland_altman(ours, theirs, percent=True, subjects=len({p.subject for p in both}))
        limit = f"± {OBSERVER_LIMIT_PERCENT[QUANTITIES[m].column]} %"
        numbers = [f"{b[k]:+.2f}" for k in ("bias", "lower", "upper")]
        rows.append([QUANTITIES[m].label, str(len(both)), str(len(pairs) - len(both)), *numbers, limit])
        for device in sorted({d["device"] or "not recorded" for d in differences}):
            values = [
                d["value"] for d in differences if (d["device"] or "not recorded") == device and d["measure"] == m
            ]
            if len(values) > 1:
                spread = f"{np.mean(values):+.2f} ± {np.std(values, ddof=1):.2f}"
                groups.append([names.device(device), QUANTITIES[m].label, str(len(values)), spread])
    refused = [[reason, str(n)] for reason, n in matched.reasons().most_common(MOST_REASONS)]
    return [
        table(["", "pairs", "no value of ours", "bias, %", "lower limit", "upper limit", "two sonographers"], rows),
        table(["machine", "", "pairs", "ours - scanner, % (mean ± SD)"], groups, "By machine"),
        table(["refused values and reports", "number"], refused),
        Text(
            "In percent of the mean of both, 95 % limits (Bland-Altman). Two sonographers who each scan the fetus: "
            f"{SARRIS}. The whole agreement report: fetal-jax evaluate --results --scanner-reports."
        ),
    ]


def surprising(tables: Tables, folder: Path, names: Names, with_differences: bool) -> list[Block]:
    """The examinations that contradict themselves, then those with the most unusual sizes, with pictures."""
    rows, shown = [], []
    for rank, visit in enumerate(tables.surprising(SURPRISING, with_differences), start=1):
        label, plane = QUANTITIES[visit["measure"]].label, MEASURES[visit["measure"]]
        why = f"z {visit['value']:+.1f}" if visit["why"] == "z" else f"{visit['value']:+.1f} % to the scanner's"
        name = _examination(visit, names)
        age = "–" if visit["weeks"] is None else format_age(visit["weeks"])
        age += "" if visit["dated"] else " by its sizes"
        mm = visit[f"{visit['measure']}_mm"]
        size = "" if mm is None else f"{mm:.1f}"
        device = names.device(visit["device"]) if visit["device"] else "not recorded"
        rows.append(
            [str(rank), name, f"{label} {why}", size, age, visit[f"{plane}_status"], device, visit["month"] or "–"]
        )
        drawn = picture(folder, tables.best_frame(visit), f"{rank}. {label} {size} mm, {why}; age {age}; {name}")
        shown += [drawn] if drawn else []
    head = ["rank", "examination", "why", "mm", "age", "status", "machine", "month"]
    text = (
        "By the largest of the absolute z-scores of HC, AC and FL and, where the scanner's values are given, of the "
        "difference to them over its spread. A size that alone made the age has no z-score: at its own age "
        "it says nothing. A surprise may be a wrong outline, a wrong age, another fetus or a true "
        f"finding. {len(shown)} of {len(rows)} have a picture: of the outlined structure with a rim of "
        f"{100 * RIM:.0f} %, since a frame's edges may name the patient."
    )
    ranked: list[Block] = [table(head, rows, text_columns=(2, 6)), Text(text), *([Pictures(shown)] if shown else [])]
    return [*_contradictory(tables, names), *ranked]


def _examination(visit: dict[str, Any], names: Names) -> str:
    """The name of an examination, and of its fetus, for the page."""
    fetus = visit["fetus"] or ""
    of = f", fetus {fetus if len(fetus) < 3 else names.hashed(fetus)}" if fetus else ""
    return names.hashed(visit["examination"]) + of


def _contradictory(tables: Tables, names: Names) -> list[Block]:
    """The examinations whose frames, sizes or ages contradict each other, with their notes; empty without any."""
    visits = tables.contradictory()
    if not visits:
        return []
    rows = []
    for visit in visits:
        sizes = ["–" if (mm := visit[f"{m}_mm"]) is None else f"{mm:.1f}" for m in MEASURES]
        made_by = names.device(visit["device"]) if visit["device"] else "not recorded"
        status = STATUSES[visit["status"]]
        rows.append([_examination(visit, names), status, visit["notes"], *sizes, made_by, visit["month"] or "–"])
    head = ["examination", "status", "note", *(f"{QUANTITIES[m].label}, mm" for m in MEASURES), "machine", "month"]
    title = f"Frames, sizes or ages contradict each other: {amount(len(visits), 'examination')}"
    text = Text("Look at these first. Those with a z-score are in the list below too.")
    return [table(head, rows, title, (2, 6)), text]


def made(tables: Tables) -> list[Block]:
    """Bundles, versions and standards."""
    rows = [[name, ", ".join(values) or "not stated"] for name, values in tables.made_by().items()]
    rows += [["report", f"fetal_jax {__version__}, {datetime.now(UTC):%Y-%m-%d} (UTC)"]]
    standards = tables.all("select distinct standard from visits order by 1")
    rows += [["standard of the z-scores", ", ".join(str(s) for (s,) in standards)]]
    return [Table(["", ""], rows, (1,))]


def table(head: Sequence[str], rows: list[list[str]], title: str = "", text_columns: tuple[int, ...] = ()) -> Table:
    """A table of at most `MOST_ROWS` rows; the last line says how many more there are."""
    more = len(rows) - MOST_ROWS
    shown = rows[:MOST_ROWS] + ([[f"and {more} more", *[""] * (len(head) - 1)]] if more > 0 else [])
    return Table(head, shown or [["none", *[""] * (len(head) - 1)]], text_columns, title)
