"""The agreement of results with scanners' reports: metrics.json, frames.csv, refused.csv, report.html."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.biometry import Measurement
from fetal_jax.errors import UserError, amount
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.frames import MOST_FEMUR_PERCENT, EvaluatedFrame
from fetal_jax.evaluation.outputs import Claim
from fetal_jax.evaluation.report.scanner import render
from fetal_jax.evaluation.scanner import matching
from fetal_jax.evaluation.scanner.matching import Matched, Pair
from fetal_jax.evaluation.statistics.agreement import FEWEST, bland_altman
from fetal_jax.evaluation.summary import summarise
from fetal_jax.files import spreadsheet_text, write_whole
from fetal_jax.inference.identity import KEY_FILE, KEY_VARIABLE
from fetal_jax.outputs.rows import Row, read_rows
from fetal_jax.planes import QUANTITIES
from fetal_jax.reading.scanner.report import Report, read_folder

REFUSED = "refused.csv"


def evaluate(
    results: Path, reports: Path, claim: Claim, command: str, margins: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Compare a results folder with the reports below a folder; writes the files, returns the summary.

    Raises:
      UserError: there are no results or no reports, or no value of a report matches a result.
    """
    rows = read_rows(results)
    found, refused = read_folder(reports)
    named = matching.identities(results)
    matched = matching.match(found, rows, named)
    matched.refused = [*refused, *matched.refused]
    if not matched.pairs:
        why = f"no value of the {amount(len(found), 'report')} belongs to a result: {matched.why_none()}"
        raise UserError(f"{why}: {_remedy(rows, hashed=len(named) > 1)}")
    frames = compared(matched.pairs)
    summary = summarise(frames, margins=margins) | {"scanner": counts(found, matched)}
    summary["not_measured"] = _not_measured(summary)
    title = f"{results} and the scanner's reports"
    stated = {"title": title, "command": command, "data": f"{amount(len(found), 'report')} of {reports}", "source": {}}
    outputs.write_files(claim, summary | stated, frames, render(summary, frames, title, command))
    _write_refused(claim(REFUSED), matched)
    return summary


def _remedy(rows: Sequence[Row], hashed: bool) -> str:
    """The remedy if no value matches a result."""
    if not any(row.get("examination") for row in rows):
        return (
            "the results name no examination: measure the DICOM files, or a --spacing-csv with examination, patient "
            "and date"
        )
    if not hashed:
        return (
            f"hashed names can only be compared with the key: put the {KEY_FILE} of the call that made the results "
            f"beside them, or set {KEY_VARIABLE} as it was"
        )
    return "measure the frames of the examinations that the reports are of, or give the reports of these results"


def _not_measured(summary: Mapping[str, Any]) -> dict[str, str]:
    """Reasons for empty tables, worded for reports. Planes are in `scanner`, not in a table of probabilities."""
    reasons = {name: why for name, why in summary["not_measured"].items() if name != "planes"}
    if not summary["scanner"]["planes"]["frames"]:
        reasons["planes"] = (
            "no value of HC, AC or FL is compared with a frame: a report must name the image of each value, as "
            "scanners do where images are stored before the report, and the results must hold it, measured from DICOM"
        )
    if "intervals" in reasons:
        reasons["intervals"] = (
            "no value is compared with a frame that has an interval: measure with a bundle that fetal-jax evaluate "
            "--bundle=BUNDLE --calibrate has written intervals into"
        )
    return reasons


def compared(pairs: Sequence[Pair]) -> list[EvaluatedFrame]:
    """Convert the pairs of HC, AC and FL to evaluated frames. The scanner's measure gives the plane: HC means a head.

    There is no outline to compare with; a failure has no value, or an error of over 10 %.
    """
    frames = []
    for index, pair in enumerate(matching.primary(pairs)):
        plane, column = str(QUANTITIES[pair.measure].plane), QUANTITIES[pair.measure].column
        row, mm = pair.row, pair.measured_mm
        error = np.nan if mm is None else mm - pair.scanner_mm
        of_frame = pair.level == matching.FRAME
        name = f"{row['file']}#{row['frame']}" if of_frame else " ".join(filter(None, pair.visit))
        interval = (row["low_mm"], row["high_mm"]) if of_frame and mm and row["low_mm"] is not None else None
        sd = row["sd_mm"] if of_frame else None
        found = Measurement(plane, **{column: mm}, sd_mm=sd, flags=tuple(row["flags"] or ()) if of_frame else ())  # type: ignore[arg-type]
        frames.append(
            EvaluatedFrame(
                *(index, f"{name} {QUANTITIES[pair.measure].label}", pair.subject, plane),
                predicted_plane=row["plane"] if of_frame else None,
                measure=column,
                true_mm=pair.scanner_mm,
                measured_mm=mm,
                error_mm=error,
                failed=not abs(error) <= MOST_FEMUR_PERCENT / 100 * pair.scanner_mm,
                found=found,
                interval_mm=interval,
                device=row["device"] or "",
                spacing_mm=row["spacing_mm"],
                status=pair.status if mm is not None else "refused",
                reasons=tuple(filter(None, [pair.reason])),
            )
        )
    return frames


def counts(reports: Sequence[Report], matched: Matched) -> dict[str, Any]:
    """Count values read, matched and refused; with the agreement of BPD and OFD, whose convention no report states."""
    pairs = matched.pairs
    diameters = {}
    for measure in ("bpd", "ofd"):
        both = [p for p in pairs if p.measure == measure and p.measured_mm is not None]
        if len(both) >= FEWEST:
            measured, true = [float(p.measured_mm or 0) for p in both], [p.scanner_mm for p in both]
            diameters[measure] = bland_altman(measured, true, subjects=len({p.subject for p in both}))
    of_frames = [p for p in matching.primary(pairs) if p.level == matching.FRAME]
    return {
        "reports": len(reports),
        "titles": dict(Counter(r.title for r in reports)),
        "verified": sum(r.verified for r in reports),
        "complete": sum(r.complete for r in reports),
        "values": sum(len(r.values) for r in reports),
        "pairs": dict(Counter(p.level for p in pairs)),
        "kinds": dict(Counter(p.kind for p in pairs)),
        "of_verified": sum(p.verified for p in pairs),
        "planes": {
            "frames": len(of_frames),
            "right": sum(p.row["plane"] == QUANTITIES[p.measure].plane for p in of_frames),
        },
        "diameters": diameters,
        "refused": dict(matched.reasons().most_common()),
    }


def _write_refused(path: Path, matched: Matched) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("report", "reason"))
    writer.writerows([spreadsheet_text(r.where), spreadsheet_text(r.reason)] for r in matched.refused)
    write_whole(path, text.getvalue())
