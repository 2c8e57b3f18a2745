"""The tables of the report, from the numbers of `summary.summarise`."""

from __future__ import annotations

from typing import Any

from fetal_jax.evaluation.report.page import not_measured, note, number, table, with_interval
from fetal_jax.evaluation.summary import MEASURES, NAMES

Summary = dict[str, Any]

LINES = [  # key, what it is, digits, whether a SD goes with it
    ("mae", "absolute error, mm (HC18's ADF)", 2, "mae_sd"),
    ("bias", "signed error, mm (HC18's DF)", 2, "sd"),
    ("median", "median absolute error, mm", 2, None),
    ("max", "largest absolute error, mm", 2, None),
    ("mae_percent", "absolute error, %", 2, None),
    ("bias_percent", "signed error, %", 2, None),
    ("within_5_percent", "share within 5 %", 3, None),
    ("within_10_percent", "share within 10 %", 3, None),
    ("dice", "Dice", 3, "dice_sd"),
    ("hausdorff_mm", "Hausdorff, mm", 2, "hausdorff_mm_sd"),
    ("hausdorff95_mm", "95 % Hausdorff, mm", 2, "hausdorff95_mm_sd"),
    ("surface_mm", "mean surface distance, mm", 2, "surface_mm_sd"),
]


def sizes(summary: Summary) -> str:
    """Errors and overlap of each measure, a column each."""
    there = [m for m in MEASURES if m in summary]
    if not there:
        return not_measured("Millimetres and overlap", summary["not_measured"]["shapes"])
    parts = [summary[m] for m in there]
    rows = [
        ["frames (subjects)", *(f"{s['frames']} ({s['subjects']})" for s in parts)],
        ["failed", *(str(s["failed"]) for s in parts)],
        ["share failed", *(with_interval(s["failed_share"], s["ci"].get("failed_share"), 3) for s in parts)],
        ["no figure in mm", *(str(s["missing"]) for s in parts)],
        ["no length to compare with", *(str(s["without_mm"]) for s in parts)],
        ["accepted by the flags", *(str(s["accepted"]) for s in parts)],
    ]
    rows += [[text, *(_cell(s, key, digits, sd) for s in parts)] for key, text, digits, sd in LINES]
    names = list(dict.fromkeys(n for s in parts for n in s["endpoint_error"]))
    rows += [[f"end points, {n.upper()} (NME)", *(_endpoint(s, n) for s in parts)] for n in names]
    out = table(["", *(NAMES[m] for m in there)], rows)
    if "millimetres" in summary["not_measured"]:
        out += not_measured("Millimetres", summary["not_measured"]["millimetres"])
    return out + note(
        "Mean ± SD; in small type 95 % intervals by bootstrap over subjects. Over all frames of the plane, the plane "
        "given, at native resolution. A failure has no geometry or Dice below 0.90: it counts as Dice as it is, is not "
        "within any share, and is in no mean of a figure that it lacks (how many: in brackets). NME: distance of the "
        "end points, in the better order, over the true length."
    )


def _cell(s: Summary, key: str, digits: int, sd: str | None) -> str:
    if s.get(key) is None:
        return "not measured"
    lacking = s.get(f"{key}_missing")
    if lacking is None:  # every frame has its Dice, and one without a figure is within no share
        of_all = {"dice": 0, "within_5_percent": s["without_mm"], "within_10_percent": s["without_mm"]}
        lacking = of_all.get(key, s["missing"] + s["without_mm"])
    text = with_interval(s[key], s["ci"].get(key), digits, s.get(sd) if sd else None)
    return text + (f"<small>({lacking} of {s['frames']} lack it)</small>" if lacking else "")


def _endpoint(s: Summary, name: str) -> str:
    found = s["endpoint_error"].get(name)
    if found is None or found["mean"] is None:
        return "–"
    text = with_interval(found["mean"], s["ci"].get(f"endpoint_{name}"), 3)
    return text + (f"<small>({found['missing']} of {found['frames']} lack it)</small>" if found["missing"] else "")


def ages(summary: Summary) -> str:
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
        return not_measured("Gestational age", summary["not_measured"].get("millimetres", "no frame has a length"))
    return table(["trimester", "frames", "no age", "absolute error, days", "signed error, days"], rows) + note(
        "Both ages from the one length (Hadlock 1984). The trimester is the true length's; unknown: outside the "
        "formula's range, which is no age to compare with."
    )


