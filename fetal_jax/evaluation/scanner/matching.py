"""Match values of scanners' reports with measured frames or examinations.

Identifiers are compared in the form that the results have: as keyed hashes, or plain. A value that names its image is
compared with that frame. Other values are compared with the examination's value, one for each measure: the one that
the scanner selected, else its mean or median, else the only one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.inference.acceptance import WITH_VALUE
from fetal_jax.inference.identity import KEY_FILE, Identities, Key, Naming
from fetal_jax.outputs.examinations.examination import group, summarise, without_copies
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import PRIMARY, QUANTITIES
from fetal_jax.reading.scanner.report import Report
from fetal_jax.reading.scanner.values import MEAN, MEDIAN, SELECTED, Refusal, Value

FRAME, EXAMINATION = "frame", "examination"
Visit = tuple[str, str | None]
"""An examination and a fetus, as rows name them."""


@dataclass(frozen=True)
class Pair:
    """A value of a scanner, and our measurement of the same."""

    measure: str
    """"hc", "ac", "fl", "bpd" or "ofd"."""
    scanner_mm: float
    measured_mm: float | None
    level: str
    """`FRAME` or `EXAMINATION`."""
    status: str
    reason: str
    visit: Visit
    subject: str
    """The patient, else the examination: values of one subject are not independent."""
    row: Row
    """The frame, or the examination's best one."""
    kind: str
    verified: bool


@dataclass
class Matched:
    """The pairs, and the values and reports without a pair, with reasons."""

    pairs: list[Pair] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def reasons(self) -> Counter[str]:
        """Count reasons; those that differ only in numbers are counted together."""
        return Counter(re.sub(r"\d[\d.]*", "N", r.reason).partition(":")[0] for r in self.refused)

    def why_none(self) -> str:
        """The most frequent reasons why there is no pair."""
        return "; ".join(f"{reason} ({n})" for reason, n in self.reasons().most_common(3)) or "they have no values"


def identities(folder: Path) -> list[Identities]:
    """The ways in which a results folder may name examinations: plain, and hashed if its key is available.

    Raises:
      UserError: `FETAL_JAX_KEY` is too short.
    """
    plain = Identities(Key(folder.joinpath), Naming(plain=True))
    if Key.of_environment() is None and not (folder / KEY_FILE).is_file():
        return [plain]
    return [plain, Identities(Key(folder.joinpath), Naming())]


def match(reports: Iterable[Report], rows: Sequence[Row], named: Sequence[Identities]) -> Matched:
    """Pair the values of reports with rows of results.

    Args:
      reports: from `reading.scanner.report.read_folder`.
      rows: of `measurements.json` or the frames' Parquet files, with the columns of `inference.identity`.
      named: from `identities`.

    Returns:
      The pairs, and the refused values: refused by the reports, of another patient's examination, or not assigned to a
      single frame or examination.
    """
    index = _Index(rows)
    matched = Matched()
    for report in reports:
        matched.refused += report.refused
        by_target: dict[tuple[str, str], list[Value]] = defaultdict(list)
        for value in report.values:
            by_target[value.measure, value.fetus].append(value)
        fetuses = {fetus for _, fetus in by_target}
        for (measure, fetus), values in by_target.items():
            pairs, reasons = index.pairs(report, values, fetuses, named)
            label = QUANTITIES[measure].label + (f", fetus {fetus}" if fetus else "")
            matched.pairs += pairs
            matched.refused += [Refusal(f"{report.name}: {label}", reason) for reason in reasons]
    return matched


