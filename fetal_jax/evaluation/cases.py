"""Measured frames for fitting an acceptance rule: unchanged, spoilt, and as planes that they do not show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fetal_jax.biometry import Measurement
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation.spoil import AS_IT_IS, SPOILERS, WRONG_PLANE, spoil
from fetal_jax.geometry import size
from fetal_jax.inference import Predictor, acceptance, score
from fetal_jax.inference.predictor import Prediction
from fetal_jax.inference.score import Inputs
from fetal_jax.planes import SHAPE_OF_PLANE

MOST = 40
"""Most frames of a plane from one data set, at random, so that synthetic frames do not outweigh the few real ones."""


@dataclass(frozen=True)
class Case:
    """A value from the network, and its error."""

    source: str
    """Name of the data set without version."""
    subject: str
    filename: str
    kind: str
    """`AS_IT_IS`, `WRONG_PLANE` or a key of `SPOILERS`."""
    plane: str
    """The plane that was asked for."""
    planes: dict[str, float]
    flags: tuple[str, ...]
    given: Inputs
    off: float
    """Signed relative error of HC, AC or FL in pixels; infinite if the frame shows another plane."""

    @property
    def weight(self) -> float:
        """Weight of the case: all spoilt copies of a frame together weigh as much as the unchanged frame."""
        return 1 / len(SPOILERS) if self.kind in SPOILERS else 1.0

    @property
    def wrong(self) -> bool:
        """Whether the value counts as wrong (`score.WRONG`)."""
        return abs(self.off) > score.WRONG[self.plane]

    def status(self, error_probability: float | None, limit: float = 1.0) -> str:
        """Decide by a score, or if it is None by the flags alone; the spacing counts as known."""
        flags = tuple(f for f in self.flags if f != "no spacing")
        found, rule = Measurement(self.plane, flags=flags), {"data": "", "limit": limit}
        return acceptance.decide(found, self.planes, self.plane, rule, error_probability).status

    @property
    def scored(self) -> bool:
        """Whether the score decides, because nothing else prevents `measured`."""
        return self.status(0.0) == "measured"


def draw(split: Split, seed: int = 0, most: int = MOST) -> list[Frame]:
    """Draw frames of a split: at most `most` of each plane, without those whose structure is not annotated."""
    taken = defaultdict[str | None, list[Frame]](list)
    for i in np.random.default_rng(seed).permutation(len(split)):
        frame = split[int(i)]
        usable = frame.shape is not None or frame.geometry == "none"
        if usable and len(taken[frame.plane]) < most:
            taken[frame.plane].append(frame)
    return [frame for plane in sorted(taken, key=str) for frame in taken[plane]]


def measure_cases(
    predictor: Predictor,
    frames: Sequence[tuple[str, Frame]],
    progress: Callable[[Iterable[tuple[str, Frame]]], Iterable[tuple[str, Frame]]] = iter,
) -> Iterator[Case]:
    """Measure frames unchanged, with each kind of spoiling, and as each other plane that the network measures.

    A frame in which nothing is found gives no value and no case.

    Args:
      predictor: the network.
      frames: the name of its data set and each frame.
      progress: wraps the frames, to show progress.
    """
    asked = [plane for plane in SHAPE_OF_PLANE if plane in predictor.info.planes]
    for seed, (source, frame) in enumerate(progress(frames)):
        (seen,) = predictor.predict([frame.image], [None])
        for plane in asked:
            yield from case_of(predictor, source, frame, AS_IT_IS if plane == frame.plane else WRONG_PLANE, plane, seen)
        if frame.shape is None or frame.plane not in asked:
            continue
        others = [f for _, f in frames if f.shape is not None and f.plane != frame.plane] or [frame]
        other = others[np.random.default_rng(seed).integers(len(others))]
        for kind in SPOILERS:
            changed = spoil(frame, kind, other, seed)
            (seen,) = predictor.predict([changed.image], [None])
            yield from case_of(predictor, source, changed, kind, frame.plane, seen)


def case_of(predictor: Predictor, source: str, frame: Frame, kind: str, plane: str, seen: Prediction) -> Iterator[Case]:
    """Measure a frame from its prediction, as a plane: one case, or none if nothing is found.

    Arguments are the fields of `Case`; `frame` is the changed one.
    """
    looked = predictor.find(seen, frame.image, plane, None)
    found = looked.measurement
    outline = found.ellipse or found.shaft
    if outline is None:
        return
    off = np.inf
    if kind != WRONG_PLANE and frame.shape is not None:
        off = size(outline) / size(frame.shape.transform(looked.seen.to_network)) - 1
    given = score.inputs(looked.seen.probability, found, seen.planes[plane], looked.box, looked.seen.pixels)
    yield Case(source, frame.subject, frame.filename, kind, plane, seen.planes, found.flags, given, float(off))
