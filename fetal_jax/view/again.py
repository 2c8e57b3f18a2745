"""Answers of readers in a frame that was measured again since: of a file that was rewritten, or with a scale.

1. The answer stands where the machine's answer and the scale are those that it was made beside. Else the file may show
   something else: the page shows the frame as open (`reopened`), and nothing is exported or compared (`left_out`).
2. A standing answer has the values that were recorded with it. Where there was no scale then, it has those of today's:
   the outline is the same, and so is the picture. `Session.today` says so of the reader and of the machine.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from fetal_jax.outputs.rows import Row, spacing_of
from fetal_jax.view.answer import Answer
from fetal_jax.view.store import Event

CLOSE_PX = 0.01
"""Outlines of one picture differ by less, whatever processor measured it."""
CLOSE_PROBABILITY = 1e-3
"""So do probabilities of the plane; they tell pictures without an outline apart."""
_SHAPES = ("ellipse", "shaft")


def kept(row: Row) -> dict[str, Any]:
    """The machine's answer that an event is made beside, as it is kept for `stands`."""
    probability = row["plane_probability"]
    return {"answer": Answer.of_row(row).json(), "spacing_mm": spacing_of(row), "plane_probability": probability}


def stands(row: Row, event: Event) -> bool:
    """Whether a frame's row of today is the one that an event was made beside, but for a scale that it lacked.

    Events of earlier versions do not tell scale and probability: there the outline alone decides.
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
    """An answer that does not stand any more: without its decision and ticks.

    A person's outline stays to be looked at; the machine's gives way to `initial`, which a frame begins with.
    """
    was_machine = all(event.answer.json()[key] == event.machine["answer"][key] for key in ("plane", *_SHAPES))
    outline = initial if was_machine else event.answer
    return replace(outline, decision="", comment=event.answer.comment, ticks={})


def left_out(number: int, event: Event) -> str:
    """The words for an answer that does not stand."""
    return f"frame {number + 1}: measured again since {event.reader or 'the reader'} answered: look again"


def had_scale(event: Event) -> bool:
    """Whether a scale was known when the event was made; an early event tells it by its values alone."""
    values = [*event.mm.values(), *event.machine["mm"].values()]
    return event.machine.get("spacing_mm") is not None or any(v is not None for v in values)


def _close(then: Any, now: Any, by: float) -> bool:
    """Whether two lists of numbers are the same but for rounding; None is equal to None alone."""
    if then is None or now is None:
        return then is now
    pairs = zip(then, now, strict=True)
    return all(a is b is None or (None not in (a, b) and math.isclose(a, b, abs_tol=by)) for a, b in pairs)
