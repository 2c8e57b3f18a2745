"""The content tree of a scanner's report -> sizes in millimetres, each with its fetus and its image.

Codes, units and derivations are those of DICOM PS3.16 (CID 12005, 3627, 224 and 228; TID 300, 1008, 1501 and 5008). A
value is refused, with a reason, unless it was certainly measured with calipers on this fetus in this examination.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.planes import QUANTITIES

MEASURES = {QUANTITIES[m].loinc: m for m in ("hc", "ac", "fl", "bpd", "ofd")}
"""Measures by LOINC code: CID 12005 has no codes of another scheme for them."""
WORDS = {
    "hc": ("head circ",),
    "ac": ("abdominal circ", "abdomen circ"),
    "fl": ("femur length", "femoral length", "femur diaphysis"),
    "bpd": ("biparietal",),
    "ofd": ("occipital-frontal", "occipitofrontal", "occipito-frontal", "fronto-occipital"),
}
"""Words in the meaning of a code. A code whose meaning has the words of another measure is refused."""
MILLIMETRES = {"mm": 1.0, "cm": 10.0}
"""UCUM units that are read."""
SINGLE, SELECTED, MEAN, MEDIAN = "single", "selected", "mean", "median"
DERIVATIONS = {
    **dict.fromkeys(("R-00317", "373098007"), MEAN),
    **dict.fromkeys(("R-00319", "373099004"), MEDIAN),
    **dict.fromkeys(("R-002E1", "371912002"), SELECTED),  # best value
    **dict.fromkeys(("R-41D41", "258104002", "R-00355", "371913007"), SINGLE),  # measured, point source
}
"""CID 3627, in SNOMED CT and in the SRT codes that it replaced. Others (estimated, calculated, SD, ...) are refused."""
SELECTIONS = ("121410", "121411", "121412")
"""CID 224: the user's choice, the most recent value, the mean."""
EQUATIONS = ("121420", "121421", "121422", "121423", "121424")
"""CID 228: the value comes from an equation or a table."""
AGES = ("18185-9", "11885-1", "11888-5")
FETUS_ID, FETUS_NUMBER, SUBJECT_ID, FETUS = "11951-1", "121037", "121030", "121026"
NUMBERS_OF_FETUSES = ("11878-6", "121038")
STUDY, SUMMARY, MEASUREMENT_GROUP = "121018", "121111", "125007"
DEEPEST = 40
"""Levels of a content tree; TID 5000 needs eight."""


@dataclass(frozen=True)
class Value:
    """One value of a report."""

    measure: str
    """"hc", "ac", "fl", "bpd" or "ofd"."""
    mm: float
    kind: str = SINGLE
    """`SINGLE`, or one value for several: `SELECTED`, `MEAN` or `MEDIAN`."""
    fetus: str = ""
    image: str = ""
    """SOP Instance UID of the image it was measured in; empty if the report names none or several."""
    frame: int | None = None
    """Frame of that image, from 0; None if the report names none."""


@dataclass(frozen=True)
class Refusal:
    """A report or a value that is not used."""

    where: str
    """File, and the measure of a single value."""
    reason: str


@dataclass(frozen=True)
class _Context:
    """Facts about a content item from the containers above it."""

    fetus: str = ""
    study: str = ""
    group: Any = None
    """The measurement group (TID 1501, 1410), which may name the image of its values."""
    summary: bool = False


