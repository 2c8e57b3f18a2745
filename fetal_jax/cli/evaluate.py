"""`fetal-jax evaluate --workdir=DIR | --bundle=DIR | --predictions=PATH | --compare A B  --out=DIR`"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etils import epath
from tqdm import tqdm

from fetal_jax import bundle, export
from fetal_jax.config import data_set, portable
from fetal_jax.data.source import Split, splits, trained_on
from fetal_jax.errors import UserError
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.frames import Row, evaluate_frames
from fetal_jax.evaluation.predictions import evaluate_predictions
from fetal_jax.evaluation.report.compare import compare_runs
from fetal_jax.evaluation.report.cross_dataset import PAGE, Cell, write_matrix
from fetal_jax.evaluation.robustness import measure_robustness
from fetal_jax.evaluation.statistics.calibration import interval_tables, plane_temperature
from fetal_jax.evaluation.summary import MEASURES, NAMES, summarise
from fetal_jax.inference import Predictor
from fetal_jax.training.live import live_predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=epath.Path, action="append", help="a run: its newest checkpoint")
    parser.add_argument("--best", action="store_true", help="of a run, the checkpoint that validated best")
    source.add_argument("--bundle", type=bundle.find, action="append", help="several, as of the others: a table of all")
    source.add_argument("--predictions", type=Path, help="anybody's: a CSV of geometry or a folder of masks")
    source.add_argument("--compare", type=Path, nargs=2, metavar="DIR", help="two folders that evaluate wrote")
    parser.add_argument("--runtime", choices=["onnx", "onnx-half", "jax"], help="what runs a bundle; default: onnx")
    parser.add_argument("--dataset", action="append", help="default: the ones that it was trained on")
    parser.add_argument("--data-dir", help="default: the run's own, or runs/data")
    parser.add_argument("--split", default="test")
    parser.add_argument("--robustness", action="store_true", help="also measure changed frames: minutes")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="first write 90 %% intervals, from the calibration split, into --bundle; into a copy of a shipped one",
    )
    parser.add_argument("--out", type=epath.Path, required=True)


@dataclass(frozen=True)
class Network:
    """Something that measures, and where it comes from."""

    name: str
    predictor: Predictor
    training: dict[str, Any]  # as a bundle says it
    data_dir: str
    flags: str  # of the command that opens it again

    @property
    def datasets(self) -> list[str]:
        """What it was trained on, without versions."""
        return list(trained_on(self.training))


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Measure a split, write metrics.json, frames.csv and report.html, print the table."""
    if args.calibrate and not (args.bundle and len(args.bundle) == 1):
        raise UserError("--calibrate writes into a bundle: give one --bundle")
    if args.compare and (args.dataset or args.robustness or args.split != "test"):
        raise UserError("--compare reads two folders as they are: leave out --dataset, --split and --robustness")
    if args.runtime and not args.bundle:
        raise UserError("--runtime is of a bundle: give --bundle")
    args.runtime = args.runtime or "onnx"
    if args.best and not args.workdir:
        raise UserError("--best is of a run: give --workdir")
    args.out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written is told before the work
    if args.compare:
        found = compare_runs(args.compare[0], args.compare[1], args.out)
        print(f"{found['frames']} frames in both. See {args.out / 'comparison.html'}")
    elif args.predictions:
        _run_predictions(args)
    else:
        if args.calibrate:
            _calibrate(args)
        _run_networks(args)


def _run_networks(args: argparse.Namespace) -> None:
    networks = [_open(path, args) for path in args.workdir or args.bundle]
    datasets = args.dataset or networks[0].datasets
    if not args.dataset and any(n.datasets != datasets for n in networks):
        raise UserError("these were trained on different data sets: give each --dataset that all are to be tested on")
    cells = {n.name: {d: _cell(n, d, len(networks) > 1, len(datasets) > 1, args) for d in datasets} for n in networks}
    if len(networks) > 1:
        given = [*(n.flags for n in networks), *(f"--dataset={d}" for d in datasets)]
        command = f"fetal-jax evaluate {' '.join(given)} --split={args.split} --out={args.out}"
        write_matrix(args.out, cells, {n.name: ", ".join(n.datasets) for n in networks}, command)
        print(f"See {args.out / PAGE}")


def _cell(network: Network, dataset: str, many: bool, several_sets: bool, args: argparse.Namespace) -> Cell:
    """The summary of a network on a data set; of many networks, why there is none where it may not be tested on it."""
    out = args.out / network.name.strip("/").replace("/", "-") if many else args.out
    try:
        refuse_other_split(network.datasets, dataset, args.split)
    except UserError as e:
        if not many:
            raise
        return str(e)
    return _evaluate(network, dataset, args.split, out / dataset if several_sets else out, args.robustness)


def _open(path: Path, args: argparse.Namespace) -> Network:
    if args.workdir:
        config, params, step, meta = export.load_run(path, args.best)
        training = {**meta, "steps": step, "recipe": portable(config)}
        data_dir = args.data_dir or config.data.dir
        flags = f"--workdir={path}" + " --best" * args.best
        return Network(f"{path}", live_predictor(config, params), training, data_dir, flags)
    predictor = Predictor.from_bundle(path, args.runtime)
    flags = f"--bundle={path} --runtime={args.runtime}"
    return Network(f"{path}", predictor, predictor.info.training, args.data_dir or "runs/data", flags)


