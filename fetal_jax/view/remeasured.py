"""Answers of readers for a frame that was measured again later: the file was rewritten, or a scale was given.

1. An answer is valid if the machine's answer and the scale are the same as when it was given. If not, the file may show
   something else: the page shows the frame as open (`reopened`), and nothing is exported or compared (`left_out`).
2. A valid answer keeps the values that were recorded with it. If there was no scale at that time, its values follow
   from today's scale: outline and picture are the same. Nobody has seen these values, so an acceptance is open again.
   `Session.today` does this for the reader and the machine.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.rows import Row, spacing_of
from fetal_jax.view.answer import Answer
from fetal_jax.view.store import Event

CLOSE_PX = 0.01
"""Largest difference in pixels between outlines of one picture that were measured on different processors."""
CLOSE_PROBABILITY = 1e-3
"""The same for the probability of the plane, which distinguishes pictures without an outline."""
_SHAPES = ("ellipse", "shaft")


def kept(row: Row) -> dict[str, Any]:
    """The part of the machine's answer that is kept with an event, for `stands`."""
    probability = row["plane_probability"]
    return {"answer": Answer.of_row(row).json(), "spacing_mm": spacing_of(row), "plane_probability": probability}


def stands(row: Row, event: Event) -> bool:
    """Whether a frame's row is still the one that an event was made for, except for a scale that was missing.

    Events of earlier versions have neither scale nor probability: for them, only the outline decides.
    """
    now = kept(row)
    then = now | event.machine
    return (
        then["answer"]["plane"] == now["answer"]["plane"]
        and all(_close(then["answer"][shape], now["answer"][shape], CLOSE_PX) for shape in _SHAPES)
        and _close([then["plane_probability"]], [now["plane_probability"]], CLOSE_PROBABILITY)
        and (then["spacing_mm"] is None or _close(then["spacing_mm"], now["spacing_mm"], 0.0))
    )


def reopened(event: Event, initial: Answer) -> Answer:
    """Reopen an answer that is no longer valid: remove its decision and ticks.

    A person's outline is kept for review; the machine's is replaced by `initial`, the first answer of a frame.
    """
    outline = initial if unchanged(event) else event.answer
    return replace(outline, decision="", comment=event.answer.comment, ticks={})


def unchanged(event: Event) -> bool:
    """Whether the answer is the machine's plane and outline as they were."""
    given = event.answer.json()
    return all(given[key] == event.machine["answer"][key] for key in ("plane", *_SHAPES))


def is_machines(answer: Answer, row: Row) -> bool:
    """Whether an answer has the machine's plane and outline, up to the rounding of another measurement."""
    machine = Answer.of_row(row)
    return answer.plane == machine.plane and _close(_pixels(answer.shape), _pixels(machine.shape), CLOSE_PX)


def unseen(name: str, event: Event, reader: str) -> str:
    """The message to a reader about an answer that was accepted before it had a value; `name` is the frame's."""
    who = event.reader or "the reader"
    remedy = "accept its value" if event.reader == reader else f"{who} has to look again"
    return f"{name}: {who} accepted it without millimetres: {remedy}"


def left_out(name: str, event: Event, reader: str) -> str:
    """The message to a reader about an answer that is no longer valid; `name` is the frame's."""
    who = event.reader or "the reader"
    remedy = "look again" if event.reader == reader else f"{who} has to look again"
    return f"{name}: measured again since {who} answered: {remedy}"


def why_open(event: Event, today: Event | None) -> str:
    """Why a frame is open again after its reader's last answer; empty if it is not."""
    if today is None:
        return "Measured again since you answered: look again."
    if today.answer.decision != event.answer.decision:
        return "You accepted it without millimetres: accept its value."
    return ""


def had_scale(event: Event) -> bool:
    """Whether a scale was known when the event was made; early events show it only by having values."""
    values = [*event.mm.values(), *event.machine["mm"].values()]
    return event.machine.get("spacing_mm") is not None or any(v is not None for v in values)


def _pixels(shape: Ellipse | Shaft | None) -> list[float] | None:
    """A shape's numbers, all in pixels: the angle as the way of the long axis' end; an unknown width is left out."""
    if isinstance(shape, Ellipse):
        return [shape.cx, shape.cy, shape.a, shape.b, shape.a * shape.theta]
    return None if shape is None else [shape.x1, shape.y1, shape.x2, shape.y2]


def _close(then: Any, now: Any, by: float) -> bool:
    """Whether two lists of numbers are equal up to rounding; None is equal only to None."""
    if then is None or now is None:
        return then is now
    pairs = zip(then, now, strict=True)
    return all(a is b is None or (None not in (a, b) and math.isclose(a, b, abs_tol=by)) for a, b in pairs)
