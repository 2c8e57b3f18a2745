"""The frames of one examination -> sizes, ratios, age, weight and centiles. Pure functions on rows of measurements.

Frames are grouped by the columns of their rows that identify an examination (`identity.COLUMNS`). The value of a
structure is the median over its frames; a file counts once, however many frames or copies it has. The rules, in this
order:

1. Only frames that are `measured` count. If there are none, frames to `review` count, and the value needs review.
2. Frames whose spacings come from different sources are not mixed: only the most reliable source counts
   (`SPACING_ORDER`).
3. A frame is off if it differs from the median by more than two sonographers do (`score.WRONG`: HC 5 %, AC and FL 8 %).
   If over a quarter are off, there is no value: they may show two fetuses. Otherwise those are left out, and the value
   needs review.
4. If the ages by HC, AC and FL differ by over 20 %, nothing is computed from two structures: age, weight, ratios. A
   size outside the ages of the formula counts as the nearest of them.
5. If a stated age is over 5 weeks from the sizes, all values need review. So they do if those of 4 differ, or the
   frames of another structure as in 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fetal_jax.errors import amount
from fetal_jax.growth import (
    STANDARDS,
    Centile,
    FetalWeight,
    GrowthError,
    centile,
    fetal_weight,
    gestational_age,
)
from fetal_jax.inference.acceptance import WITH_VALUE
from fetal_jax.inference.score import WRONG
from fetal_jax.outputs.cines import surest
from fetal_jax.outputs.examinations.age_range import age_range
from fetal_jax.outputs.examinations.ages_apart import sizes_apart, stated_apart
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import MEASURED, PRIMARY

CHOICES = {"hadlock": "hadlock", "intergrowth": "intergrowth", "who": "hadlock"}
"""Standards of an examination, and the dating formula used with each: WHO published none."""
SPACING_ORDER = ("dicom", "csv", "flag", "ruler")
OFF_SHARE = 0.25
BPD_CONVENTION = "outer-outer"


@dataclass(frozen=True)
class Examination:
    """The frames of one fetus on one day."""

    name: str
    rows: tuple[Row, ...]
    patient: str | None = None
    fetus: str | None = None
    day: int | None = None
    """A day number; only differences between examinations of one patient are meaningful."""
    date: str | None = None
    stated_ga_weeks: float | None = None
    refused: str = ""
    """Why the frames cannot be of one examination; then nothing is computed."""


@dataclass(frozen=True)
class Structure:
    """Head, abdomen or femur in one examination."""

    plane: str
    status: str
    """"measured", "review" or "refused" (no value)."""
    reason: str = ""
    """Why the value needs review or is missing; which frames were left out."""
    sizes_mm: dict[str, float] = field(default_factory=dict)
    """By measure: "hc", "bpd" and "ofd" of a head, "ac", "fl"; medians."""
    counted: tuple[Row, ...] = ()
    left_out: tuple[Row, ...] = ()
    """Frames with a value that do not count."""
    best: Row | None = None
    """The counted frame with the fewest flags, then the surest plane, then nearest to the median."""

    @property
    def contradicted(self) -> bool:
        """Whether there is no value because the frames contradict each other."""
        return bool(self.left_out) and not self.counted

    @property
    def span_mm(self) -> tuple[float, float] | None:
        """Least and largest HC, AC or FL of the counted frames."""
        values = [row[PRIMARY[self.plane]] for row in self.counted]
        return (min(values), max(values)) if values else None


@dataclass(frozen=True)
class Age:
    """The age by sizes, with its 95 % range (`age_range`)."""

    weeks: float
    low: float
    high: float
    formula: str
    citation: str


@dataclass(frozen=True)
class Summary:
    """One examination, computed by one standard."""

    examination: Examination
    standard: str
    structures: dict[str, Structure]
    """All three, by plane."""
    age: Age | None = None
    """From the sizes of this examination."""
    known_weeks: float | None = None
    """The age for the centiles, if it does not come from the sizes of this examination."""
    known_by: str = ""
    """"stated" by the caller, or "first visit": dated there, plus the days since."""
    weight: FetalWeight | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    """"cephalic_index" (100 BPD/OFD), "hc_ac", "fl_ac" (100 FL/AC)."""
    centiles: dict[str, Centile] = field(default_factory=dict)
    """By measure, including "efw"."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why there is no "age", "weight" or centile of a measure."""
    notes: tuple[str, ...] = ()
    """The gravest first: contradictions between sizes, then between frames, then why a value is to review."""

    @property
    def sizes_mm(self) -> dict[str, float]:
        """All sizes by measure."""
        return {name: mm for s in self.structures.values() for name, mm in s.sizes_mm.items()}

    @property
    def weeks(self) -> float | None:
        """The age for the centiles."""
        own = self.age.weeks if self.age else None
        return own if self.known_weeks is None else self.known_weeks

    @property
    def status(self) -> str:
        """The worst status of a structure with a value; "refused" if none has one."""
        found = {s.status for s in self.structures.values() if s.sizes_mm}
        if not found or self.examination.refused:
            return "refused"
        return "review" if "review" in found else "measured"

    @property
    def contradictory(self) -> bool:
        """Whether frames, sizes or ages contradict each other, so that no value is "measured"; `notes` says which."""
        apart = bool(self.examination.refused or {"mixed", "stated"} & self.reasons.keys())
        return apart or any(s.contradicted for s in self.structures.values())


