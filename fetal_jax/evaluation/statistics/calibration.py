"""Calibration of a bundle on unseen frames: interval tables, the temperature of the planes, and acceptance rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fetal_jax.bundle import BundleInfo
from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.cases import Case, draw, measure_cases
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.splits import Unseen
from fetal_jax.evaluation.statistics import conformal
from fetal_jax.evaluation.statistics.fitted_rules import Judged, fit_rules
from fetal_jax.evaluation.summary import MEASURES
from fetal_jax.planes import expected_class


@dataclass(frozen=True)
class Learnt:
    """What the calibration frames gave. A part is None or empty if there were too few of them."""

    temperature: float | None
    tables: dict[str, dict[str, Any]]
    rules: dict[str, dict[str, Any]]
    judged: list[Judged]


def learn(
    before: BundleInfo, sources: Sequence[Unseen], progress: Callable[..., Iterable[Any]]
) -> tuple[Learnt, BundleInfo]:
    """Fit temperature, intervals and rules to unseen frames; returns them, and the bundle's info with them.

    The table of a measure comes from the first data set with enough frames of it: errors on real heads do not apply to
    synthetic ones. The rules come from all data sets together. What is not learnt keeps its former value.

    Args:
      before: the bundle's info.
      sources: the frames, with the network that measures them.
      progress: wraps frames, and takes their number as `count`, to show progress.
    """
    evaluated: dict[str, list[EvaluatedFrame]] = defaultdict(list)
    for part in sources:
        predictor = replace(part.predictor, info=replace(part.predictor.info, temperature=1.0))
        evaluated[part.dataset] += progress(evaluate_frames(predictor, part.frames), count=len(part.frames))
    data = {part.dataset: part.data for part in sources}
    tables: dict[str, dict[str, Any]] = {}
    for dataset, own in evaluated.items():
        tables = interval_tables(own, data[dataset]) | tables
    fitted = plane_temperature([frame for own in evaluated.values() for frame in own])
    info = replace(before, intervals=before.intervals | tables, temperature=fitted or before.temperature)
    cases: list[Case] = []
    for part in sources:
        predictor = replace(part.predictor, info=info)
        drawn = [(part.dataset, frame) for frame in draw(part.frames)]
        cases += measure_cases(predictor, drawn, partial(progress, count=len(drawn)))
    rules, judged = fit_rules(cases, ", ".join(data.values()))
    # older rules were fitted to probabilities of the older temperature
    kept = before.acceptance if info.temperature == before.temperature else {}
    return Learnt(fitted, tables, rules, judged), replace(info, acceptance=kept | rules)


def interval_tables(frames: list[EvaluatedFrame], data: str) -> dict[str, dict[str, Any]]:
    """Make the bundle's interval table of each measure with enough calibration frames, of enough subjects.

    Frames without a measurement or an error estimate are ignored; such frames get no interval in use, either.

    Args:
      frames: the calibration split of one data set.
      data: its fingerprint, stored in the tables.
    """
    tables = {}
    for measure in MEASURES:
        known = [
            (f.error_mm, f.found.sd_mm, f.subject)
            for f in frames
            if f.measure == measure and f.error_mm is not None and f.found and f.found.sd_mm
            if not np.isnan(f.error_mm)
        ]
        count = len({subject for *_, subject in known})
        if len(known) >= conformal.FEWEST and count >= conformal.FEWEST_SUBJECTS:
            errors, sds, _ = zip(*known, strict=True)
            tables[measure] = {
                "level": conformal.LEVEL,
                "factor": conformal.factor(errors, sds),
                "frames": len(known),
                "subjects": count,
                "data": data,
            }
    return tables


def plane_temperature(frames: list[EvaluatedFrame]) -> float | None:
    """Fit the temperature of the plane probabilities to calibration frames (Guo et al., ICML 2017).

    It is fitted to the averages over frame and mirrored frame, to which `Predictor` applies it.

    Frames whose class the network does not have are ignored. None with too few frames, or if all are of one class or
    classified correctly: then the lowest temperature fits best, and every probability would be 0 or 1.
    """
    seen = [(f.planes, name) for f in frames if f.planes and (name := expected_class(f.plane, tuple(f.planes)))]
    if len(seen) < conformal.FEWEST or len({name for _, name in seen}) < 2:
        return None
    if all(max(p, key=lambda c: p[c]) == name for p, name in seen):
        return None
    names = list(seen[0][0])
    return metrics.best_temperature([list(p.values()) for p, _ in seen], [names.index(t) for _, t in seen])