class _Index:
    """Index of rows by object, examination and day."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.frames: dict[str, list[Row]] = defaultdict(list)
        self.visits: dict[str, dict[str | None, list[Row]]] = defaultdict(lambda: defaultdict(list))
        self.days: dict[tuple[str, int], set[str]] = defaultdict(set)
        for row in rows:
            if row.get("instance"):
                self.frames[row["instance"]].append(row)
            if row.get("examination") is not None:
                self.visits[row["examination"]][row["fetus"]].append(row)
                if row["patient"] and row["day"] is not None:
                    self.days[row["patient"], row["day"]].add(row["examination"])

    def pairs(
        self, report: Report, values: list[Value], fetuses: set[str], named: Sequence[Identities]
    ) -> tuple[list[Pair], list[str]]:
        """Pairs of one measure of one fetus: of frames where one is named that is there, else of the examination.

        The second list says why there are no others. A value without an image stands for those with one.
        """
        by_frame: dict[int, list[Value]] = defaultdict(list)
        frames: dict[int, Row] = {}
        pairs, refused = list[Pair](), list[str]()
        for value in values:
            if (row := self._frame(value, named)) is not None:
                by_frame[id(row)].append(value)
                frames[id(row)] = row
            elif value.image:
                refused.append("its frame is not among the results, or not the only one, as another value's is")
        for key, found in by_frame.items():
            try:
                pairs.append(self._frame_pair(report, frames[key], _chosen(found)))
            except UserError as e:
                refused.append(str(e))
        if frames:
            return pairs, refused
        try:
            visit, rows = self._fetus(self._examination(report, named), values[0].fetus, fetuses)
            return [_examination_pair(report, visit, rows, _chosen(values))], []
        except UserError as e:
            return [], [str(e)]

    def _frame(self, value: Value, named: Sequence[Identities]) -> Row | None:
        """The row of the frame that a value names; None if there is no such row, or several that are no copies."""
        if not value.image:
            return None
        rows = [row for who in named for row in self.frames.get(who.name("instance", value.image), ())]
        if value.frame is not None:
            rows = [row for row in rows if row["frame"] == value.frame]
        rows = without_copies(rows, QUANTITIES[value.measure].column)
        return rows[0] if len(rows) == 1 else None

    def _frame_pair(self, report: Report, row: Row, value: Value) -> Pair:
        column = QUANTITIES[value.measure].column
        measured = row[column] if row["status"] in WITH_VALUE else None
        reason = row["reason"] or ""
        if row["plane"] != QUANTITIES[value.measure].plane and row["status"] in WITH_VALUE:
            reason = f"taken for {row['plane']}"
        visit = (row.get("examination") or "", row.get("fetus"))
        subject = row.get("patient") or visit[0] or row["file"]
        said = (row["status"], reason, visit, subject, row, value.kind, report.verified)
        return Pair(value.measure, value.mm, measured, FRAME, *said)

    def _examination(self, report: Report, named: Sequence[Identities]) -> str:
        """The examination of a report: by its study, else by its patient and day."""
        for who in named:
            names = who.columns(None, report.study)
            if names["examination"] in self.visits:
                patients = {r["patient"] for rows in self.visits[names["examination"]].values() for r in rows} - {None}
                if names["patient"] and patients and names["patient"] not in patients:
                    raise UserError("its study is among the results as another patient's")
                return str(names["examination"])
        for who in named:
            names = who.columns(None, report.study)
            same_day = self.days.get((names["patient"], names["day"]), set())
            if len(same_day) == 1:
                return next(iter(same_day))
            if same_day:
                raise UserError(f"{len(same_day)} examinations of this patient on this day")
        raise UserError("no frame of this examination is among the results")

    def _fetus(self, examination: str, fetus: str, stated: set[str]) -> tuple[Visit, list[Row]]:
        """The rows of a fetus; if rows or report do not name one, there must be only one."""
        fetuses = self.visits[examination]
        if fetus in fetuses:
            return (examination, fetus), fetuses[fetus]
        if len(fetuses) > 1 or (set(fetuses) != {None} and fetus):
            names = ", ".join(name or "(not named)" for name in fetuses)
            of = f"is of fetus {fetus}" if fetus else "does not say which"
            raise UserError(f"the frames are of fetus {names}, and the value {of}")
        if len(stated) > 1:
            raise UserError(f"the report has {len(stated)} fetuses, and the frames are not said to be of one")
        ((only, rows),) = fetuses.items()
        return (examination, only), rows


def _chosen(values: list[Value]) -> Value:
    """Choose one of several values of a measure.

    Raises:
      UserError: they differ, and none is selected, a mean or a median.
    """
    for kind in (SELECTED, MEAN, MEDIAN):
        if found := [v for v in values if v.kind == kind]:
            values = found
            break
    sizes = sorted({v.mm for v in values})
    if len(sizes) > 1:
        raise UserError(f"{len(sizes)} values ({sizes[0]:.1f} to {sizes[-1]:.1f} mm), none selected and no mean")
    return values[0]


def _examination_pair(report: Report, visit: Visit, rows: list[Row], value: Value) -> Pair:
    (examination,) = group(rows)
    if examination.refused:
        raise UserError(examination.refused)
    structure = summarise(examination).structures[str(QUANTITIES[value.measure].plane)]
    best = structure.best or rows[0]
    subject = examination.patient or examination.name
    said = (structure.status, structure.reason, visit, subject, best, value.kind, report.verified)
    return Pair(value.measure, value.mm, structure.sizes_mm.get(value.measure), EXAMINATION, *said)


def primary(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs of HC, AC and FL."""
    return [p for p in pairs if QUANTITIES[p.measure].column in PRIMARY.values()]
