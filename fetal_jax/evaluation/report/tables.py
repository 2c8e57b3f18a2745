"""The tables of the report, from the numbers of `summary.summarise`."""

from __future__ import annotations

from typing import Any

from fetal_jax.errors import amount
from fetal_jax.evaluation.report.page import Block, Cell, Table, Text, not_measured, number, with_interval
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.statistics.agreement import OBSERVER_LIMIT_PERCENT, REPEAT_LIMIT_PERCENT, SARRIS
from fetal_jax.evaluation.subgroups import GROUPINGS
from fetal_jax.evaluation.summary import MEASURES, NAMES

Summary = dict[str, Any]

LINES = [  # key, meaning, digits, key of its SD
    ("mae", "absolute error, mm (HC18's ADF)", 2, "mae_sd"),
    ("bias", "signed error, mm (HC18's DF)", 2, "sd"),
    ("median", "median absolute error, mm", 2, None),
    ("max", "largest absolute error, mm", 2, None),
    ("mae_percent", "absolute error, %", 2, None),
    ("bias_percent", "signed error, %", 2, None),
    ("within_5_percent", "share within 5 %", 3, None),
    ("within_10_percent", "share within 10 %", 3, None),
    ("within_repeat_limit", "share within one sonographer's repeat limit", 3, None),
    ("dice", "Dice", 3, "dice_sd"),
    ("hausdorff_mm", "Hausdorff, mm", 2, "hausdorff_mm_sd"),
    ("hausdorff95_mm", "95 % Hausdorff, mm", 2, "hausdorff95_mm_sd"),
    ("surface_mm", "mean surface distance, mm", 2, "surface_mm_sd"),
]


def frame_flow(summary: Summary) -> list[Block]:
    """Flow from all frames to the compared ones, and their outcome."""
    flow = summary["flow"]
    steps = [["frames of the split", str(flow["frames"])]]
    steps += [[f"left out: {reason}", str(n)] for reason, n in flow["left_out"].items()]
    steps += [
        ["compared with an annotated shape", str(flow["compared"])],
        ["of them compared in millimetres", str(flow["compared"] - flow["without_mm"])],
        ["of them failed", str(flow["failed"])],
    ]
    outcomes = [
        [
            {"measured": "measured", "review": "review (a person must check)", "refused": "refused"}[status],
            str(outcome["frames"]),
            str(outcome["failed"]),
            "; ".join(f"{reason} {n}" for reason, n in outcome["reasons"].items()) or "none",
        ]
        for status, outcome in flow["by_status"].items()
    ]
    return [
        Table(["step", "frames"], steps),
        Table(["outcome, the plane given", "frames", "of them failed", "reasons"], outcomes, text_columns=(3,)),
        Text(
            "Every compared frame is in the tables below, whatever its outcome. Failed: no geometry; a head or an "
            "abdomen with Dice below 0.90; a femur whose length is off by over 10 %."
        ),
    ]


def sizes(summary: Summary) -> list[Block]:
    """Errors and overlap, one column per measure."""
    present = [m for m in MEASURES if m in summary]
    if not present:
        return [not_measured("Millimetres and overlap", summary["not_measured"]["shapes"])]
    parts = [summary[m] for m in present]
    rows: list[list[str | Cell]] = [
        ["frames (subjects)", *(f"{s['frames']} ({s['subjects']})" for s in parts)],
        ["failed", *(str(s["failed"]) for s in parts)],
        ["share failed", *(with_interval(s["failed_share"], s["ci"].get("failed_share"), 3) for s in parts)],
        ["no measurement in mm", *(str(s["missing"]) for s in parts)],
        ["no true length in mm", *(str(s["without_mm"]) for s in parts)],
        ["measured: no review needed", *(str(s["measured"]) for s in parts)],
    ]
    rows += [[text, *(_size(s, key, digits, sd) for s in parts)] for key, text, digits, sd in LINES]
    names = list(dict.fromkeys(n for s in parts for n in s["endpoint_error"]))
    rows += [[f"end points, {n.upper()} (NME)", *(_endpoint(s, n) for s in parts)] for n in names]
    blocks: list[Block] = [Table(["", *(NAMES[m] for m in present)], rows)]
    if "millimetres" in summary["not_measured"]:
        blocks.append(not_measured("Millimetres", summary["not_measured"]["millimetres"]))
    limits = ", ".join(f"{NAMES[m]} ± {v} %" for m, v in REPEAT_LIMIT_PERCENT.items())
    few = [NAMES[m] for m in present if summary[m]["subjects"] < bootstrap.FEWEST]
    return [
        *blocks,
        Text(
            "Mean ± SD. Small type: 95 % interval by subject, Clopper-Pearson for shares, percentile bootstrap for the "
            f"others. The bootstrap needs {bootstrap.FEWEST} subjects"
            + (f", which {' and '.join(few)} lack: no interval." if few else ".")
        ),
        Text(
            "Over all frames of the plane, the plane given, at native resolution. A failed frame is outside every "
            "share, whatever its error. Its Dice is included unchanged. A frame without a value is left out of the "
            "mean of that value; the cell says how many. NME: mean distance of the end points, in the better order, "
            f"over the true length. Repeat limit: 95 % limits of one sonographer who scans twice, {limits} ({SARRIS}); "
            "a measurement inside it needs no adjustment by that rule."
        ),
    ]