@dataclass
class Reader:
    """Walks one content tree, and collects values and refusals."""

    document: Any
    name: str
    found: list[tuple[Value, bool]] = field(default_factory=list)
    """Values, and whether each is in the summary section."""
    refused: list[Refusal] = field(default_factory=list)
    fetuses: set[str] = field(default_factory=set)
    stated_fetuses: float = 0

    def __post_init__(self) -> None:
        """Index the evidence: the study of each referenced object."""
        self.own_study = str(self.document.StudyInstanceUID)
        self.studies = referenced(self.document, "CurrentRequestedProcedureEvidenceSequence")
        self.studies |= referenced(self.document, "PertinentOtherEvidenceSequence")

    def read(self) -> tuple[tuple[Value, ...], tuple[Refusal, ...]]:
        """Read the values, each once, and the refused ones.

        A value of the summary section is a copy, and skipped, if the body has one of that measure and fetus. If there
        are several fetuses, a value without one is refused.
        """
        self._walk(self.document, _Context(), 0)
        body = {(v.measure, v.fetus) for v, summary in self.found if not summary}
        values = dict.fromkeys(v for v, summary in self.found if not (summary and (v.measure, v.fetus) in body))
        count = max(int(self.stated_fetuses), len(self.fetuses))
        for value in [v for v in values if count > 1 and not v.fetus]:
            del values[value]
            self._refuse(value.measure, f"{count} fetuses, and not said which one's")
        return tuple(values), tuple(self.refused)

    def _refuse(self, measure: str, reason: str) -> None:
        self.refused.append(Refusal(f"{self.name}: {QUANTITIES[measure].label}", reason))

    def _walk(self, item: Any, context: _Context, depth: int) -> None:
        if depth > DEEPEST:
            raise UserError(f"a content tree of over {DEEPEST} levels: export it again")
        children = list(item.get("ContentSequence") or ())
        if item.get("ValueType") == "CONTAINER":
            context = self._inside(item, children, context)
        elif item.get("ValueType") == "NUM":
            self._number(item, context)
        for child in children:
            self._walk(child, context, depth + 1)

    def _inside(self, item: Any, children: list[Any], context: _Context) -> _Context:
        """The context of the items in a container."""
        subject_is_fetus = any(code(c, "ConceptCodeSequence")[0] == FETUS for c in children)
        for child in children:
            name = concept(child)[0]
            if name in (FETUS_ID, FETUS_NUMBER) or (name == SUBJECT_ID and subject_is_fetus):
                if fetus := _name_of_fetus(child):
                    context = replace(context, fetus=fetus)
                    self.fetuses.add(fetus)
            elif name == STUDY:
                context = replace(context, study=str(child.get("UID", "")))
        name = concept(item)[0]
        group = item if name == MEASUREMENT_GROUP else context.group
        return replace(context, group=group, summary=context.summary or name == SUMMARY)

    def _number(self, item: Any, context: _Context) -> None:
        value, scheme, meaning = concept(item)
        if value in NUMBERS_OF_FETUSES:
            self.stated_fetuses = max(self.stated_fetuses, _numeric(item) or 0)
            return
        measure = MEASURES.get(value) if scheme == "LN" else None
        says = next((m for m, words in WORDS.items() if any(w in meaning.lower() for w in words)), None)
        if measure is None and says is not None:
            label = QUANTITIES[says].label
            self._refuse(says, f"the code {value} ({scheme or 'no scheme'}) is not LOINC's of {label}")
        elif measure is not None and says not in (None, measure):
            self._refuse(measure, f"the code {value} is {QUANTITIES[measure].label}'s, its meaning is “{meaning[:40]}”")
        elif measure is not None:
            try:
                self.found.append((self._value(item, measure, context), context.summary))
            except UserError as e:
                self._refuse(measure, str(e))

    def _value(self, item: Any, measure: str, context: _Context) -> Value:
        mm, kind = _millimetres(item, measure), _kind(item)
        if context.study not in ("", self.own_study):
            raise UserError("of a prior procedure: its context names another study")
        observed, day = str(item.get("ObservationDateTime", ""))[:8], str(self.document.get("StudyDate") or "")
        if observed and day and observed != day:
            raise UserError(f"observed on another day ({observed}) than the study ({day})")
        return Value(measure, mm, kind, context.fetus, *self._image(item, context.group))

    def _image(self, item: Any, group: Any) -> tuple[str, int | None]:
        """The image and frame of a value, or else of its group; ("", None) if there is none or several."""
        images = set(self._images(item))
        if not images and group is not None:
            images = set(self._images(group))
        if any(self.studies.get(uid, self.own_study) != self.own_study for uid, _ in images):
            raise UserError("measured in an image of another study")
        return images.pop() if len(images) == 1 else ("", None)

    def _images(self, item: Any, depth: int = 4) -> Iterator[tuple[str, int | None]]:
        """Yield (SOP Instance UID, frame) of the images below an item, except those of other values."""
        if path := item.get("ReferencedContentItemIdentifier"):
            item = self._by_reference(path)
        for found in item.get("ReferencedSOPSequence") or () if item.get("ValueType") == "IMAGE" else ():
            if "Image" in found.ReferencedSOPClassUID.name:  # not a segmentation
                numbers = found.get("ReferencedFrameNumber")
                numbers = [numbers] if isinstance(numbers, int | str) else list(numbers or ())
                yield str(found.ReferencedSOPInstanceUID), int(numbers[0]) - 1 if len(numbers) == 1 else None
        for child in item.get("ContentSequence") or () if depth else ():
            if child.get("ValueType") != "NUM":
                yield from self._images(child, depth - 1)

    def _by_reference(self, path: Any) -> Any:
        """The item at a path of positions; the first is the root's."""
        item = self.document
        for position in [] if isinstance(path, int) else list(path)[1:]:
            item = item.ContentSequence[int(position) - 1]
        return item