def _evaluate(network: Network, dataset: str, split: str, out: Path, with_robustness: bool) -> dict[str, Any]:
    frames, info = Split(dataset, split, network.data_dir), network.predictor.info
    changed = changed_training(network.training, dataset, network.data_dir)
    if changed:
        print(changed)
    rows = list(tqdm(evaluate_frames(network.predictor, frames), total=len(frames), unit="frame"))
    summary = summarise(rows, info.temperature, info.intervals)
    if with_robustness:
        summary["robustness"] = measure_robustness(network.predictor, frames, _progress)
    command = f"fetal-jax evaluate {network.flags} --dataset={dataset} --split={split} --out={out}"
    command += " --robustness" * with_robustness
    title = f"{network.name} on {frames.dataset}, {split}"
    outputs.write(out, title, summary, rows, frames, command, network.training | {"changed": changed})
    print_table(summary)
    print(f"See {out / outputs.REPORT}")
    return summary


def _progress(changes: Iterable[Any]) -> Iterable[Any]:
    return tqdm(list(changes), unit="change")


def refuse_other_split(trained: Iterable[str], dataset: str, split: str) -> None:
    """One data set cut in two ways: the other way's test frames were trained on.

    Raises:
      UserError: the network was trained on another configuration of the same data set.
    """
    for name in trained:
        if data_set(name) == data_set(dataset) and name != dataset:
            raise UserError(
                f"trained on {name}: the {split} split of {dataset} holds frames that it was trained on; "
                f"give --dataset={name}"
            )


def changed_training(training: dict[str, Any], dataset: str, data_dir: str) -> str:
    """That a data set's training split is no more what the network was trained on; empty where it is, or is not told.

    Then frames that are tested on may have been trained on: a subject more or less moves others to another split.
    """
    was = trained_on(training).get(dataset)
    if not was or "train" not in splits(dataset, data_dir):
        return ""
    now = Split(dataset, "train", data_dir).fingerprint
    return "" if now == was else f"trained on {was}, but in {data_dir} is {now}: frames may have changed splits"


def _calibrate(args: argparse.Namespace) -> None:
    """Interval tables and the plane's temperature, from frames neither trained on nor chosen with, into the bundle.

    A measure's table comes from the first data set that has enough frames of it: a real head's error says nothing of
    a drawn one's.
    """
    (path,) = args.bundle
    predictor = Predictor.from_bundle(path, args.runtime)
    before = predictor.info
    predictor = replace(predictor, info=replace(before, temperature=1.0))
    trained = list(trained_on(before.training))
    rows: list[Row] = []
    tables: dict[str, dict[str, Any]] = {}
    for dataset in args.dataset or trained:
        refuse_other_split(trained, dataset, "calibration")
        frames = Split(dataset, "calibration", args.data_dir or "runs/data")
        own = list(tqdm(evaluate_frames(predictor, frames), total=len(frames), unit="frame"))
        tables = interval_tables(own, frames.fingerprint) | tables
        rows += own
    temperature, tables = plane_temperature(rows) or before.temperature, before.intervals | tables
    path = bundle.update(path, replace(before, intervals=tables, temperature=temperature), args.out / "bundle")
    args.bundle = [path]
    print(f"intervals and temperature are in {path}")
    for measure, name in NAMES.items():
        table = tables.get(measure)
        told = f"± {table['factor']:.2f} sd, 90 %, {table['data']}" if table else "no interval: too few frames"
        print(f"{name}  {told}")
    print(f"planes' temperature {temperature:.2f}")


def _run_predictions(args: argparse.Namespace) -> None:
    if not args.dataset or len(args.dataset) > 1:
        raise UserError("--predictions needs --dataset: give the one data set that they are of")
    if args.robustness:
        raise UserError("--robustness changes frames and measures them again: it needs --bundle or --workdir")
    (dataset,) = args.dataset
    frames = Split(dataset, args.split, args.data_dir or "runs/data")
    rows = list(evaluate_predictions(args.predictions, frames))
    summary = summarise(rows)
    given = f"--predictions={args.predictions} --dataset={dataset} --split={args.split}"
    title = f"{args.predictions} on {frames.dataset}, {args.split}"
    outputs.write(args.out, title, summary, rows, frames, f"fetal-jax evaluate {given} --out={args.out}")
    print_table(summary)
    print(f"See {args.out / outputs.REPORT}")


def print_table(summary: dict[str, Any]) -> None:
    """The figures, on the terminal."""
    for measure in MEASURES:
        if measure in summary:
            s = summary[measure]
            figures = (
                "no figure"
                if s.get("mae") is None
                else f"MAE {s['mae']:.2f}  bias {s['bias']:+.2f}  SD {s['sd']:.2f} mm"
            )
            print(f"{NAMES[measure]}  {s['frames']} frames  {figures}  Dice {s['dice']:.4f}  failed {s['failed']}")
    if "plane" in summary:
        recalls = "  ".join(f"{p} {100 * r:.1f} %" for p, r in summary["plane"]["recall"].items())
        print(f"plane recall  {recalls}")
    for table, why in summary["not_measured"].items():
        print(f"{table}: not measured, because {why}")