def group(rows: Iterable[Row]) -> list[Examination]:
    """Group rows by examination, in the order of their first frames. Rows without an examination are ignored.

    An examination with frames of two patients, two days or two stated ages is refused. Its day is that of the frames
    that name the patient.
    """
    groups: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        if row.get("examination") is not None:
            groups.setdefault((row["examination"], row["fetus"]), []).append(row)
    return [_examination(name, fetus, rows) for (name, fetus), rows in groups.items()]


def _examination(name: str, fetus: str | None, rows: list[Row]) -> Examination:
    stated = {key: {row[key] for row in rows} - {None} for key in ("patient", "stated_ga_weeks", "date")}
    days = _days(rows)
    counts = {
        "patients": len(stated["patient"]),
        "days": max(map(len, days.values()), default=0),
        "stated ages": len(stated["stated_ga_weeks"]),
    }
    several = [f"{count} {word}" for word, count in counts.items() if count > 1]
    if several:
        why = f"its frames are of {' and '.join(several)}: give each its own examination in the spacing table"
        return Examination(name, tuple(rows), fetus=fetus, refused=why)
    one: dict[str, Any] = {key: next(iter(values), None) for key, values in stated.items()}
    of_one = days.get(_PLAIN) or days.get(one["patient"]) or set()
    return Examination(name, tuple(rows), fetus=fetus, day=next(iter(of_one), None), **one)


_PLAIN = ""
"""Key in place of a patient, for days written as plain dates."""


def _days(rows: list[Row]) -> dict[str | None, set[int]]:
    """The days of rows, by the patient whose offset they have.

    A hashed day is shifted by an offset of its patient, and cannot be compared with another patient's. Rows without a
    patient share an offset. Days that are written as plain dates can all be compared.
    """
    days: dict[str | None, set[int]] = {}
    for row in rows:
        if row["day"] is not None:
            days.setdefault(row["patient"] if row["date"] is None else _PLAIN, set()).add(row["day"])
    return days