def _size(s: Summary, key: str, digits: int, sd: str | None) -> Cell:
    if s.get(key) is None:
        return Cell("not measured")
    if key == "dice":  # every frame has one
        lacking = 0
    elif key.startswith("within"):  # frames without a measurement count as outside
        lacking = s["without_mm"]
    else:
        lacking = s.get(f"{key}_missing", s["missing"] + s["without_mm"])
    cell = with_interval(s[key], s["ci"].get(key), digits, s.get(sd) if sd else None)
    return _lacking(cell, lacking, s["frames"])


def _lacking(cell: Cell, lacking: int, frames: int) -> Cell:
    return cell._replace(small=f"{cell.small} ({lacking} of {frames} lack it)".strip()) if lacking else cell


def _endpoint(s: Summary, name: str) -> Cell:
    found = s["endpoint_error"].get(name)
    if found is None or found["mean"] is None:
        return Cell("–")
    return _lacking(with_interval(found["mean"], s["ci"].get(f"endpoint_{name}"), 3), found["missing"], found["frames"])


def subgroup_tables(summary: Summary) -> list[Block]:
    """Errors by device, trimester, spacing and outcome."""
    found = {m: summary[m]["subgroups"] for m in MEASURES if summary.get(m, {}).get("subgroups")}
    if not found:
        return [not_measured("Subgroups", summary["not_measured"].get("millimetres", "no frame has a length"))]
    head = ["", "frames (subjects)", "failed", "no mm", "error, mm", "error, %", "bias, %", "in repeat limit"]
    blocks: list[Block] = []
    for grouping in GROUPINGS:
        rows = [
            [f"{NAMES[m]}, {name}", *_subgroup(errors)]
            for m, groups in found.items()
            for name, errors in groups[grouping].items()
        ]
        blocks.append(Table(head, rows, title=f"By {grouping}"))
    return [
        *blocks,
        Text(
            "By plane: each measure is one plane. By site: no data set records the site of a frame; evaluate the data "
            "of each site separately (several --dataset). Trimester: by the true length (Hadlock 1984, under 14 and "
            f"from 28 weeks). Groups of fewer than {bootstrap.FEWEST} subjects have no interval but that of the share."
        ),
    ]


def _subgroup(e: dict[str, Any]) -> list[str | Cell]:
    return [
        f"{e['frames']} ({e['subjects']})",
        str(e["failed"]),
        str(e["missing"]),
        *(with_interval(e[k], e["ci"].get(k)) for k in ("mae", "mae_percent", "bias_percent")),
        with_interval(e["within_repeat_limit"], e["ci"].get("within_repeat_limit"), 3),
    ]


def ages(summary: Summary) -> list[Block]:
    """Error of gestational age in days, by trimester."""
    rows = [
        [
            f"{NAMES[m]}, {trimester}",
            str(e["frames"]),
            str(e["missing"]),
            with_interval(e.get("mae"), summary[m]["ci"].get(f"age_mae_days_{trimester}"), 1, e.get("mae_sd")),
            number(e.get("bias"), 1),
        ]
        for m in MEASURES
        for trimester, e in (summary.get(m, {}).get("age_days") or {}).items()
    ]
    if not rows:
        return [not_measured("Gestational age", summary["not_measured"].get("millimetres", "no frame has a length"))]
    return [
        Table(["trimester", "frames", "no age", "absolute error, days", "signed error, days"], rows),
        Text(
            "Age of the measured minus age of the true length, both by Hadlock 1984 from that length alone. The "
            "trimester is that of the true length. The formula covers 14 to 42 weeks: a shorter head, abdomen or femur "
            "is in the first trimester and has no age."
        ),
    ]


def agreement(summary: Summary) -> list[Block]:
    """Limits of agreement, compared with those of two sonographers."""
    found = {m: summary[m]["agreement"] for m in MEASURES if summary.get(m, {}).get("agreement")}
    if not found:
        return [not_measured("Agreement", summary["not_measured"]["agreement"])]
    rows: list[list[str | Cell]] = []
    for m, a in found.items():
        for unit in ("mm", "percent"):
            b, ci = a[unit], summary[m]["ci"]
            rows.append(
                [
                    f"{NAMES[m]}, {'%' if unit == 'percent' else 'mm'}",
                    f"{b['pairs']} ({b['subjects']})",
                    *(with_interval(b[k], b[f"{k}_ci"]) for k in ("bias", "lower", "upper")),
                    f"± {a['observers_percent']} %" if unit == "percent" else "",
                    with_interval(b["slope"], b["slope_ci"], 3),
                    *(with_interval(a[k], ci.get(k), 4) if unit == "mm" else "" for k in ("icc", "concordance")),
                ]
            )
    limits = ["bias", "lower limit", "upper limit", "two sonographers"]
    return [
        Table(["", "pairs (subjects)", *limits, "slope", "ICC(2,1)", "concordance"], rows),
        Text(
            "Bland-Altman, 95 % limits. Their intervals are those of the formulas, with the number of subjects for n. "
            "Slope: of the difference over the mean (proportional bias). ICC and concordance: bootstrap intervals by "
            f"subject. Two sonographers, each scanning the fetus: 95 % limits of {SARRIS}. A frame without a "
            "measurement is in no pair."
        ),
    ]


