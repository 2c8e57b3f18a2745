"""The examinations of one fetus over time: one date of the pregnancy, and the change of centiles between visits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fetal_jax.outputs.examinations.ages_apart import is_far
from fetal_jax.outputs.examinations.examination import Examination, Summary, summarise

LAST_WEEK = 43.0


@dataclass(frozen=True)
class Pregnancy:
    """The examinations of one fetus, by date."""

    visits: tuple[Summary, ...]

    def changes(self, index: int) -> dict[str, float]:
        """Change of each measure's centile, in points of percent, from the visit before; empty at the first.

        A centile that is a bound ("<1") has no change. The change is between two days and not a velocity: it is
        neither divided by time nor judged.
        """
        if index == 0 or self.days(index) == self.days(index - 1):
            return {}
        now, before = self.visits[index].centiles, self.visits[index - 1].centiles
        return {
            measure: float(now[measure] - before[measure])
            for measure in now
            if measure in before and not (now[measure].bound or before[measure].bound)
        }

    def days(self, index: int) -> int:
        """Days from the first visit to this one."""
        return (self.visits[index].examination.day or 0) - (self.visits[0].examination.day or 0)


def follow(examinations: Iterable[Examination], standard: str = "hadlock") -> list[Pregnancy]:
    """Summarise examinations, and join those of one fetus.

    Visits are joined by patient and fetus if patient and day are known. A later visit is dated by the first one that
    has an age, unless its own age is stated: dating each by its own sizes would hide a change of growth. If that date
    and the sizes differ by over `SAME_FETUS_WEEKS`, the visit begins another pregnancy, and a note says so.

    Args:
      examinations: from `group`.
      standard: as for `summarise`.
    """
    pregnancies: dict[object, list[Summary]] = {}
    for number, examination in enumerate(examinations):
        alone = examination.patient is None or examination.day is None or examination.refused
        key = number if alone else (examination.patient, examination.fetus)
        pregnancies.setdefault(key, []).append(summarise(examination, standard))
    return [Pregnancy(tuple(visits)) for found in pregnancies.values() for visits in _joined(found, standard)]


def _joined(summaries: list[Summary], standard: str) -> list[list[Summary]]:
    """Divide the visits of one patient into pregnancies, and date each by its first visit."""
    divided: list[list[Summary]] = []
    for summary in sorted(summaries, key=lambda s: s.examination.day or 0):
        expected = _expected(divided[-1], summary) if divided else None
        if not divided:
            divided.append([summary])
        elif expected is not None and (expected > LAST_WEEK or is_far(expected, summary.weeks, summary.sizes_mm)):
            note = "not on one chart with this patient's earlier examinations: dates and sizes are of another pregnancy"
            divided.append([replace(summary, notes=(*summary.notes, note))])
        elif expected is None or summary.known_by:
            divided[-1].append(summary)
        else:
            dated = summarise(summary.examination, standard, expected)
            divided[-1].append(replace(dated, known_by="first visit"))
    return divided


def _expected(visits: list[Summary], summary: Summary) -> float | None:
    """The age in weeks that the first dated visit predicts for a later one."""
    dated = next((visit for visit in visits if visit.weeks is not None), None)
    if dated is None or dated.weeks is None:
        return None
    days = (summary.examination.day or 0) - (dated.examination.day or 0)
    return dated.weeks + days / 7
