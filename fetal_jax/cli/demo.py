"""`fetal-jax demo`: prepare, train, evaluate, export and measure, on synthetic frames."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fetal_jax.cli import evaluate, export, measure, prepare
from fetal_jax.cli.train import CONFIG_KEYS, train_config
from fetal_jax.config import load
from fetal_jax.errors import UserError
from fetal_jax.files import write_whole
from fetal_jax.reading.images import write_png
from fetal_jax.reading.spacing_table import Spacings

SEEDS = range(300_000, 300_024)
"""Seeds that no split uses."""
TABLE = "spacing.csv"
"""Name of the table of the frames' spacings, beside their folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--out=DIR] [--data-dir=DIR] [--config=FILE] [--config.KEY=VALUE ...]"
    out, data_dir = Path("runs/demo"), Path("runs/data")
    parser.add_argument("--config", default="demo", metavar="FILE", help="configuration to train; default: %(default)s")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help="results; default: %(default)s")
    parser.add_argument(
        "--data-dir", type=Path, default=data_dir, metavar="DIR", help="data sets; default: %(default)s"
    )
    parser.add_argument_group("configuration keys", CONFIG_KEYS.replace("--help", "fetal-jax train --help"))


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Run all steps. An interrupted training resumes where it stopped.

    Returns:
      0; 3 if a frame could not be read; 75 (`EX_TEMPFAIL`: start the command again) if SIGTERM stopped the training.
    """
    from fetal_jax.cli import evaluation  # noqa: F401 - not for --help; a missing extra is reported before any work
    from fetal_jax.training.run import Preempted
    from fetal_jax.training.workdir import check_workdir

    workdir, bundle, frames = args.out / "train", args.out / "bundle", args.out / "frames"
    data_dir = str(args.data_dir)
    refuse_other_files(frames)
    overrides = [f"--config.data.dir={data_dir}", *overrides]
    check_workdir(workdir, load(args.config, overrides), f"add --out=DIR, or remove {args.out}")
    workdir.mkdir(parents=True, exist_ok=True)  # reports a folder that cannot be written before the work
    _say("prepare the synthetic frames")
    call(prepare, ["fetal_phantom/small", "--data-dir", data_dir])
    _say("train")
    try:
        train_config(args.config, workdir, overrides)
    except Preempted as e:
        print(f"fetal-jax demo: {e}")
        return os.EX_TEMPFAIL
    _say("evaluate on held-out synthetic frames")
    call(evaluate, ["--workdir", str(workdir), "--out", str(args.out / "report")])
    _say("export")
    call(export, ["--workdir", str(workdir), "--out", str(bundle)])
    _say("measure new frames")
    spacings = draw_folder(frames)
    counts = measure.measure_paths([frames], bundle, Spacings.read(spacings), "auto", args.out / "measured")
    print(f"Overlays: {args.out / 'measured' / 'overlays'}   Report: {args.out / 'report' / 'report.html'}")
    return 3 if counts.get("error") else 0


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def call(command: object, argv: list[str]) -> None:
    """Run another command with the arguments of its command line."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    command.run(parser.parse_args(argv), [])  # type: ignore[attr-defined]


def new_frames() -> dict[str, tuple[str, int]]:
    """Map the file name of each frame that the demo measures to (plane, seed)."""
    from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import PLANES

    planes = PLANES["small"]
    drawn = [(planes[seed % len(planes)], seed) for seed in SEEDS]
    return {f"{plane}_{seed}.png": (plane, seed) for plane, seed in drawn}


def refuse_other_files(frames: Path) -> None:
    """Refuse a folder of frames, or a table of spacings, that is not from the demo, before any work.

    Raises:
      UserError: names one of the other files.
    """
    other = sorted({p.name for p in frames.iterdir()} - set(new_frames())) if frames.is_dir() else []
    if other:
        raise UserError(f"{frames / other[0]} is not a frame of the demo: give another --out")
    table = frames.parent / TABLE
    named = table.read_text(errors="replace").splitlines()[1:] if table.exists() else []
    if table.exists() and {line.partition(",")[0] for line in named} != set(new_frames()):
        raise UserError(f"{table} is not a table of the demo: give another --out")


def draw_folder(frames: Path) -> Path:
    """Draw the new frames, and write the table of their spacing beside the folder.

    Returns:
      The path of the table.

    Raises:
      UserError: another file is in the table's place.
    """
    from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import MACHINES
    from tfds_builders.fetal_phantom.phantom import draw

    phantoms = {name: draw(plane, seed, MACHINES["small"]) for name, (plane, seed) in new_frames().items()}
    rows = ["filename,spacing_mm", *(f"{name},{phantom.spacing_mm}" for name, phantom in phantoms.items())]
    text = "\n".join(rows) + "\n"
    table = frames.parent / TABLE
    if table.exists() and table.read_text() != text:
        raise UserError(f"{table} is not a table of the demo: give another --out")
    frames.mkdir(parents=True, exist_ok=True)
    for name, phantom in phantoms.items():
        write_png(frames / name, phantom.image)
    write_whole(table, text)
    return table
