"""Examinations as `examinations.json` (schema beside this file) and as the rows of `examinations.csv`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from fetal_jax.files import spreadsheet_text
from fetal_jax.outputs.examinations.examination import Structure
from fetal_jax.outputs.examinations.visits import Pregnancy
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import PRIMARY

Record = dict[str, Any]

SCHEMA = Path(__file__).parent / "examinations.schema.json"
"""JSON schema (draft 2020-12) of `examinations.json`, version 1."""
MEASURES = ("hc", "bpd", "ofd", "ac", "fl")
RATIOS = ("cephalic_index", "hc_ac", "fl_ac")
COLUMNS = [
    *("examination", "patient", "fetus", "day", "date", "status"),
    *(f"{m}_mm" for m in MEASURES),
    *RATIOS,
    *("standard", "ga_weeks", "ga_low_weeks", "ga_high_weeks", "ga_formula", "known_ga_weeks", "known_ga_by"),
    *("efw_g", "efw_formula"),
    *(f"{m}_centile" for m in (*MEASURES, "efw")),
    *(f"{plane}_{what}" for plane in PRIMARY for what in ("status", "frames", "low_mm", "high_mm", "best")),
    *("notes", "page"),
    *(f"{plane}_reason" for plane in PRIMARY),
    "contradictory",
]


def record(pregnancy: Pregnancy, index: int, page: str = "") -> Record:
    """Make the JSON object of one visit; `page` is the path of its page."""
    summary = pregnancy.visits[index]
    examination = summary.examination
    changes = pregnancy.changes(index)
    return {
        "examination": examination.name,
        "patient": examination.patient,
        "fetus": examination.fetus,
        "day": examination.day,
        "date": examination.date,
        "visit": index + 1,
        "visits": len(pregnancy.visits),
        "status": summary.status,
        "contradictory": summary.contradictory,
        "signed": False,
        "standard": summary.standard,
        "sizes_mm": summary.sizes_mm,
        "structures": {plane: _structure(s) for plane, s in summary.structures.items()},
        "ratios": summary.ratios,
        "age": summary.age and vars(summary.age),
        "known_age": {"weeks": summary.known_weeks, "by": summary.known_by} if summary.known_by else None,
        "weight": summary.weight
        and {"grams": summary.weight.grams, "formula": summary.weight.formula, "citation": summary.weight.citation},
        "centiles": {
            measure: {
                "percent": float(c),
                "bound": c.bound or None,
                "z": c.z,
                "change": changes.get(measure),
                "formula": c.formula,
                "citation": c.citation,
            }
            for measure, c in summary.centiles.items()
        },
        "reasons": summary.reasons,
        "notes": list(summary.notes),
        "page": page or None,
    }


def _structure(structure: Structure) -> Record:
    low, high = structure.span_mm or (None, None)
    return {
        "status": structure.status,
        "reason": structure.reason or None,
        "frames": [_frame(row) for row in structure.counted],
        "left_out": [_frame(row) for row in structure.left_out],
        "low_mm": low,
        "high_mm": high,
        "best": _frame(structure.best) if structure.best else None,
    }


def _frame(row: Row) -> Record:
    return {"file": row["file"], "frame": row["frame"], "overlay": row["overlay"]}


def as_json(records: list[Record]) -> str:
    """The content of `examinations.json`."""
    return json.dumps(records, indent=1) + "\n"


def as_csv(records: list[Record]) -> str:
    """The content of `examinations.csv`: a row per examination, with empty cells for missing values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for found in records:
        writer.writerow({name: spreadsheet_text(_cell(value)) for name, value in cells(found).items()})
    return text.getvalue()


def cells(found: Record) -> Record:
    """Convert a record to the columns `COLUMNS`; a centile that is a bound is text."""
    age, known, weight = found["age"] or {}, found["known_age"] or {}, found["weight"] or {}
    same = ("examination", "patient", "fetus", "day", "date", "status", "standard", "page", "contradictory")
    values = {name: found[name] for name in same} | {
        "ga_weeks": age.get("weeks"),
        "ga_low_weeks": age.get("low"),
        "ga_high_weeks": age.get("high"),
        "ga_formula": age.get("formula"),
        "known_ga_weeks": known.get("weeks"),
        "known_ga_by": known.get("by"),
        "efw_g": weight.get("grams"),
        "efw_formula": weight.get("formula"),
        "notes": "; ".join(found["notes"]),
    }
    values |= {f"{m}_mm": found["sizes_mm"].get(m) for m in MEASURES}
    values |= {name: found["ratios"].get(name) for name in RATIOS}
    values |= {f"{m}_centile": _centile(found["centiles"].get(m)) for m in (*MEASURES, "efw")}
    for plane, s in found["structures"].items():
        values |= {f"{plane}_{name}": s[name] for name in ("status", "low_mm", "high_mm", "reason")}
        values |= {f"{plane}_frames": len(s["frames"]), f"{plane}_best": s["best"] and s["best"]["overlay"]}
    return {name: values[name] for name in COLUMNS}


def _centile(of: Record | None) -> str | float | None:
    """The centile in percent; a bound as text such as "<1"."""
    if of is None:
        return None
    percent: float = of["percent"]
    return percent if not of["bound"] else f"{'<' if of['bound'] == 'below' else '>'}{percent:g}"


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else value
