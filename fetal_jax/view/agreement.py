"""Agreement of readers with each other and with the machine: bias and limits of agreement of each quantity."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.evaluation.statistics.agreement import FEWEST, bland_altman
from fetal_jax.files import spreadsheet_text
from fetal_jax.outputs.rows import Row, woman_of
from fetal_jax.planes import MEASURED
from fetal_jax.view import remeasured
from fetal_jax.view.readers import MACHINE, NO_NAME
from fetal_jax.view.session import Session
from fetal_jax.view.store import Event

NOTE = (
    "Differences in mm, first minus second, of frames where both have a value in the same plane; limits of agreement "
    f"hold 95 % of them (Bland & Altman 1986). A reader's frame counts once it is accepted; fewer than {FEWEST} give "
    "no limits. Unchanged: the reader accepted the machine's outline as it was, and agrees by construction: only "
    f"readings made with --blinded are independent. {NOT_CLINICAL}"
)
COLUMNS = (
    *("one", "other", "quantity", "frames", "subjects", "bias_mm", "sd_mm", "lower_mm", "upper_mm"),
    *("bias_percent", "lower_percent", "upper_percent", "unchanged", "blinded", "planes_differ", "one_rejected"),
)


def table(session: Session) -> dict[str, Any]:
    """Compute the agreement of each pair of readers, the machine first; an adjudicator counts as a reader.

    Raises:
      UserError: the reader is blinded.
    """
    if session.blinded:
        raise UserError("a blinded reader does not see how others measure: open the folder without --blinded")
    last = _last_answers(session)
    names = [MACHINE, *sorted(last)]
    pairs = [_pair(session, one, other, last) for one, other in combinations(names, 2)]
    return {"note": NOTE, "pairs": pairs}


def _last_answers(session: Session) -> dict[str, dict[int, Event]]:
    """The last valid answer by reader and frame, for frames that the reader has decided on."""
    found: dict[str, dict[int, Event]] = {}
    for (reader, file, frame), history in list(session.store.histories.items()):
        number = session.results.number(file, frame)
        if number is None or not history.events:
            continue
        event = session.today(session.row(number), history.events[-1])
        if event is not None and event.answer.decision:
            found.setdefault(reader or NO_NAME, {})[number] = event
    return found


def _pair(session: Session, one: str, other: str, last: dict[str, dict[int, Event]]) -> dict[str, Any]:
    frames = last[other] if one == MACHINE else {n: e for n, e in last[other].items() if n in last[one]}
    counts = {"frames": len(frames), "planes_differ": 0, "one_rejected": 0}
    both: list[tuple[Row, dict[str, Any], dict[str, Any], bool, bool]] = []
    for number, event in frames.items():
        first = None if one == MACHINE else last[one][number]
        decisions = {event.answer.decision, first.answer.decision if first else "accepted"}
        plane = event.machine["answer"]["plane"] if first is None else first.answer.plane
        if decisions != {"accepted"}:
            counts["one_rejected"] += "accepted" in decisions
        elif plane != event.answer.plane:
            counts["planes_differ"] += 1
        else:
            mm = event.machine["mm"] if first is None else first.mm
            events = [e for e in (first, event) if e]
            same, blinded = any(map(remeasured.unchanged, events)), all(map(_blinded, events))
            both.append((session.row(number), mm, event.mm, same, blinded))
    quantities = [q for key in MEASURED if (q := _quantity(key, both))]
    return {"one": one, "other": other, **counts, "quantities": quantities}


def _quantity(key: str, both: list[tuple[Row, dict[str, Any], dict[str, Any], bool, bool]]) -> dict[str, Any] | None:
    found = [
        (row, a[key], b[key], same, blind) for row, a, b, same, blind in both if None not in (a.get(key), b.get(key))
    ]
    if not found:
        return None
    rows, ours, theirs, unchanged, blinded = zip(*found, strict=True)
    subjects = len({(woman_of(row), row["fetus"]) for row in rows})
    counts = {"key": key, "label": MEASURED[key].label, "unchanged": sum(unchanged), "blinded": sum(blinded)}
    if len(found) < FEWEST:
        return counts | {"pairs": len(found), "subjects": subjects}
    in_mm, in_percent = (bland_altman(ours, theirs, percent=p, subjects=subjects) for p in (False, True))
    return counts | {key: in_mm[key] for key in _KEPT} | {"percent": {key: in_percent[key] for key in _KEPT}}


_KEPT = ("pairs", "subjects", "bias", "sd", "lower", "upper", "bias_ci", "lower_ci", "upper_ci")


def _blinded(event: Event) -> bool:
    return event.role == "blinded"


def as_csv(found: dict[str, Any]) -> str:
    """Write the table as text of `agreement.csv`: a row per pair and quantity; the machine is named "machine"."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for cells in _cells(found):
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in cells.items()})
    return text.getvalue()


def _cells(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for pair in found["pairs"]:
        for q in pair["quantities"]:
            percent = q.get("percent", {})
            yield {
                "one": spreadsheet_text(pair["one"] or "machine"),
                "other": spreadsheet_text(pair["other"]),
                "quantity": q["key"].removesuffix("_mm"),
                "frames": q["pairs"],
                "subjects": q["subjects"],
                **{f"{k}_mm": q.get(k) for k in ("bias", "sd", "lower", "upper")},
                **{f"{k}_percent": percent.get(k) for k in ("bias", "lower", "upper")},
                **{k: q[k] for k in ("unchanged", "blinded")},
                **{k: pair[k] for k in ("planes_differ", "one_rejected")},
            }
