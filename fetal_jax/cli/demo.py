"""`fetal-jax demo`: prepare, train, evaluate, export and measure, on drawn frames."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from pathlib import Path

import tensorflow_datasets  # noqa: F401  (the error that names the extra comes before any work)

from fetal_jax.cli import evaluate, export, measure, prepare
from fetal_jax.cli.train import train_recipe
from fetal_jax.inference.spacing import Spacings
from fetal_jax.reading.images import write_png
from fetal_jax.training.run import Preempted
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import MACHINES, PLANES
from tfds_builders.fetal_phantom.phantom import draw

UNSEEN_SEED, UNSEEN_FRAMES = 300_000, 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="configs/demo.py")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """The whole way; an interrupted one goes on."""
    workdir, bundle, frames = args.out / "train", args.out / "bundle", args.out / "frames"
    data_dir = str(args.data_dir)
    _say("prepare the phantom")
    call(prepare, ["fetal_phantom/small", "--data-dir", data_dir])
    _say("train")
    try:
        train_recipe(args.config, workdir, [f"--config.data.dir={data_dir}", *overrides])
    except Preempted as e:
        print(f"fetal-jax demo: {e}")
        return os.EX_TEMPFAIL
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # training's own only asks its loop to stop
    _say("evaluate on held-out phantoms")
    call(evaluate, ["--workdir", str(workdir), "--out", str(args.out / "report")])
    _say("export")
    call(export, ["--workdir", str(workdir), "--out", str(bundle), "--onnx"])
    _say("measure frames never seen")
    spacings = draw_folder(frames)
    counts = measure.measure_paths([frames], bundle, Spacings.read(spacings), "auto", args.out / "measured")
    print(f"Overlays: {args.out / 'measured' / 'overlays'}   Report: {args.out / 'report' / 'report.html'}")
    return 3 if counts.get("error") else 0


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def call(command: object, argv: list[str]) -> None:
    """Run one of the other commands as its own command line would."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    command.run(parser.parse_args(argv), [])  # type: ignore[attr-defined]


def draw_folder(folder: Path) -> Path:
    """Draw frames of seeds that no split holds, and the CSV of their spacing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["filename,spacing_mm"]
    for seed in range(UNSEEN_SEED, UNSEEN_SEED + UNSEEN_FRAMES):
        plane = PLANES["small"][seed % len(PLANES["small"])]
        phantom = draw(plane, seed, MACHINES["small"])
        name = f"{plane}_{seed}.png"
        write_png(folder / name, phantom.image)
        lines.append(f"{name},{phantom.spacing_mm}")
    table = folder.parent / "spacing.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