def summarise(examination: Examination, standard: str = "hadlock", ga_weeks: float | None = None) -> Summary:
    """Compute sizes, age with its range, weight, ratios and centiles of one examination.

    Args:
      examination: from `group`.
      standard: one of `CHOICES`, for age, weight and centiles.
      ga_weeks: the known age in weeks; default: the one that the examination states. Without one, the centiles are for
        the age from the same sizes, and only compare the sizes with each other.

    Raises:
      GrowthError: the standard is unknown.
    """
    if standard not in CHOICES:
        raise GrowthError(f"there is no standard {standard!r} of examinations: give one of {', '.join(CHOICES)}")
    known = examination.stated_ga_weeks if ga_weeks is None else ga_weeks
    known_by = "" if known is None else "stated"
    if examination.refused:
        none = {plane: Structure(plane, "refused", examination.refused) for plane in PRIMARY}
        return Summary(examination, standard, none, None, known, known_by, notes=(examination.refused,))
    structures = {plane: _structure(plane, examination.rows) for plane in PRIMARY}
    sizes = {name: mm for s in structures.values() for name, mm in s.sizes_mm.items()}
    reasons: dict[str, str] = {}
    if mixed := sizes_apart(sizes):
        reasons |= dict.fromkeys(("mixed", "age", "weight"), mixed)
    age = None if mixed else _age(sizes, standard, reasons)
    far = "" if mixed or known is None else stated_apart(known, age.weeks if age else None, sizes)
    reasons |= {"stated": far} if far else {}
    between = [f"{s.plane}: {s.reason}" for s in structures.values() if s.contradicted]
    doubted = _doubted(structures, "; ".join(filter(None, (mixed, far, *between))))
    weight = None if mixed else _weight(sizes, standard, reasons)
    weeks = age.weeks if known is None and age else known
    centiles = _centiles(sizes | ({"efw": weight.grams} if weight else {}), weeks, standard, reasons)
    said = [s for s in structures.values() if s.reason and (s.sizes_mm or s.contradicted)]
    said.sort(key=lambda s: not s.contradicted)
    notes = [*filter(None, (mixed, far)), *(f"{s.plane}: {s.reason}" for s in said)]
    sources = Counter(row["spacing_source"] for s in structures.values() for row in s.counted)
    if len(sources) > 1:
        notes.append(f"the spacings come from different sources ({', '.join(sorted(map(str, sources)))})")
    return Summary(
        *(examination, standard, doubted, age, known, known_by, weight),
        *(_ratios(sizes, bool(mixed)), centiles, reasons, tuple(notes)),
    )


def _doubted(structures: dict[str, Structure], why: str) -> dict[str, Structure]:
    """Every value of a contradictory examination is to review, `why` last among its reasons; the others as they are."""
    if not why:
        return structures
    return {
        plane: replace(s, status="review", reason="; ".join(filter(None, (s.reason, why)))) if s.sizes_mm else s
        for plane, s in structures.items()
    }


# ------------------------------------------------------------------------------------------------- one structure


def _structure(plane: str, rows: tuple[Row, ...]) -> Structure:
    column = PRIMARY[plane]
    seen = [row for row in rows if row["plane"] == plane]
    with_copies = [row for row in seen if row["status"] in WITH_VALUE and row[column] is not None]
    valued = without_copies(with_copies, column)
    if not valued:
        why = "; ".join(dict.fromkeys(row["reason"] for row in seen if row["reason"]))
        return Structure(plane, "refused", why or f"no frame shows the {plane}")
    status, standing = next((s, found) for s in WITH_VALUE if (found := [r for r in valued if r["status"] == s]))
    reasons = []
    if status == "review":
        reasons.append("; ".join(dict.fromkeys(row["reason"] for row in standing)))
    if copies := len(with_copies) - len(valued):
        reasons.append(f"{amount(copies, 'frame')} left out, of a copy of a file that counts")
    source = next((s for s in SPACING_ORDER if any(r["spacing_source"] == s for r in standing)), None)
    same = [row for row in standing if row["spacing_source"] == source]
    if len(same) < len(standing):
        reasons.append(f"{amount(len(standing) - len(same), 'frame')} left out, whose spacing is not from {source}")
    middle, limit = _median(same, column), WRONG[plane]
    counted = [row for row in same if abs(row[column] - middle) <= limit * middle]
    off = 1 - sum(_weights(same)[id(row)] for row in counted)
    if off > OFF_SHARE + 1e-9:
        low, high = min(r[column] for r in same), max(r[column] for r in same)
        why = (
            f"the {len(same)} frames do not agree ({low:.1f} to {high:.1f} mm, over {100 * limit:.0f} % from the "
            "median): two fetuses, two women or a wrong outline; name each one's fetus or examination in the spacing "
            "table, or leave the wrong frame out"
        )
        return Structure(plane, "refused", why, left_out=tuple(with_copies))
    if len(counted) < len(same):
        status = "review"
        reasons.append(
            f"{len(same) - len(counted)} of {len(same)} frames left out, over {100 * limit:.0f} % from the median"
        )
    names = {q.key: name for name, q in MEASURED.items() if q.plane == plane}
    sizes = {key: _median(counted, name) for key, name in names.items() if all(r[name] is not None for r in counted)}
    kept = {id(row) for row in counted}
    left_out = tuple(row for row in with_copies if id(row) not in kept)
    best = surest(counted, column, sizes[column.removesuffix("_mm")])
    return Structure(plane, status, "; ".join(reasons), sizes, tuple(counted), left_out, best)


