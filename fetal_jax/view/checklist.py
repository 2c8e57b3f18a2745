"""Checklist for planes that are good enough to be measured: six items for head and abdomen, four for a femur.

After Salomon et al., Ultrasound Obstet Gynecol 2006; 27: 34-40, whose score the ISUOG guideline adopts (Salomon et
al., Ultrasound Obstet Gynecol 2019; 53: 715-723). The wording is ours, for research use. Four items are judged by
geometry; the thresholds of `fills` and `symmetric` are our interpretation. A reader's tick or cross overrides ours.
"""

from __future__ import annotations

import math
from typing import Any

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import PRIMARY
from fetal_jax.reading.spacing import bounds

SOURCE = (
    "after Salomon et al. 2006 (doi 10.1002/uog.2665) and ISUOG 2019 (doi 10.1002/uog.20272); our wording, research use"
)
ITEMS: dict[str, dict[str, str]] = {
    "head": {
        "symmetric": "Symmetrical plane",
        "thalami": "Thalami seen",
        "cavum": "Cavum septi pellucidi seen",
        "cerebellum": "Cerebellum not seen",
        "fills": "Head fills more than half of the picture",
        "calipers": "Ellipse on the outer border of the skull",
    },
    "abdomen": {
        "symmetric": "Symmetrical, circular plane",
        "stomach": "Stomach bubble seen",
        "portal": "Umbilical vein at the portal sinus seen",
        "kidneys": "Kidneys not seen",
        "fills": "Abdomen fills more than half of the picture",
        "calipers": "Ellipse on the outer border of the skin",
    },
    "femur": {
        "ends": "Both ends of the bone seen",
        "angle": "Bone under 45° to the horizontal",
        "fills": "Femur fills more than half of the picture",
        "calipers": "Calipers at the ends of the diaphysis alone",
    },
}
"""Items and their text, by plane. A tick is stored as "plane.item"."""
OF_OUTLINE = ("symmetric", "angle", "fills", "calipers")
"""Items that a change of the outline reopens."""
FILLS, CIRCULAR, STEEPEST = 0.5, 0.85, 45.0
"""Least share of the picture's side; least ratio of an abdomen's axes; largest angle in degrees."""
UNFIT = ("poor fit", "ragged outline", "low confidence", "implausible shape", "cut off", "little is seen")
"""Flags of an outline that does not follow the structure (docs/flags.md)."""


def parse(data: Any) -> dict[str, bool]:
    """Parse and check ticks from the browser.

    Raises:
      ValueError: an item does not exist, or a value is not true or false.
    """
    if not isinstance(data, dict) or not all(type(value) is bool for value in data.values()):
        raise ValueError("ticks are true or false by item")
    known = {f"{plane}.{item}" for plane, items in ITEMS.items() for item in items}
    if not set(data) <= known:
        raise ValueError("ticks holds an item that no plane has")
    return dict(data)


def reopened(ticks: dict[str, bool]) -> dict[str, bool]:
    """The ticks that remain valid after the outline has changed."""
    return {key: value for key, value in ticks.items() if key.partition(".")[2] not in OF_OUTLINE}


def judged(
    plane: str | None,
    shape: Ellipse | Shaft | None,
    frame: tuple[float, float] | None,
    spacing_mm: tuple[float, float] | None = None,
    flags: list[str] | None = None,
) -> dict[str, bool]:
    """Judge items by geometry, as "plane.item"; the other items are missing.

    Args:
      plane: of the answer.
      shape: in the frame's pixels.
      frame: width and height in pixels of the frame, or of the part of it where the scale holds.
      spacing_mm: of pixels down the rows and along them; None: square.
      flags: of the machine, if the outline is still its own; None if a person has drawn or changed it.
    """
    if plane not in PRIMARY or shape is None:
        return {}
    found: dict[str, bool] = {}
    if frame is not None:
        x0, y0, x1, y1 = bounds(shape)
        found["fills"] = max((x1 - x0) / frame[0], (y1 - y0) / frame[1]) > FILLS
    rows, columns = spacing_mm or (1.0, 1.0)
    in_mm = shape.transform(geometry.stretch(columns, rows))
    if isinstance(in_mm, Shaft):
        dx, dy = abs(in_mm.x2 - in_mm.x1), abs(in_mm.y2 - in_mm.y1)
        found["angle"] = math.degrees(math.atan2(dy, dx)) < STEEPEST
    elif plane == "abdomen":
        found["symmetric"] = in_mm.b >= CIRCULAR * in_mm.a
    if flags is not None:
        found["calipers"] = not set(flags) & set(UNFIT)
    return {f"{plane}.{item}": bool(value) for item, value in found.items()}


def listed(plane: str | None, ours: dict[str, bool], ticks: dict[str, bool]) -> list[dict[str, Any]]:
    """List a plane's items: met or not (None: open), by whom ("", "machine", "reader"), and our own judgement."""
    found = []
    for item, text in ITEMS.get(plane or "", {}).items():
        key = f"{plane}.{item}"
        own = ours.get(key)
        by = "reader" if key in ticks else "machine" if key in ours else ""
        found.append({"item": key, "text": text, "met": ticks.get(key, own), "by": by, "ours": own})
    return found


def score(items: list[dict[str, Any]]) -> str:
    """Format the number of items met, of all items, and of those not judged."""
    if not items:
        return ""
    left = sum(item["met"] is None for item in items)
    return f"{sum(item['met'] is True for item in items)} of {len(items)}" + (f", {left} open" if left else "")
