"""The cohort report: one page about a whole results folder, without names, birth dates or plain identifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fetal_jax.archive.cohort import drift, sections
from fetal_jax.archive.cohort.drift import Cell, Drift
from fetal_jax.archive.cohort.names import Names
from fetal_jax.archive.cohort.tables import MEASURES, Tables
from fetal_jax.errors import UserError, amount
from fetal_jax.evaluation.report.page import Sections, page
from fetal_jax.evaluation.scanner import matching
from fetal_jax.evaluation.scanner.matching import Matched
from fetal_jax.files import write_whole
from fetal_jax.outputs.rows import STATUSES, read_rows
from fetal_jax.reading.scanner.report import read_folder

TITLE = "Cohort report"
NO_MONTH = "archive takes it from the header's StudyDate or the column date of --spacing-csv"


def write(folder: Path, out: Path, command: str, reports: Path | None = None) -> list[str]:
    """Write the report of a results folder as one HTML file; return the lines that a terminal shows.

    Args:
      folder: of `archive` or `measure`.
      out: the file.
      command: the command that makes it again.
      reports: scanners' structured reports, to compare with.

    Raises:
      UserError: there are no results, a package is missing, or no report matches these results.
    """
    tables, names = Tables(folder), Names(folder)
    matched = _matched(folder, reports) if reports else None
    differences = _differences(matched) if matched else []
    if differences:
        tables.add_differences(differences)
    size, z_cells = tables.size(), tables.z_cells()
    found = {"z-score": drift.find(z_cells)}
    difference_cells: list[Cell] = []
    for m in MEASURES if differences else ():
        query = f"select person, device, month, value from differences where measure = '{m}'"
        difference_cells += tables.cells(m, query)
    if differences:
        found["difference to the scanner"] = drift.find(difference_cells)
    shown: Sections = {
        "Frames": sections.frames(tables, names),
        "Sizes for age": sections.sizes(tables, size, names),
        "Drift": sections.drift(found, {"z-score": z_cells, "difference to the scanner": difference_cells}, names),
        "The scanner's values": sections.scanner(matched, differences, names) if matched else [],
        "Most surprising examinations": sections.surprising(tables, folder, names, bool(differences)),
        "How it was made": sections.made(tables),
    }
    headline = _headline(tables, size, found, len(differences))
    intro = "Frames and examinations of one archive. The text below each table says what it means."
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, page(TITLE, intro, shown, command, [[line] for line in headline]))
    return headline


def _matched(folder: Path, reports: Path) -> Matched:
    found, refused = read_folder(reports)
    matched = matching.match(found, read_rows(folder), matching.identities(folder))
    matched.refused = [*refused, *matched.refused]
    if not any(p.measured_mm is not None for p in matching.primary(matched.pairs)):
        why = matched.why_none()
        of = f"{amount(len(found), 'report')} of {reports}"
        raise UserError(f"no HC, AC or FL of {of} belongs to a measured frame: {why}")
    return matched


def _differences(matched: Matched) -> list[dict[str, Any]]:
    """Differences of our values minus the scanner's, in percent of their mean."""
    return [
        {
            "person": p.subject,
            "device": p.row["device"],
            "month": p.row["month"],
            "examination": p.visit[0],
            "fetus": p.visit[1],
            "measure": p.measure,
            "value": 200 * (p.measured_mm - p.scanner_mm) / (p.measured_mm + p.scanner_mm),
        }
        for p in matching.primary(matched.pairs)
        if p.measured_mm is not None
    ]


def _headline(tables: Tables, size: dict[str, int], found: dict[str, Drift], differences: int) -> list[str]:
    ((_, all_frames),) = tables.shares()
    contradictory = len(tables.contradictory())
    listed = f"; {contradictory} of them with frames, sizes or ages that contradict each other"
    lines = [
        f"{amount(sum(all_frames.values()), 'frame')}: {_shares(all_frames)}.",
        f"{amount(size['examinations'], 'examination')} of {amount(size['patients'], 'patient')}, "
        f"{amount(size['devices'], 'machine')}, {amount(size['operators'], 'operator')}, "
        f"{amount(size['months'], 'month')}; the age of {size['dated']} is known.",
        f"Examinations: {_shares(tables.visit_shares())}{listed if contradictory else ''}.",
    ]
    if not tables.know_contradictory:
        lines.append(
            "Examinations that contradict themselves are not listed: an earlier version wrote these results, "
            "without the column contradictory; measure the frames again."
        )
    for what, result in found.items():
        alarms = {(a.cell.device, a.cell.month) for a in result.alarms}
        if not size["months"]:
            why = "measure does not write it, archive does" if tables.of_measure else NO_MONTH
            lines.append(f"Drift of the {what}: not tested, no frame names its month: {why}.")
        elif not size["devices"]:
            lines.append(f"Drift of the {what}: not tested, no frame names its machine: only DICOM does.")
        elif not result.tests:
            lines.append(
                f"Drift of the {what}: not tested, no month of a machine has {drift.FEWEST} patients with a value."
            )
        elif alarms:
            many = "1 month of a machine is" if len(alarms) == 1 else f"{len(alarms)} months of machines are"
            lines.append(f"Drift of the {what}: {many} suspicious, of {amount(result.tests, 'test')}.")
        else:
            lines.append(f"Drift of the {what}: none seen in {amount(result.tests, 'test')}.")
    if differences:
        lines.append(f"Compared with the scanner's: {amount(differences, 'value')}.")
    return lines


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(
        f"{counts[s]} {word} ({100 * counts[s] / total:.1f} %)" for s, word in STATUSES.items() if s in counts
    )
