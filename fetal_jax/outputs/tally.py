"""Counts of a call's rows by status, and the most frequent reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fetal_jax.errors import amount
from fetal_jax.inference import acceptance
from fetal_jax.outputs.rows import STATUSES, Row


@dataclass
class Tally:
    """Counts of a call's rows."""

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    """Frames that were measured or refused, without unreadable files and those without an image."""
    with_spacing: int = 0
    with_examination: int = 0
    unplaced: int = 0
    """Frames without an examination of which the spacing table says something else: DICOM without a study."""

    def add(self, row: Row) -> None:
        """Count a row."""
        self.statuses[row["status"]] += 1
        self.frames += row["plane"] is not None
        self.with_spacing += row["spacing_mm"] is not None
        self.with_examination += row["examination"] is not None
        said = any(row.get(key) is not None for key in ("patient", "fetus", "day", "stated_ga_weeks"))
        self.unplaced += row["plane"] is not None and row["examination"] is None and said
        if row["reason"] and row["status"] != "measured":
            self.reasons.update(acceptance.kinds_of(bare_reason(row)))

    def __iadd__(self, other: Tally) -> Tally:
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)
        return self

    def __str__(self) -> str:
        counts = in_words(self.statuses) or "no frames"
        why = ", ".join(f"{reason} ({n})" for reason, n in self.reasons.most_common(3))
        parts = [counts, *([f"main reasons: {why}"] if why else [])]
        if self.unplaced:
            of = f"{amount(self.unplaced, 'frame')} of the spacing table"
            parts.append(f"in no examination: {of}, without StudyInstanceUID: fill in its column examination")
        return "; ".join(parts)


def in_words(statuses: Counter[str]) -> str:
    """Counts of statuses, such as "5 measured, 1 review"; empty without any."""
    return ", ".join(f"{statuses[s]} {s}" for s in STATUSES if statuses[s])


def bare_reason(row: Row) -> str:
    """The reasons of a row without its file's name before them."""
    reason, file = row["reason"] or "", row["file"]
    return reason.removeprefix(f"{file}: ").removeprefix(f"{file} ").strip()  # only there: files are called 1, or head
