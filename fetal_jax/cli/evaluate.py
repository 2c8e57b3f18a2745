"""`fetal-jax evaluate --workdir=DIR | --bundle=DIR | --predictions=PATH | --results=DIR | --compare A B  --out=DIR`"""

from __future__ import annotations

import argparse
from pathlib import Path

from fetal_jax import bundle
from fetal_jax.errors import UserError
from fetal_jax.planes import MEASURED, PRIMARY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--workdir", type=str, action="append", help="folder of a run, to evaluate its newest checkpoint"
    )
    source.add_argument(
        "--bundle",
        type=bundle.find,
        action="append",
        help="bundle to evaluate; several (or several --workdir) make a table",
    )
    source.add_argument(
        "--predictions", type=Path, help="predictions of any program: a table of geometry, or a folder of masks"
    )
    source.add_argument(
        "--results", type=Path, metavar="DIR", help="results of measure or archive, to compare with --scanner-reports"
    )
    source.add_argument("--compare", type=Path, nargs=2, metavar="DIR", help="compare two folders that evaluate wrote")
    parser.add_argument(
        "--best", action="store_true", help="with --workdir: evaluate the checkpoint with the lowest validation score"
    )
    parser.add_argument(
        "--scanner-reports", type=Path, metavar="DIR", help="DICOM SR (TID 5000, 1500) that --results are compared with"
    )
    parser.add_argument("--runtime", choices=["onnx", "jax"], help="how to run the bundle; default: onnx")
    parser.add_argument(
        "--dataset",
        action="append",
        help="data set to test on; may be repeated; default: those that the network was trained on",
    )
    parser.add_argument("--data-dir", help="folder of the prepared data sets; default: the run's own, or runs/data")
    parser.add_argument(
        "--split", default="test", help="test, validation, …; held-out: the fold that config.data.leave_out left out"
    )
    parser.add_argument("--robustness", action="store_true", help="also measure changed frames; takes minutes")
    parser.add_argument(
        "--margin",
        type=_margin,
        action="append",
        metavar="HC=PERCENT",
        help="non-inferiority margin of HC, AC or FL, in %% of the mean; default: two sonographers (Sarris 2012)",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="first fit temperature, intervals and acceptance to the calibration splits of --dataset, and write "
        "them into --bundle (for a shipped bundle, into a copy)",
    )
    parser.add_argument(
        "--fold",
        type=bundle.find,
        action="append",
        help="with --calibrate: a bundle that left a fold out (config.data.leave_out). Its fold is used unless the "
        "data set has a large calibration split. Give it once for each fold",
    )
    parser.add_argument("--out", type=str, required=True, metavar="DIR", help="report.html, metrics.json, frames.csv")


def _margin(text: str) -> tuple[str, float]:
    """Parse `HC=4.9` as ("hc_mm", 4.9)."""
    name, _, value = text.partition("=")
    by_name = {MEASURED[column].label: column for column in PRIMARY.values()}
    try:
        percent = float(value)
    except ValueError:
        percent = 0.0
    if name.upper() not in by_name or not 0 < percent < 100:
        raise argparse.ArgumentTypeError(f"{text} is not a margin: give one such as HC=4.9 (HC, AC or FL, in percent)")
    return by_name[name.upper()], percent


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Check the call, and do the work."""
    if args.calibrate and not (args.bundle and len(args.bundle) == 1):
        raise UserError("--calibrate writes into a bundle: give one --bundle")
    if args.fold and not args.calibrate:
        raise UserError("--fold says where --calibrate learns: give both")
    if len(dict(args.margin or ())) < len(args.margin or ()):
        raise UserError("--margin is given twice for one measure: give one margin for each of HC, AC and FL")
    if args.compare and (args.dataset or args.robustness or args.margin or args.split != "test"):
        raise UserError("--compare reads two folders as they are: leave out --dataset, --split, --margin, --robustness")
    if bool(args.results) != bool(args.scanner_reports):
        raise UserError("--results and --scanner-reports are given together")
    if args.results and (args.dataset or args.data_dir or args.robustness or args.split != "test"):
        raise UserError("--results are of no data set: leave out --dataset, --data-dir, --split and --robustness")
    if args.runtime and not args.bundle:
        raise UserError("--runtime needs a bundle: give --bundle")
    args.runtime = args.runtime or "onnx"
    if args.best and not args.workdir:
        raise UserError("--best needs a run: give --workdir")
    from fetal_jax.cli import evaluation  # --help must work in every installation

    evaluation.run(args)