def agreement(summary: Summary) -> str:
    """Limits of agreement beside those of two sonographers."""
    found = {m: summary[m]["agreement"] for m in MEASURES if summary.get(m, {}).get("agreement")}
    if not found:
        return not_measured("Agreement", summary["not_measured"]["agreement"])
    rows = []
    for m, a in found.items():
        for unit, digits in (("mm", 2), ("percent", 2)):
            b, ci = a[unit], summary[m]["ci"]
            beside = f"± {a['observers_percent']} %" if unit == "percent" else ""
            rows.append(
                [
                    f"{NAMES[m]}, {'%' if unit == 'percent' else 'mm'}",
                    str(b["pairs"]),
                    with_interval(b["bias"], b["bias_ci"], digits),
                    with_interval(b["lower"], b["lower_ci"], digits),
                    with_interval(b["upper"], b["upper_ci"], digits),
                    beside,
                    with_interval(b["slope"], b["slope_ci"], 3),
                    with_interval(a["icc"], ci.get("icc"), 4) if unit == "mm" else "",
                    with_interval(a["concordance"], ci.get("concordance"), 4) if unit == "mm" else "",
                ]
            )
    head = ["", "pairs", "bias", "lower limit", "upper limit", "two sonographers", "slope", "ICC(2,1)", "concordance"]
    return table(head, rows) + note(
        "Bland-Altman, 95 % limits, with the intervals of their formulas; slope: of the difference over the mean "
        "(proportional bias). ICC and concordance with bootstrap intervals by subject. Two sonographers, each scanning "
        "anew: 95 % limits of Sarris et al. 2012. A frame without a figure is in no pair."
    )


def intervals(summary: Summary) -> str:
    """How often the 90 % intervals hold the truth, over all and by trimester."""
    found = {m: summary[m]["interval"] for m in MEASURES if summary.get(m, {}).get("interval")}
    if not found:
        return not_measured("Intervals", summary["not_measured"]["intervals"])
    rows = []
    for m, whole in found.items():
        for part, i in {"all": whole, **whole["by_trimester"]}.items():
            key = "coverage" if part == "all" else f"coverage_{part}"
            limit = number(whole["widest_allowed_mm"]) if part == "all" else ""
            without = str(whole["without"]) if part == "all" else ""
            rows.append(
                [
                    f"{NAMES[m]}, {part}",
                    f"{i['frames']} ({i['subjects']})",
                    without,
                    with_interval(i["coverage"], summary[m]["ci"].get(key), 3),
                    number(i.get("range"), 3),
                    number(i["width_mm"]),
                    limit,
                ]
            )
    head = ["", "frames (subjects)", "no interval", "coverage", "99 % range", "mean width, mm", "2 x 90 % of errors"]
    return table(head, rows) + note(
        "Conformal, learnt on the calibration split. The range is what chance leaves of 0.90 (beta-binomial, subjects "
        "for frames); it is promised over all frames, not in each trimester."
    )


def planes(summary: Summary) -> str:
    """Accuracy and what goes with it, recall of each plane, and the confusion matrix."""
    if "plane" not in summary:
        return not_measured("Planes", summary["not_measured"]["planes"])
    p = summary["plane"]
    lines = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "rejection_auroc": "AUROC of rejecting other planes",
        "calibration_error_before": "calibration error (ECE) before temperature",
        "calibration_error": "calibration error (ECE) after",
    }
    rows = [[text, with_interval(p[key], p["ci"].get(key), 3)] for key, text in lines.items()]
    rows += [[f"recall, {c}", with_interval(v, p["ci"].get(f"recall_{c}"), 3)] for c, v in p["recall"].items()]
    counts = [[f"<b>{c}</b>", *map(str, row)] for c, row in zip(p["classes"], p["confusion"], strict=True)]
    lacking = f" {p['without_class']} frames have no class that it knows." if p["without_class"] else ""
    tempered = "no temperature was fitted" if p["temperature"] == 1 else f"temperature {p['temperature']:.2f}"
    return (
        table(["", f"{p['frames']} frames"], rows)
        + note(f"A plane that the network does not know is due as other.{lacking} Here {tempered}.")
        + "<h3>Confusion</h3>"
        + table(["true \\ named", *p["classes"]], counts)
    )
