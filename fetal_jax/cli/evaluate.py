"""`fetal-jax evaluate --workdir=DIR | --bundle=DIR | --predictions=PATH --out=DIR`"""

from __future__ import annotations

import argparse
import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from etils import epath
from tqdm import tqdm

from fetal_jax import bundle, export, train
from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.evaluation.frames import Row, evaluate_frames, interval_tables, plane_temperature, summarise
from fetal_jax.evaluation.predictions import evaluate_predictions
from fetal_jax.evaluation.report import NAMES, render
from fetal_jax.inference import Predictor

NOT_CELLS = ("index", "found", "planes", "endpoint_errors", "interval_mm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=epath.Path, help="a run: its newest checkpoint")
    parser.add_argument("--best", action="store_true", help="of a run, the checkpoint that validated best")
    source.add_argument("--bundle", type=Path)
    source.add_argument("--predictions", type=Path, help="anybody's: a CSV of geometry or a folder of masks")
    parser.add_argument("--runtime", default="onnx", choices=["onnx", "onnx-half", "jax"], help="what runs a bundle")
    parser.add_argument("--dataset", help="default: the one that it was trained on")
    parser.add_argument("--data-dir", help="default: the run's own, or runs/data")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="first write 90 %% intervals, from the calibration split, into --bundle",
    )
    parser.add_argument("--out", type=epath.Path, required=True)


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Measure a split, write metrics.json, frames.csv and report.html, print the table."""
    if args.calibrate and not args.bundle:
        raise UserError("--calibrate writes into a bundle: give --bundle")
    if args.best and not args.workdir:
        raise UserError("--best is of a run: give --workdir")
    if args.predictions:
        _run_predictions(args)
        return
    if args.workdir:
        config, params, step, meta = export.load_run(args.workdir, args.best)
        predictor, trained = train.live_predictor(config, params), str(meta["dataset"])
        data_dir, source = args.data_dir or config.data.dir, f"--workdir={args.workdir}{' --best' * args.best}"
        title = f"{args.workdir}, step {step}"
    else:
        if args.calibrate:
            _calibrate(args)
        predictor = Predictor.from_bundle(args.bundle, args.runtime)
        trained = str(predictor.info.training["dataset"])
        data_dir, source = args.data_dir or "runs/data", f"--bundle={args.bundle} --runtime={args.runtime}"
        title = f"{args.bundle}, {args.runtime}"

    datasets = [args.dataset] if args.dataset else trained_on(trained)
    for dataset in datasets:  # each by its own
        refuse_other_split(trained, dataset, args.split)
        out = args.out / dataset if len(datasets) > 1 else args.out
        frames = Split(dataset, args.split, data_dir)
        rows = list(tqdm(evaluate_frames(predictor, frames), total=len(frames), unit="frame"))
        summary = summarise(rows)
        command = f"fetal-jax evaluate {source} --dataset={dataset} --split={args.split} --out={out}"
        _write(out, f"{title} on {frames.dataset}, {args.split}", summary, rows, frames, command)
        print_table(summary)
        print(f"See {out / 'report.html'}")


def trained_on(dataset: str) -> list[str]:
    """The names of the data sets, without their versions, that a run or a bundle says it was trained on."""
    return [full_name.rpartition("/")[0] for full_name in dataset.split(", ")]


def refuse_other_split(trained: str, dataset: str, split: str) -> None:
    """One data set cut in two ways: the other way's test frames were trained on.

    Raises:
      UserError: the network was trained on another configuration of the same data set.
    """
    for name in trained_on(trained):
        if name.partition("/")[0] == dataset.partition("/")[0] and name != dataset:
            raise UserError(
                f"trained on {name}: the {split} split of {dataset} holds frames that it was trained on; "
                f"give --dataset={name}"
            )


def _calibrate(args: argparse.Namespace) -> None:
    """Interval tables and the plane's temperature, from frames neither trained on nor chosen with, into the bundle."""
    predictor = Predictor.from_bundle(args.bundle, args.runtime)
    if predictor.info.temperature != 1:  # what it was before
        predictor = replace(predictor, info=replace(predictor.info, temperature=1.0))
    trained = str(predictor.info.training["dataset"])
    datasets = [args.dataset] if args.dataset else trained_on(trained)
    rows: list[Row] = []
    for dataset in datasets:
        refuse_other_split(trained, dataset, "calibration")
        frames = Split(dataset, "calibration", args.data_dir or "runs/data")
        rows += tqdm(evaluate_frames(predictor, frames), total=len(frames), unit="frame")
    tables, temperature = interval_tables(rows), plane_temperature(rows)
    bundle.write(args.bundle, replace(predictor.info, intervals=tables, temperature=temperature))
    for measure, name in NAMES.items():
        table = tables.get(measure)
        print(f"{name}  " + (f"± {table['factor']:.2f} sd, 90 %" if table else "no interval: too few frames"))


def _run_predictions(args: argparse.Namespace) -> None:
    if not args.dataset:
        raise UserError("--predictions needs --dataset: give the data set that they are of")
    frames = Split(args.dataset, args.split, args.data_dir or "runs/data")
    rows = list(evaluate_predictions(args.predictions, frames))
    summary = summarise(rows)
    given = f"--predictions={args.predictions} --dataset={args.dataset} --split={args.split}"
    title = f"{args.predictions} on {frames.dataset}, {args.split}"
    _write(args.out, title, summary, rows, frames, f"fetal-jax evaluate {given} --out={args.out}")
    print_table(summary)
    print(f"See {args.out / 'report.html'}")


def _write(out: Path, title: str, summary: dict[str, Any], rows: list[Row], frames: Split, command: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(summary | {"data": frames.fingerprint}, indent=2) + "\n")
    (out / "report.html").write_text(render(title, summary, rows, frames, command))
    with io.StringIO(newline="") as f:
        columns = [
            c
            for c in Row.__dataclass_fields__
            if c not in ("index", "found", "planes", "endpoint_errors", "interval_mm")
        ] + ["flags"]
        writer = csv.DictWriter(f, columns, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            flags = "; ".join(row.found.flags) if row.found else ""
            writer.writerow(asdict(row) | {"flags": flags})
        (out / "frames.csv").write_text(f.getvalue())


def print_table(summary: dict[str, Any]) -> None:
    """The figures, on the terminal."""
    for measure, name in NAMES.items():
        if measure in summary:
            s = summary[measure]
            figures = (
                "no figure" if "mae" not in s else f"MAE {s['mae']:.2f}  bias {s['bias']:+.2f}  SD {s['sd']:.2f} mm"
            )
            print(f"{name}  {s['frames']} frames  {figures}  Dice {s['dice']:.4f}  failed {s['failed']}")
    if "plane" in summary:
        recalls = "  ".join(f"{p} {100 * r:.1f} %" for p, r in summary["plane"]["recall"].items())
        print(f"plane recall  {recalls}")
