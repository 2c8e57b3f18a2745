"""The decision on a value: usable without review, to review, or refused, with the reasons in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fetal_jax.biometry import Measurement
from fetal_jax.inference.score import WRONG
from fetal_jax.planes import SHAPE_OF_PLANE

Status = Literal["measured", "review", "refused"]
WITH_VALUE = ("measured", "review")
"""The statuses of values in millimetres."""
SURE = 0.8
"""Probability of its plane below which a value needs review."""

NO_SPACING = "no spacing: state the millimetres per pixel (spacing_mm)"
NOT_CALIBRATED = (
    "not calibrated: this bundle does not know how often its values are wrong; "
    "run fetal-jax evaluate --bundle=BUNDLE --calibrate"
)
GIVE_PLANE = "if it shows a plane that is measured, give it (plane=head, abdomen or femur), else leave the frame out"

WORDS = {
    "nothing found": "no {plane} is found in this picture",
    "no spacing": NO_SPACING,
    "implausible size": "no {plane} between 12 and 42 weeks has this size; check the spacing and the plane",
    "implausible shape": "the outline does not have the shape of {a_plane}",
    "several structures": "several structures are found; the largest is measured",
    "little is seen": "the {plane} leaves the picture; under 60 % of its outline is seen",
    "leaves the frame": "the {plane} leaves the picture",
    "cut off": "the femur reaches the edge of the picture and may continue outside",
    "poor fit": "the outline departs from an ellipse{where}",
    "ragged outline": "the outline has gaps or bulges",
    "low confidence": "the outline is soft{where}",
}
"""Each flag of `biometry.FLAGS` in a sonographer's words. `{where}` names the sides, or is empty."""
_OF_FEMUR = {"low confidence": "it is not clear where the femur ends{where}"}

_NO_VALUE = {"nothing found", "no spacing", "implausible size"}
_NO_DOUBT = {"leaves the frame"}
"""Flags that need no review: an ellipse continues beyond the picture, and up to 40 % of it outside is only noted."""
_ALWAYS_DOUBT = {"implausible shape", "little is seen", "cut off"}
"""Flags of the shape itself, which always need review. A fitted score weighs the other flags of the outline."""


_DOUBTS = ("the network sees ", "the network is not sure that ", "the value may be off by ")
"""First words of the reasons of `decide` that are not of a flag."""


@dataclass(frozen=True)
class Decision:
    """The status of a value, and the reasons if it is not `measured`."""

    status: Status
    reasons: tuple[str, ...] = ()


def decide(
    found: Measurement | None,
    planes: Mapping[str, float],
    plane: str,
    rule: Mapping[str, Any] | None,
    error_probability: float | None = None,
    frame_doubts: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
) -> Decision:
    """Decide whether a measurement is given, and whether it needs review.

    Args:
      found: the measurement; None if the plane is not one that is measured.
      planes: probability of each plane that the network knows.
      plane: the measured plane: the one that was asked for, else the most probable one.
      rule: the bundle's acceptance rule for the plane; None: the bundle was never calibrated.
      error_probability: the rule's score, `score.error_probability`; None if the rule uses flags only.
      frame_doubts: doubts about the frame itself, such as the decoder's warnings.
      where: the sides that a flag refers to, such as " on the left side", by flag.

    Returns:
      `refused` if there is no value, `review` if there is any doubt, else `measured`; with all reasons, worst first.
    """
    if plane not in SHAPE_OF_PLANE:
        return Decision("refused", (f"{_other_plane(planes)}: {GIVE_PLANE}",))
    flags = found.flags if found else ("nothing found",)
    grave = [flag for flag in flags if flag in _NO_VALUE]
    soft = [flag for flag in flags if flag not in _NO_VALUE | _NO_DOUBT]
    risky = error_probability is not None and rule is not None and not error_probability <= rule["limit"]
    if error_probability is not None and not risky:
        soft = [flag for flag in soft if flag in _ALWAYS_DOUBT]
    doubts = [*_plane_doubts(planes, plane), *frame_doubts]
    doubts += [flag_words(flag, plane, (where or {}).get(flag, "")) for flag in soft]
    if risky and not grave:
        risk = _percent(error_probability or 0.0)
        doubts.append(f"the value may be off by more than {_percent(WRONG[plane])} (probability {risk})")
    if rule is None and not grave:
        doubts.append(NOT_CALIBRATED)
    reasons = tuple(flag_words(flag, plane) for flag in grave) + tuple(doubts)
    return Decision("refused" if grave else "review" if reasons else "measured", reasons)


def plane_is_sure(planes: Mapping[str, float], plane: str) -> bool:
    """Whether the network sees this plane with a probability of at least `SURE`."""
    return not _plane_doubts(planes, plane)


def flag_words(flag: str, plane: str, where: str = "") -> str:
    """Translate a flag of `biometry.FLAGS` into a sonographer's words."""
    words = _OF_FEMUR.get(flag) if plane == "femur" else None
    return (words or WORDS[flag]).format(plane=plane, a_plane=_a(plane), where=where)


def kind_of(reason: str) -> str:
    """Reduce a reason to its kind, for counting: without parentheses, sides, and the remedy after ":" or ";"."""
    while (shorter := re.sub(r" ?\([^()]*\)", "", reason)) != reason:  # other libraries' messages may nest them
        reason = shorter
    first = re.split("[;:]", reason)[0]
    return re.sub(r" on the [a-z, ]+ sides?$", "", first.strip())


def kinds_of(reasons: str) -> list[str]:
    """The kinds of the reasons of a row, which are joined by "; ", each once.

    A remedy may have a "; " too. So after the first reason only those that `decide` gives are counted.
    """
    first, *others = [kind_of(part) for part in reasons.split("; ")]
    known = [kind for kind in others if kind in _known_kinds() or kind.startswith(_DOUBTS)]
    return list(dict.fromkeys([first, *known]))


@cache
def _known_kinds() -> frozenset[str]:
    flags = (flag_words(flag, plane) for flag in WORDS for plane in SHAPE_OF_PLANE)
    return frozenset(map(kind_of, (*flags, NOT_CALIBRATED)))


def _plane_doubts(planes: Mapping[str, float], plane: str) -> list[str]:
    seen = max(planes, key=lambda p: planes[p])
    if seen != plane:
        return [_other_plane(planes)]
    if planes[plane] < SURE:
        return [f"the network is not sure that this is {_a(plane)} ({_percent(planes[plane])})"]
    return []


def _other_plane(planes: Mapping[str, float]) -> str:
    seen = max(planes, key=lambda p: planes[p])
    what = "no plane that is measured" if seen == "other" else _a(seen)
    return f"the network sees {what} (probability {_percent(planes[seen])})"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
