"""`fetal-jax evaluate --calibrate`: learn from unseen frames, write into the bundle, print what changed."""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.bundle import BundleInfo
from fetal_jax.data.training_record import all_recorded
from fetal_jax.evaluation.cases import Case, draw, measure_cases
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.outputs import Claim
from fetal_jax.evaluation.report.acceptance_plot import plot_rules
from fetal_jax.evaluation.splits import START_NOT_RECORDED, Unseen, unseen
from fetal_jax.evaluation.statistics import conformal
from fetal_jax.evaluation.statistics.calibration import interval_tables, plane_temperature
from fetal_jax.evaluation.statistics.fitted_rules import COUNTS, Judged, counts, describe, fit_rules
from fetal_jax.evaluation.summary import NAMES
from fetal_jax.files import write_whole
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE

MORE_FRAMES = (
    "give more subjects the split calibration (own frames: column split of frames.csv), or train folds and give --fold "
    "(docs/evaluation.md)"
)


@dataclass(frozen=True)
class Learnt:
    """What the calibration frames gave. A part is None or empty if there were too few of them."""

    temperature: float | None
    tables: dict[str, dict[str, Any]]
    rules: dict[str, dict[str, Any]]
    judged: list[Judged]


def calibrate(args: argparse.Namespace, claim: Claim, datasets: Sequence[str], data_dir: str) -> tuple[Path, str]:
    """Write temperature, intervals and acceptance rules into a bundle, or a copy of an installed one, and print them.

    Returns its path, and why it has no table of intervals, if it has none.

    Args:
      args: of `fetal-jax evaluate --calibrate`.
      claim: gives the paths of the files that are written.
      datasets: the data sets to learn from; their order decides which one gives the table of a measure.
      data_dir: the folder that has them.
    """
    (path,) = args.bundle
    opened = Predictor.from_bundle(path, args.runtime)
    before = opened.info
    folds = [Predictor.from_bundle(fold, args.runtime) for fold in args.fold or ()]
    for name, fold in zip(args.fold or (), folds, strict=True):
        if not all_recorded(fold.info.training):
            print(f"{name}: {START_NOT_RECORDED}")
    sources = [part for dataset in datasets for part in unseen(opened, folds, dataset, data_dir)]
    picture, table = claim("acceptance.png"), claim("acceptance.csv")  # a foreign file is refused before the work
    for name in (*before.files, bundle.INFO) if bundle.is_shipped(path) else ():
        claim(f"bundle/{name}")
    learnt, info = learn(before, sources)
    path = bundle.update(path, info, args.out / "bundle")
    plot_rules(learnt.judged, picture)
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows([COUNTS, *counts(learnt.judged)])
    write_whole(table, rows.getvalue())
    parts = _parts(learnt, before, info)
    print(f"{path}: {', '.join(f'{part} {fate}' for part, fate in parts.items())}; see {picture} and {table}")
    print("\n".join(_lines(learnt, info, parts["temperature"])))
    frames, names = sum(len(part.frames) for part in sources), ", ".join(dict.fromkeys(p.dataset for p in sources))
    return path, (
        f"the calibration frames are too few, {frames} of {names}: "
        f"a table takes {conformal.FEWEST} of a measure, of at least {conformal.FEWEST_SUBJECTS} subjects; "
        f"{MORE_FRAMES}"
    )


def learn(before: BundleInfo, sources: Sequence[Unseen]) -> tuple[Learnt, BundleInfo]:
    """Fit temperature, intervals and rules to unseen frames; returns them, and the bundle's info with them.

    The table of a measure comes from the first data set with enough frames of it: errors on real heads do not apply to
    synthetic ones. The rules come from all data sets together. What is not learnt keeps its former value.
    """
    evaluated: dict[str, list[EvaluatedFrame]] = defaultdict(list)
    for part in sources:
        predictor = replace(part.predictor, info=replace(part.predictor.info, temperature=1.0))
        evaluated[part.dataset] += tqdm(evaluate_frames(predictor, part.frames), total=len(part.frames), unit="frame")
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
        cases += measure_cases(predictor, drawn, lambda each: tqdm(list(each), unit="frame"))
    rules, judged = fit_rules(cases, ", ".join(data.values()))
    # older rules were fitted to probabilities of the older temperature
    kept = before.acceptance if info.temperature == before.temperature else {}
    return Learnt(fitted, tables, rules, judged), replace(info, acceptance=kept | rules)


def _parts(learnt: Learnt, before: BundleInfo, after: BundleInfo) -> dict[str, str]:
    """The fate of each part of the bundle."""
    return {
        "temperature": fate(learnt.temperature, True, True),
        "intervals": fate(learnt.tables, before.intervals, after.intervals),
        "acceptance": fate(learnt.rules, before.acceptance, after.acceptance),
    }


def fate(learnt: object, before: object, after: object) -> str:
    """State what a calibration did to a part of a bundle, by what was learnt and what was there before and after."""
    if learnt:
        return "learnt"
    if after:
        return "kept"
    return "removed, as it was fitted to another temperature" if before else "not learnt"


def _lines(learnt: Learnt, info: BundleInfo, temperature: str) -> list[str]:
    """Intervals, temperature and rules for a terminal; `temperature` is its fate."""
    lines = []
    for measure in [PRIMARY[plane] for plane in SHAPE_OF_PLANE if plane in info.planes]:
        found = info.intervals.get(measure)
        text = f"no interval: fewer than {conformal.FEWEST} frames or {conformal.FEWEST_SUBJECTS} subjects"
        if found:
            own = fate(measure in learnt.tables, True, True)
            text = f"± {found['factor']:.2f} sd, 90 %, {found['data']} ({own})"
        lines.append(f"{NAMES[measure]}  {text}")
    lines.append(f"temperature of the planes {info.temperature:.2f} ({temperature})")
    without = [p for p in SHAPE_OF_PLANE if p in info.planes and p not in info.acceptance]
    lines += describe(learnt.judged, without)
    lines += [f"{p:8} rule kept: {rule['data']}" for p, rule in info.acceptance.items() if p not in learnt.rules]
    return lines + ([f"To calibrate more planes, {MORE_FRAMES}"] if without else [])
