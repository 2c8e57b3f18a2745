"""The frames that somebody has changed or decided on, for the exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fetal_jax.outputs.rows import Row
from fetal_jax.view.session import Session
from fetal_jax.view.store import Event


@dataclass(frozen=True)
class Correction:
    """The last answer of a reader in a frame."""

    number: int
    row: Row
    event: Event
    changes: int


def corrections(session: Session) -> Iterator[Correction]:
    """The frames that somebody has changed or decided on, in the order of the results."""
    found = []
    for (_, file, frame), history in list(session.store.histories.items()):
        number = session.results.number(file, frame)
        if number is not None and history.events:
            found.append(Correction(number, session.row(number), history.events[-1], len(history.events)))
    yield from sorted(found, key=lambda c: (c.number, c.event.reader))