def code(item: Any, key: str) -> tuple[str, str, str]:
    """(value, scheme, meaning) of a coded entry; empty texts where there is none."""
    found = item.get(key)
    if not found:
        return "", "", ""
    value, scheme, meaning = (
        str(found[0].get(k) or "").strip() for k in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    return value, scheme, meaning


def concept(item: Any) -> tuple[str, str, str]:
    """(value, scheme, meaning) of the name of a content item."""
    return code(item, "ConceptNameCodeSequence")


def referenced(document: Any, key: str) -> dict[str, str]:
    """Study UIDs by SOP Instance UID of the objects in an evidence sequence."""
    return {
        str(instance.ReferencedSOPInstanceUID): str(of_study.StudyInstanceUID)
        for of_study in document.get(key) or ()
        for series in of_study.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedSOPSequence") or ()
    }


def _name_of_fetus(item: Any) -> str:
    """The name or number of a fetus as text; empty if there is neither."""
    number = _numeric(item)
    return str(item.get("TextValue") or "").strip() or ("" if number is None else f"{number:g}")


def _numeric(item: Any) -> float | None:
    found = item.get("MeasuredValueSequence")
    return float(found[0].NumericValue) if found and found[0].get("NumericValue") is not None else None


def _millimetres(item: Any, measure: str) -> float:
    found = item.get("MeasuredValueSequence") or ()
    if not found:
        why = code(item, "NumericValueQualifierCodeSequence")[2]
        raise UserError(f"no value{f' ({why})' if why else ''}")
    if len(found) > 1:
        raise UserError(f"{len(found)} values in one item")
    try:
        value = _numeric(item)
    except (TypeError, ValueError):
        value = None
    if value is None or not math.isfinite(value):
        raise UserError("a value that is not a number")
    unit, scheme, _ = code(found[0], "MeasurementUnitsCodeSequence")
    if scheme != "UCUM" or unit not in MILLIMETRES:
        raise UserError(f"the unit {unit or 'is missing'} ({scheme or 'no scheme'}): UCUM's mm and cm are read")
    mm, (low, high) = value * MILLIMETRES[unit], QUANTITIES[measure].limits
    if not low <= mm <= high:
        raise UserError(f"{value:g} {unit} is not between {low:g} and {high:g} mm: another unit or another measure")
    return mm


def _kind(item: Any) -> str:
    """The kind of a value: `SINGLE`, `SELECTED`, `MEAN` or `MEDIAN`.

    Raises:
      UserError: it was not measured with calipers, or is not a size (a standard deviation).
    """
    kind, chosen = SINGLE, False
    for child in item.get("ContentSequence") or ():
        name, (value, _, meaning) = concept(child)[0], code(child, "ConceptCodeSequence")
        if name in EQUATIONS or (name in AGES and child.get("RelationshipType") == "INFERRED FROM"):
            raise UserError("from an equation, a table or the gestational age, not from calipers")
        if name == "121401":
            if value not in DERIVATIONS:
                raise UserError(f"not a caliper's value: derivation {meaning or value}")
            kind = DERIVATIONS[value]
        chosen = chosen or (name == "121404" and value in SELECTIONS)
    return SELECTED if chosen else kind
