"""A person's or the machine's answer for one frame, and its values in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.rows import Row, age
from fetal_jax.planes import PLANES, SHAPE_OF_PLANE
from fetal_jax.reading.spacing import PixelSize, Region
from fetal_jax.view import checklist

DECISIONS = ("", "accepted", "rejected")
_KEYS = ("plane", "ellipse", "shaft", "decision", "comment")
MAX_COMMENT = 2000
MAX_PIXEL = 1e5
"""Largest coordinate; no frame is as large: `reading.images` allows 25 million pixels."""
VALUES = ("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "long_mm", "short_mm")


@dataclass(frozen=True)
class Answer:
    """Plane, geometry in the frame's pixels, decision and comment.

    Both shapes may be present, so that a plane can be changed and changed back; only the plane's own shape counts.
    """

    plane: str | None
    ellipse: Ellipse | None = None
    shaft: Shaft | None = None
    decision: str = ""
    comment: str = ""
    ticks: dict[str, bool] = field(default_factory=dict)
    """Items of `checklist` that the reader ticked or crossed."""

    @classmethod
    def of_row(cls, row: Row) -> Self:
        """The machine's answer."""
        ellipse = Ellipse(*row["ellipse_px"]) if row["ellipse_px"] else None
        shaft = Shaft(*row["shaft_px"]) if row["shaft_px"] else None
        return cls(row["plane"], ellipse, shaft)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Parse and check an answer from the browser.

        Raises:
          ValueError: a key is missing or unknown, or a value is invalid; names the key.
        """
        if not isinstance(data, dict) or set(data) | {"ticks"} != {*_KEYS, "ticks"}:  # an early event has no ticks
            raise ValueError(f"an answer has the keys {', '.join(_KEYS)}, ticks")
        if data["plane"] is not None and data["plane"] not in PLANES:
            raise ValueError(f"plane is one of {', '.join(PLANES)}")
        if data["decision"] not in DECISIONS:
            raise ValueError("decision is accepted, rejected or empty")
        comment = data["comment"]
        if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
            raise ValueError(f"comment is a text of at most {MAX_COMMENT} characters")
        if any("\ud800" <= c <= "\udfff" for c in comment):
            raise ValueError("comment holds half a character")
        shapes = _ellipse(data["ellipse"]), _shaft(data["shaft"])
        return cls(data["plane"], *shapes, data["decision"], comment, checklist.parse(data.get("ticks", {})))

    def json(self) -> dict[str, Any]:
        """The form that `parse` reads: five numbers per shape, with null for an unknown width."""
        ellipse = None if self.ellipse is None else np.asarray(self.ellipse).tolist()
        shaft = None if self.shaft is None else [None if math.isnan(v) else v for v in np.asarray(self.shaft).tolist()]
        return {
            "plane": self.plane,
            "ellipse": ellipse,
            "shaft": shaft,
            "decision": self.decision,
            "comment": self.comment,
            "ticks": self.ticks,
        }

    @property
    def shape(self) -> Ellipse | Shaft | None:
        """The shape that is measured in this plane."""
        kind = SHAPE_OF_PLANE.get(self.plane or "")
        return self.ellipse if kind == "ellipse" else self.shaft if kind == "shaft" else None

    def millimetres(
        self, spacing_mm: tuple[float, float] | None, regions: tuple[Region, ...] = ()
    ) -> dict[str, float | None]:
        """`VALUES` for pixels of (row, column) mm; all None without a spacing or a shape.

        `regions` are the parts of the frame where the spacing holds, empty for the whole frame: an outline that is not
        inside one region has no values.
        """
        values: dict[str, float | None] = dict.fromkeys(VALUES)
        shape = self.shape
        if spacing_mm is None or shape is None or not PixelSize(regions=regions).covers(shape):
            return values
        in_mm = shape.transform(geometry.stretch(spacing_mm[1], spacing_mm[0]))
        if isinstance(in_mm, Shaft):
            return values | {"fl_mm": in_mm.length}
        long, short = 2 * in_mm.a, 2 * in_mm.b
        values |= {"long_mm": long, "short_mm": short}
        if self.plane == "head":
            return values | {"hc_mm": in_mm.perimeter, "bpd_mm": short, "ofd_mm": long}
        return values | {"ac_mm": in_mm.perimeter}


def corrected_row(row: Row, answer: Answer, values: dict[str, float | None]) -> Row:
    """Make a row for `outputs` with an accepted answer in place of the machine's, without doubts."""
    shape = answer.shape
    return (
        row
        | values
        | age(values)
        | {
            "status": "measured",
            "plane": answer.plane,
            "reason": None,
            "flags": [],
            "ellipse_px": np.asarray(shape).tolist() if isinstance(shape, Ellipse) else None,
            "shaft_px": np.asarray(shape).tolist() if isinstance(shape, Shaft) else None,
            "sd_mm": None,
            "low_mm": None,
            "high_mm": None,
        }
    )


def rejected_row(row: Row, why: str) -> Row:
    """Make a row without values, for a frame that a person has rejected or not yet read."""
    empty = dict.fromkeys((*VALUES, "ga_weeks", "ga_standard", "sd_mm", "low_mm", "high_mm"))
    return row | empty | {"status": "refused", "reason": why, "flags": [], "ellipse_px": None, "shaft_px": None}


def _ellipse(data: Any) -> Ellipse | None:
    if data is None:
        return None
    cx, cy, a, b, theta = _numbers(data, "ellipse")
    if not (min(a, b) > 0 and abs(theta) <= 2 * math.pi):
        raise ValueError("ellipse: the semi-axes are above 0, theta is in radians")
    if a < b:
        a, b, theta = b, a, theta + math.pi / 2
    inside = -math.pi / 2 <= theta < math.pi / 2  # wrapping rounds, and an unchanged ellipse must stay equal
    return Ellipse(cx, cy, a, b, theta if inside else geometry.wrap(theta))


def _shaft(data: Any) -> Shaft | None:
    if data is None:
        return None
    width = math.nan
    if isinstance(data, list) and len(data) == 5 and data[4] is None:
        data = [*data[:4], 1.0]
    else:
        width = _numbers(data, "shaft")[4]
    x1, y1, x2, y2, _ = _numbers(data, "shaft")
    if (x1, y1) == (x2, y2) or width <= 0:
        raise ValueError("shaft: two different ends, and a width above 0 or null")
    return Shaft(x1, y1, x2, y2, width)


def _numbers(data: Any, name: str) -> list[float]:
    fits = isinstance(data, list) and len(data) == 5
    if not fits or not all(type(v) in (int, float) and abs(v) <= MAX_PIXEL for v in data):
        raise ValueError(f"{name} is null or five finite numbers")
    return [float(v) for v in data]
