"""The five lines at the top of the report."""

from __future__ import annotations

from typing import Any

from fetal_jax.errors import amount
from fetal_jax.evaluation.report.checklist import EXTERNAL, INTERNAL, OVERLAPPING
from fetal_jax.evaluation.report.page import number
from fetal_jax.evaluation.statistics.bootstrap import FEWEST
from fetal_jax.evaluation.subgroups import worst
from fetal_jax.evaluation.summary import MEASURES, NAMES, over

Summary = dict[str, Any]


def headline(summary: Summary, kind: str, made: str) -> list[list[str]]:
    """Write five lines: number of frames, errors, worst subgroup, validity for other hospitals, origin.

    Each line is a list of sentences, one for each measure.

    Args:
      summary: of `summary.summarise`.
      kind: `INTERNAL`, `EXTERNAL` or `OVERLAPPING`, or empty if the training data are unknown.
      made: one sentence on the network, the program and the date.
    """
    parts = {m: summary[m] for m in MEASURES if m in summary}
    return [
        [_how_many(summary)],
        [_how_wrong(m, s) for m, s in parts.items()] or ["Nothing was compared: see the tables."],
        [_worst(m, s) for m, s in parts.items() if s.get("subgroups")] or ["No lengths, so no subgroups."],
        [_elsewhere(kind), *(_verdict(m, s) for m, s in parts.items())],
        [made],
    ]


def _how_many(summary: Summary) -> str:
    flow = summary["flow"]
    in_mm = flow["compared"] - flow["without_mm"]
    outcomes = ", ".join(f"{part['frames']} {name}" for name, part in flow["by_status"].items())
    return (
        f"{amount(flow['frames'], 'frame')} of {amount(summary['subjects'], 'subject')}; "
        f"{flow['compared']} compared with an annotation, "
        f"{in_mm} of them in millimetres: {outcomes}; {flow['failed']} failed."
    )


def _how_wrong(measure: str, s: Summary) -> str:
    name = NAMES[measure]
    if s.get("mae") is None:
        dice = "" if s["dice"] is None else f" Dice {s['dice']:.3f},"
        return f"{name}: no millimetres,{dice} {s['failed']} of {s['frames']} failed."
    interval = s["ci"].get("mae")
    off = f"{name}: off by {s['mae']:.2f} mm ({s['mae_percent']:.1f} %) on average{over(s)}"
    off += f", 95 % interval {number(interval)}" if interval else f", no interval (fewer than {FEWEST} subjects)"
    return (
        f"{off}, bias {s['bias']:+.2f} mm, at most {s['max']:.1f} mm; {100 * s['within_5_percent']:.1f} % within 5 %."
    )


def _worst(measure: str, s: Summary) -> str:
    found = worst(s["subgroups"])
    if found is None:
        return f"{NAMES[measure]}: no subgroup is large enough to be called the worst."
    groups = {by: worst(s["subgroups"], by) or found for by in ("mae_percent", "mae")}
    texts = {
        by: f"{grouping} “{group}”, {e['mae_percent']:.1f} % or {e['mae']:.2f} mm of "
        f"{amount(e['frames'] - e['missing'], 'frame')}"
        for by, (grouping, group, e) in groups.items()
    }
    return f"{NAMES[measure]} is worst for {'; in mm for '.join(dict.fromkeys(texts.values()))}."


def _elsewhere(kind: str) -> str:
    return {
        INTERNAL: "Internal test: the network was trained on other frames of this data set, so it says nothing "
        "about other hospitals.",
        EXTERNAL: "External test: the network was trained on no data set of this name, and on none with this training "
        "split.",
        OVERLAPPING: "These frames are not new to the network, or it cannot be told whether they are: see “but” "
        "under “How it was made”.",
    }.get(kind, "The training data are not known, or not all of them: it cannot be said whether this test is external.")


def _verdict(measure: str, s: Summary) -> str:
    v = s.get("non_inferiority")
    if v is None:
        return f"{NAMES[measure]}: no limits of agreement."
    bound = "" if v["bound"] is None else f", confidence bound {v['bound']:.1f} %"
    return f"{NAMES[measure]}: {v['verdict']} at ± {v['margin_percent']:g} % ({v['source']}{bound}; {v['reason']})."