def _content(row: Row) -> str:
    """What is the same in all copies of a file: the DICOM object, else the digest, which only `archive` knows."""
    return str(row.get("instance") or row.get("sha256") or row["file"])


def without_copies(rows: list[Row], column: str) -> list[Row]:
    """The first of the rows that are the same frame of one content with the same value.

    Copies with another value stay: a person corrected one, or a tool gave two pictures one UID. They share a weight.
    """
    first: dict[object, Row] = {}
    for row in rows:
        first.setdefault((_content(row), row["frame"], row["status"], row[column]), row)
    return list(first.values())


def _weights(rows: list[Row]) -> dict[int, float]:
    """Weights by row id: the rows of a file and its copies share its weight; files weigh the same, all sum to 1."""
    counts = Counter(map(_content, rows))
    return {id(row): 1 / (len(counts) * counts[_content(row)]) for row in rows}


def _median(rows: list[Row], column: str) -> float:
    """Median of a column, weighted by `_weights`; midway between two values if each side has half the weight."""
    weights = _weights(rows)
    ordered = sorted(rows, key=lambda row: row[column])
    share = np.cumsum([weights[id(row)] for row in ordered])
    first, last = np.searchsorted(share, [0.5 - 1e-9, 0.5 + 1e-9])
    return float((ordered[first][column] + ordered[min(last, len(ordered) - 1)][column]) / 2)


# ---------------------------------------------------------------------------------------- from several structures


def _lengths(sizes: Mapping[str, float]) -> dict[str, Any]:
    """HC, AC and FL as arguments of `growth`."""
    return {f"{m}_mm": sizes[m] for m in ("hc", "ac", "fl") if m in sizes}


def _age(sizes: Mapping[str, float], standard: str, reasons: dict[str, str]) -> Age | None:
    """Age from HC, AC and FL. BPD is left out: it is an axis of the ellipse that gives HC."""
    formula = CHOICES[standard]
    try:
        age = gestational_age(**_lengths(sizes), standard=formula)
        low, high = age_range({m: sizes[m] for m in age.measures}, age.weeks, formula)
    except GrowthError as e:
        reasons["age"] = str(e)
        return None
    return Age(age.weeks, low, high, age.formula, age.citation)


def _weight(sizes: Mapping[str, float], standard: str, reasons: dict[str, str]) -> FetalWeight | None:
    try:
        return fetal_weight(**_lengths(sizes), formula=STANDARDS[standard].weight_formula)
    except GrowthError as e:
        reasons["weight"] = str(e)
        return None


def _ratios(sizes: Mapping[str, float], mixed: bool) -> dict[str, float]:
    terms = {"cephalic_index": (100, "bpd", "ofd"), "hc_ac": (1, "hc", "ac"), "fl_ac": (100, "fl", "ac")}
    return {
        name: factor * sizes[a] / sizes[b]
        for name, (factor, a, b) in terms.items()
        if a in sizes and b in sizes and not (mixed and name != "cephalic_index")
    }


def _centiles(
    values: Mapping[str, float], weeks: float | None, standard: str, reasons: dict[str, str]
) -> dict[str, Centile]:
    found = {}
    for measure, value in values.items():
        if weeks is None or measure not in STANDARDS[standard].weeks:
            reasons[measure] = "no age is known" if weeks is None else f"no curve in {standard}"
            continue
        try:
            found[measure] = centile(measure, value, weeks, standard, BPD_CONVENTION if measure == "bpd" else None)
        except GrowthError as e:
            reasons[measure] = str(e)
    return found
