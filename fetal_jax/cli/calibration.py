"""The work of `fetal-jax evaluate --calibrate`: temperature, intervals and acceptance rules of a bundle."""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.data.source import Split, splits, trained_on
from fetal_jax.errors import UserError
from fetal_jax.evaluation.cases import Case, draw, measure_cases
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.outputs import Claim
from fetal_jax.evaluation.report.acceptance_plot import plot_rules
from fetal_jax.evaluation.splits import changed_training, held_out, refuse_other_split
from fetal_jax.evaluation.statistics.calibration import interval_tables, plane_temperature
from fetal_jax.evaluation.statistics.fitted_rules import COUNTS, counts, describe, fit_rules
from fetal_jax.evaluation.summary import NAMES
from fetal_jax.inference import Predictor
from fetal_jax.planes import SHAPE_OF_PLANE

DATA_DIR = "runs/data"
ENOUGH = 100
"""Subjects of a calibration split from which it serves alone; HC18's has 18 and 36 heads, while its folds have 639."""


@dataclass(frozen=True)
class Unseen:
    """Frames that a network has neither trained on nor been chosen with."""

    dataset: str
    predictor: Predictor
    frames: Split
    data: str
    """The fingerprint that a bundle states for them."""


def unseen(opened: Predictor, folds: Sequence[Predictor], dataset: str, data_dir: str) -> list[Unseen]:
    """The frames of a data set to calibrate a bundle on: what each of the folds left out.

    Without folds, or where it is large (`ENOUGH`), the data set's calibration split, measured by the bundle itself.

    Raises:
      UserError: neither is there, or a fold was trained on other frames.
    """
    refuse_other_split(trained_on(opened.info.training), dataset, "calibration")
    if not folds or "calibration" in splits(dataset, data_dir):
        frames = Split(dataset, "calibration", data_dir)
        if not folds or len(frames.subjects) >= ENOUGH:
            return [Unseen(dataset, opened, frames, frames.fingerprint)]
    found, data = [], f"{Split(dataset, 'train', data_dir).fingerprint}, out of fold"
    for fold in folds:
        if changed := changed_training(fold.info.training, dataset, data_dir):
            raise UserError(f"a fold was {changed}")
        found.append(Unseen(dataset, fold, Split(dataset, held_out(fold.info.training), data_dir), data))
    return found


def calibrate(args: argparse.Namespace, claim: Claim) -> Path:
    """Write temperature, intervals and acceptance rules into a bundle, or into a copy of an installed one; its path.

    They come from frames that were neither trained on nor chosen with. The table of a measure comes from the first
    data set that has enough frames of it: the error of a real head says nothing of a synthetic one's. The rules come
    from all data sets together.
    """
    (path,) = args.bundle
    opened = Predictor.from_bundle(path, args.runtime)
    before = opened.info
    picture, table = claim("acceptance.png"), claim("acceptance.csv")
    for name in (*before.files, bundle.INFO) if bundle.is_shipped(path) else ():
        claim(f"bundle/{name}")
    folds = [Predictor.from_bundle(fold, args.runtime) for fold in args.fold or ()]
    sources = [
        part
        for dataset in args.dataset or trained_on(before.training)
        for part in unseen(opened, folds, dataset, args.data_dir or DATA_DIR)
    ]
    evaluated: dict[str, list[EvaluatedFrame]] = defaultdict(list)
    for part in sources:
        predictor = replace(part.predictor, info=replace(part.predictor.info, temperature=1.0))
        evaluated[part.dataset] += tqdm(evaluate_frames(predictor, part.frames), total=len(part.frames), unit="frame")
    data = {part.dataset: part.data for part in sources}
    tables: dict[str, dict[str, Any]] = {}
    for dataset, own in evaluated.items():
        tables = interval_tables(own, data[dataset]) | tables
    temperature = plane_temperature([frame for own in evaluated.values() for frame in own]) or before.temperature
    info = replace(before, intervals=before.intervals | tables, temperature=temperature)
    cases: list[Case] = []
    for part in sources:
        predictor = replace(part.predictor, info=info)
        drawn = [(part.dataset, frame) for frame in draw(part.frames)]
        cases += measure_cases(predictor, drawn, lambda each: tqdm(list(each), unit="frame"))
    rules, judged = fit_rules(cases, ", ".join(data.values()))
    kept = before.acceptance if temperature == before.temperature else {}  # other rules were fitted to other planes
    info = replace(info, acceptance=kept | rules)
    path = bundle.update(path, info, args.out / "bundle")
    plot_rules(judged, picture)
    with table.open("w") as f:
        csv.writer(f, lineterminator="\n").writerows([COUNTS, *counts(judged)])
    print(f"temperature, intervals and acceptance are in {path}; see {picture} and {table}")
    for measure, name in NAMES.items():
        found = info.intervals.get(measure)
        text = f"± {found['factor']:.2f} sd, 90 %, {found['data']}" if found else "no interval: too few frames"
        print(f"{name}  {text}")
    print(f"temperature of the planes {temperature:.2f}")
    without = [p for p in SHAPE_OF_PLANE if p in info.planes and p not in info.acceptance]
    print("\n".join(describe(judged, without)))
    return path
