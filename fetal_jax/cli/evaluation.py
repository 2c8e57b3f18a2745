"""The work of `fetal-jax evaluate`. It needs JAX; parsing the arguments (`cli.evaluate`) does not."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epath
from tqdm import tqdm

from fetal_jax import bundle, export
from fetal_jax.bundle import BundleInfo
from fetal_jax.config import portable
from fetal_jax.data.source import Split, splits
from fetal_jax.data.training_record import all_recorded, seen, trained_on
from fetal_jax.errors import UserError, amount
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.outputs import Claim
from fetal_jax.evaluation.predictions import evaluate_predictions
from fetal_jax.evaluation.report import compare
from fetal_jax.evaluation.report.acceptance_plot import plot_rules
from fetal_jax.evaluation.report.checklist import INTERNAL
from fetal_jax.evaluation.report.cross_dataset import JSON, PAGE, Result, write_cross_dataset
from fetal_jax.evaluation.report.report import Origin
from fetal_jax.evaluation.robustness import measure_robustness
from fetal_jax.evaluation.scanner import outputs as scanner_outputs
from fetal_jax.evaluation.splits import (
    HELD_OUT,
    START_NOT_RECORDED,
    held_out,
    kind_of_test,
    refuse_other_split,
    unseen,
)
from fetal_jax.evaluation.statistics import conformal
from fetal_jax.evaluation.statistics.calibration import Learnt, learn
from fetal_jax.evaluation.statistics.fitted_rules import COUNTS, counts, describe
from fetal_jax.evaluation.summary import MEASURES, NAMES, over, summarise
from fetal_jax.files import write_whole
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE
from fetal_jax.training.live import live_predictor

DATA_DIR = "runs/data"
MORE_FRAMES = (
    "give more subjects the split calibration (own frames: column split of frames.csv), or train folds and give --fold "
    "(docs/evaluation.md)"
)


@dataclass(frozen=True)
class Network:
    """A network to test, and its origin."""

    name: str
    predictor: Predictor
    training: dict[str, Any]  # as in `bundle.json`
    data_dir: str
    flags: list[str]  # options of a command that opens it again

    @property
    def datasets(self) -> list[str]:
        """The data sets that its own run was trained on, without versions."""
        return list(trained_on(self.training))

    @property
    def seen(self) -> list[str]:
        """`datasets`, and those that the weights it started from were trained on."""
        return list(seen(self.training))


def run(args: argparse.Namespace) -> None:
    """Measure a split, write metrics.json, frames.csv and report.html, print the table."""
    args.out = epath.Path(args.out)
    args.workdir = [epath.Path(path) for path in args.workdir or ()]
    if args.compare:
        found = compare.compare_runs(args.compare[0], args.compare[1], args.out, args.data_dir)
        print("\n".join(compare.lines(found)))
        print(f"{amount(found['frames'], 'frame')} in both. See {args.out / compare.PAGE}")
        return
    with outputs.claiming(args.out) as claim:
        if args.predictions:
            _run_predictions(args, claim)
            return
        if args.results:
            _run_results(args, claim)
            return
        _run_networks(args, claim)


def _run_networks(args: argparse.Namespace, claim: Claim) -> None:
    networks = [_open(path, args) for path in args.workdir or args.bundle]
    datasets = _datasets(networks, args)
    many, several_sets = len(networks) > 1, len(datasets) > 1
    opened = [{d: _frames(n, d, many, args.split) for d in datasets} for n in networks]  # all of them before the work
    too_few = ""
    if args.calibrate:
        path, too_few = calibrate(args, claim, _to_calibrate_on(networks[0], args), networks[0].data_dir)
        args.bundle = [path]
        networks = [_open(path, args)]
    for name in (JSON, PAGE) if many else ():
        claim(name)  # a foreign file is refused before the work
    cells: dict[str, dict[str, Result]] = {}
    for n, frames in zip(networks, opened, strict=True):
        own = outputs.claim_in(claim, n.name.strip("/").replace("/", "-") if many else "")
        places = {d: outputs.claim_in(own, d if several_sets else "") for d in datasets}
        cells[n.name] = {
            d: split if isinstance(split, str) else _evaluate(n, d, split, args, places[d], too_few)
            for d, split in frames.items()
        }
    if many:
        flags = [*(f for n in networks for f in n.flags), *(f"--dataset={d}" for d in datasets)]
        write_cross_dataset(claim, cells, {n.name: ", ".join(n.seen) for n in networks}, _command(flags, args))
        print(f"See {args.out / PAGE}")


def _datasets(networks: list[Network], args: argparse.Namespace) -> list[str]:
    """The data sets to test on: those asked for, else the networks' training sets that have the split.

    Raises:
      UserError: none is asked for, and the networks were trained on different ones.
    """
    if args.dataset:
        return list(args.dataset)
    if any(n.datasets != networks[0].datasets for n in networks):
        raise UserError("these were trained on different data sets: name the data sets to test them on with --dataset")
    split = "train" if args.split == HELD_OUT else args.split
    return _having(split, networks[0].datasets, {n.data_dir for n in networks})


def _to_calibrate_on(network: Network, args: argparse.Namespace) -> list[str]:
    """The data sets to calibrate on: those asked for, else those of the run; without folds, with the split for it."""
    if args.dataset or args.fold:
        return list(args.dataset or network.datasets)
    return _having("calibration", network.datasets, [network.data_dir])


def _having(split: str, datasets: list[str], data_dirs: Collection[str]) -> list[str]:
    """Drop, and print, the data sets that lack a split; keep all if none has it.

    A data set that is not prepared is kept: opening it raises the error.
    """
    whole = split.partition("/fold")[0]

    def lacks(name: str) -> bool:
        there = [splits(name, place) for place in data_dirs]
        return any(found and whole not in found for found in there)

    lacking = [name for name in datasets if lacks(name)]
    if len(lacking) == len(datasets):
        return list(datasets)  # the error on opening the first one lists its splits
    for name in lacking:
        print(f"{name} has no split {split}: it is left out")
    return [name for name in datasets if name not in lacking]


def _frames(network: Network, dataset: str, many: bool, split: str) -> Split | str:
    """The frames of a data set to test a network on; with `many` networks, the reason if it may not be tested on it."""
    try:
        refuse_other_split(network.seen, dataset, split)
        name = held_out(network.training, dataset) if split == HELD_OUT else split
    except UserError as e:
        if not many:
            raise
        return str(e)
    frames = Split(dataset, name, network.data_dir)
    if not len(frames):
        raise UserError(f"{name} of {dataset} has no frame: a fold is every fifth subject, and there are fewer")
    return frames


def _open(path: Path, args: argparse.Namespace) -> Network:
    if args.workdir:
        config, params, step, meta = export.load_run(path, args.best)
        half = export.half_precision(params)  # as its bundle will have them
        params, digest = export.single_precision(half), export.digest(half)
        training = {**meta, "steps": step, export.PARAMETERS: digest, "recipe": portable(config)}
        data_dir = args.data_dir or config.data.dir
        flags = [f"--workdir={path}", *["--best"] * args.best]
        return Network(f"{path}", live_predictor(config, params), training, data_dir, flags)
    predictor = Predictor.from_bundle(path, args.runtime)
    name = path.name if bundle.is_shipped(path) else f"{path}"  # reports do not state paths of this machine
    flags = [f"--bundle={name}", f"--runtime={args.runtime}"]
    return Network(name, predictor, predictor.info.training, args.data_dir or DATA_DIR, flags)


def _evaluate(
    network: Network, dataset: str, frames: Split, args: argparse.Namespace, claim: Claim, no_table: str
) -> dict[str, Any]:
    info = network.predictor.info
    paths = [claim(name) for name in outputs.FILES]  # a foreign file is refused before the work
    origin = _origin(network, frames, dataset, paths[0].parent, args)
    if "but" in origin.network:
        print(origin.network["but"])
    evaluated = list(_frame_progress(evaluate_frames(network.predictor, frames), len(frames)))
    summary = summarise(evaluated, info.temperature, info.intervals, dict(args.margin or ()), no_table)
    if args.robustness:
        summary["robustness"] = measure_robustness(network.predictor, frames, _progress)
    return _write(claim, summary, evaluated, frames, origin)


def _write(
    claim: Claim, summary: dict[str, Any], evaluated: list[EvaluatedFrame], frames: Split, origin: Origin
) -> dict[str, Any]:
    outputs.write(claim, summary, evaluated, frames, origin)
    print("\n".join(table(summary)))
    print(f"See {claim(outputs.REPORT)}")
    return summary


def _origin(network: Network, frames: Split, dataset: str, out: Path, args: argparse.Namespace) -> Origin:
    """The lines of the report about its origin."""
    training, info = network.training, network.predictor.info
    lines = {
        "network": network.name,
        "trained on": ", ".join(fingerprint or name for name, fingerprint in trained_on(training).items()),
        "its start was trained on": _start_trained_on(network),
        "steps": str(training.get("steps", "not known")),
        "configuration": json.dumps(training["recipe"], sort_keys=True) if training.get("recipe") else "not known",
        "preprocessing": info.preprocessing,
        "averaged with the mirrored frame": "yes" if info.flip_average else "no",
        "looked at again": f"enlarged to {info.close_up:.0%} of the input" if info.close_up else "no",
        **{f"SHA-256 of {name}": digest for name, digest in info.files.items()},
    }
    if args.bundle:
        lines["runtime"] = args.runtime
    left_out = args.split == HELD_OUT
    kind, doubts = kind_of_test(training, frames, dataset, network.data_dir)
    known = kind == INTERNAL and dataset in network.seen
    if known:
        train = Split(dataset, "train", network.data_dir)
        both = 0 if left_out else len(train.subjects & frames.subjects)
        by = f"this is {frames.name}, which the run left out" if left_out else "the builder divides frames by subject"
        lines["subjects in the training split and in this one"] = f"{both}: {by}"
    if left_out and not all_recorded(training):
        doubts.append(START_NOT_RECORDED)
    if doubts:
        lines["but"] = "; ".join(doubts)
    flags = [*network.flags, f"--dataset={dataset}", *["--robustness"] * args.robustness]
    title = f"{network.name} on {frames.dataset}, {args.split}"
    command = _command(flags, args, out, network.data_dir)
    identity = {"name": network.name, **{k: training[k] for k in ("steps", export.PARAMETERS) if k in training}}
    return Origin(title, command, network.data_dir, lines, kind, known, identity)


def _start_trained_on(network: Network) -> str:
    known = [name for name in network.seen if name not in network.datasets]
    return ", ".join(known if all_recorded(network.training) else [*known, "not recorded"]) or "no other data set"


def _command(flags: list[str], args: argparse.Namespace, out: Path | None = None, data_dir: str | None = None) -> str:
    """The command that repeats the evaluation."""
    margins = [f"--margin={NAMES[m]}={percent:g}" for m, percent in args.margin or ()]
    place = [f"--data-dir={data_dir or args.data_dir}"] if data_dir or args.data_dir else []
    words = ["fetal-jax", "evaluate", *flags, f"--split={args.split}", *margins, *place, f"--out={out or args.out}"]
    return shlex.join(words)


def _frame_progress(frames: Iterable[Any], count: int) -> Iterable[Any]:
    return tqdm(frames, total=count, unit="frame")


def _progress(changes: Iterable[Any]) -> Iterable[Any]:
    return tqdm(list(changes), unit="change")


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
    learnt, info = learn(before, sources, _frame_progress)
    path = bundle.update(path, info, args.out / "bundle")
    plot_rules(learnt.judged, picture)
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows([COUNTS, *counts(learnt.judged)])
    write_whole(table, rows.getvalue())
    fates = _fates(learnt, before, info)
    print(f"{path}: {', '.join(f'{part} {fate}' for part, fate in fates.items())}; see {picture} and {table}")
    print("\n".join(_calibration_lines(learnt, info, fates["temperature"])))
    frames, names = sum(len(part.frames) for part in sources), ", ".join(dict.fromkeys(p.dataset for p in sources))
    return path, (
        f"the calibration frames are too few, {frames} of {names}: "
        f"a table takes {conformal.FEWEST} of a measure, of at least {conformal.FEWEST_SUBJECTS} subjects; "
        f"{MORE_FRAMES}"
    )


def _fates(learnt: Learnt, before: BundleInfo, after: BundleInfo) -> dict[str, str]:
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


def _calibration_lines(learnt: Learnt, info: BundleInfo, temperature: str) -> list[str]:
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


def _run_predictions(args: argparse.Namespace, claim: Claim) -> None:
    if not args.dataset or len(args.dataset) > 1:
        raise UserError("--predictions needs --dataset: give the one data set that they are of")
    if args.robustness:
        raise UserError("--robustness changes frames and measures them again: it needs --bundle or --workdir")
    (dataset,) = args.dataset
    data_dir = args.data_dir or DATA_DIR
    frames = Split(dataset, args.split, data_dir)
    checked = evaluate_predictions(args.predictions, frames)
    for name in outputs.FILES:
        claim(name)  # a foreign file is refused before the work
    evaluated = list(checked)
    summary = summarise(evaluated, margins=dict(args.margin or ()))
    flags = [f"--predictions={args.predictions}", f"--dataset={dataset}"]
    title = f"{args.predictions} on {frames.dataset}, {args.split}"
    _write(claim, summary, evaluated, frames, Origin(title, _command(flags, args), data_dir))


def _run_results(args: argparse.Namespace, claim: Claim) -> None:
    margins = [f"--margin={NAMES[m]}={percent:g}" for m, percent in args.margin or ()]
    flags = [f"--results={args.results}", f"--scanner-reports={args.scanner_reports}", *margins, f"--out={args.out}"]
    command = shlex.join(["fetal-jax", "evaluate", *flags])
    summary = scanner_outputs.evaluate(args.results, args.scanner_reports, claim, command, dict(args.margin or ()))
    print("\n".join(table(summary)))
    refused = sum(summary["scanner"]["refused"].values())
    print(f"{refused} reports or values refused: {args.out / scanner_outputs.REFUSED}. See {args.out / outputs.REPORT}")


def table(summary: dict[str, Any]) -> list[str]:
    """Format the summary for a terminal."""
    lines = []
    for measure in MEASURES:
        if measure not in summary:
            continue
        s, name = summary[measure], NAMES[measure]
        errors = "no millimetres"
        if s.get("mae") is not None:
            sd = "" if s["sd"] is None else f"  SD {s['sd']:.2f}"
            errors = f"MAE {s['mae']:.2f}  bias {s['bias']:+.2f}{sd} mm{over(s)}"
        dice = "" if s["dice"] is None else f"  Dice {s['dice']:.4f}"
        lines.append(f"{name}  {amount(s['frames'], 'frame')}  {errors}{dice}  failed {s['failed']}")
        if v := s.get("non_inferiority"):
            bound = "" if v["bound"] is None else f", bound {v['bound']:.1f} %"
            lines.append(f"{name}  {v['verdict']} at ± {v['margin_percent']:g} % ({v['source']}{bound}): {v['reason']}")
    if "plane" in summary:
        recalls = "  ".join(f"{p} {100 * r:.1f} %" for p, r in summary["plane"]["recall"].items())
        lines.append(f"plane recall  {recalls}")
    return lines + [f"{name}: not measured, because {why}" for name, why in summary["not_measured"].items()]