def non_inferiority(summary: Summary) -> list[Block]:
    """Verdicts against the margins, and the width of the limits for planned numbers of subjects."""
    found = {m: summary[m] for m in MEASURES if summary.get(m, {}).get("non_inferiority")}
    if not found:
        return [not_measured("Non-inferiority", summary["not_measured"]["agreement"])]
    rows, planned = [], []
    for m, s in found.items():
        v = s["non_inferiority"]
        needed = v["subjects_needed"]
        rows.append(
            [
                NAMES[m],
                f"± {v['margin_percent']:g} % ({v['source']})",
                number(v["limit"]),
                number(v["bound"]),
                number(v["share_inside"], 3),
                Cell(v["verdict"], v["reason"]),
                "none: the limit itself is outside" if needed is None else str(needed),
            ]
        )
        planned.append([NAMES[m], *(f"± {half:.2f} %" for half in s["planned"].values())])
    head = ["", "margin", "limit, %", "confidence bound, %", "share of frames inside", "verdict", "subjects needed"]
    numbers = [f"{n} subjects" for n in next(iter(found.values()))["planned"]]
    sonographers = ", ".join(f"{NAMES[m]} ± {v} %" for m, v in OBSERVER_LIMIT_PERCENT.items())
    return [
        Table(head, rows, text_columns=(5,)),
        Text(
            "Non-inferior: the outer 95 % confidence bounds of both limits of agreement are inside the margin, and so "
            "are at least 95 % of all frames, failures counted as outside. Inferior: a limit is outside with its "
            f"whole interval. Else it is not shown. The margin is that of two sonographers, {sonographers} of the mean "
            "(Sarris et al. 2012), or the one given by --margin. Those sonographers scanned the fetus again; here both "
            "lengths are of one frame, without the part that finding the plane adds: a pass is necessary, not enough."
        ),
        Table(["", *numbers], planned, title="95 % interval of a limit of agreement, by the number of subjects"),
        Text("For the SD found here. Subjects needed: the number that would bring the bound inside the margin."),
    ]


def intervals(summary: Summary) -> list[Block]:
    """Coverage of the 90 % intervals, over all frames and by trimester."""
    found = {m: summary[m]["interval"] for m in MEASURES if summary.get(m, {}).get("interval")}
    if not found:
        return [not_measured("Intervals", summary["not_measured"]["intervals"])]
    rows: list[list[str | Cell]] = []
    for m, whole in found.items():
        for part, i in {"all": whole, **whole["by_trimester"]}.items():
            key = "coverage" if part == "all" else f"coverage_{part}"
            rows.append(
                [
                    f"{NAMES[m]}, {part}",
                    f"{i['frames']} ({i['subjects']})",
                    str(whole["without"]) if part == "all" else "",
                    with_interval(i["coverage"], summary[m]["ci"].get(key), 3),
                    number(i.get("range"), 3),
                    number(i["width_mm"]),
                    number(whole["widest_allowed_mm"]) if part == "all" else "",
                ]
            )
    head = ["", "frames (subjects)", "no interval", "coverage", "99 % range", "mean width, mm", "2 x 90 % of errors"]
    return [
        Table(head, rows),
        Text(
            "Conformal prediction, calibrated on the calibration split. The range is what chance gives for a coverage "
            "of 0.90 (beta-binomial, counted in subjects). The guarantee is for all frames together, not for each "
            "trimester."
        ),
    ]


def planes(summary: Summary) -> list[Block]:
    """Accuracy and related scores, recall of each plane, and the confusion matrix."""
    if "plane" not in summary:
        return [not_measured("Planes", summary["not_measured"]["planes"])]
    p = summary["plane"]
    lines = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1 (classes that occur or are predicted)",
        "rejection_auroc": "AUROC of rejecting other planes",
        "calibration_error_before": "calibration error (ECE) before temperature",
        "calibration_error": "calibration error (ECE) after",
    }
    rows = [[text, with_interval(p[key], p["ci"].get(key), 3)] for key, text in lines.items()]
    rows += [[f"recall, {c}", with_interval(v, p["ci"].get(f"recall_{c}"), 3)] for c, v in p["recall"].items()]
    counts = [[c, *map(str, row)] for c, row in zip(p["classes"], p["confusion"], strict=True)]
    lacking = f" Without a class that it knows: {amount(p['without_class'], 'frame')}." if p["without_class"] else ""
    tempered = "No temperature was fitted." if p["temperature"] == 1 else f"Temperature {p['temperature']:.2f}."
    return [
        Table(["", amount(p["frames"], "frame")], rows),
        Text(f"A plane that is not among the classes of the network counts as other.{lacking} {tempered}"),
        Table(["true \\ predicted", *p["classes"]], counts, title="Confusion matrix"),
    ]
