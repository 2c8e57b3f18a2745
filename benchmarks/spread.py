"""Spread of the heads' results over other draws: `configs/hc18.py` with three seeds, and by five folds.

python benchmarks/spread.py HC18 [--only=fold3]      eight trainings of 20 to 31 minutes on two CPU cores

HC18 is its folder, with the benchmark's split file in it or beside it. The seeds test on the benchmark's examinations;
a fold tests on every fifth examination of all 899 frames and trains on the rest, with the same configuration.
`--only` trains one row, so that several machines can share the work; a finished row is not trained again.
"""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
from rounds import FETAL_JAX, HERE, parser

from fetal_jax.evaluation import outputs
from tfds_builders.hc18 import folder

RUNS = Path("runs/spread")
SEEDS, FOLDS = 3, 5
FIGURES = ("mae", "bias", "dice", "hausdorff_mm")


def main() -> None:
    rows = [f"seed{i}" for i in range(SEEDS)] + [f"fold{i}" for i in range(FOLDS)]
    options = parser(__doc__)
    options.add_argument("hc18", type=Path)
    options.add_argument("--only", choices=rows)
    args = options.parse_args()
    home = folder.find(args.hc18.resolve())
    for name in [args.only] if args.only else rows:
        if not (RUNS / name / "report" / outputs.METRICS).is_file():
            evaluate(name, home)
    if not args.only:
        print("| | frames | HC MAE | bias | Dice | Hausdorff | failed |\n|---|---|---|---|---|---|---|")
        show(rows[:SEEDS], "the three seeds")
        show(rows[SEEDS:], "the five folds")


def evaluate(name: str, home: Path) -> None:
    """Train one row and measure its test frames."""
    kind, number = name[:4], int(name[4:])
    run = RUNS / name
    manual, data = (home, "runs/data") if kind == "seed" else (fold(home, number, run), f"{run}/data")
    prepare = ["prepare", "hc18/benchmark", f"--manual-dir={manual}", f"--data-dir={data}"]
    seed = number if kind == "seed" else 0
    keys = [f"--config.data.dir={data}", f"--config.seed={seed}"]
    train = ["train", f"--config={HERE.parent / 'configs' / 'hc18.py'}", f"--workdir={run / 'train'}", *keys]
    for command in (prepare, train, ["evaluate", f"--workdir={run / 'train'}", f"--out={run / 'report'}"]):
        subprocess.run([*FETAL_JAX, *command], check=True)


def fold(home: Path, number: int, run: Path) -> Path:
    """Make a folder of HC18 with a split file that tests on every fifth examination."""
    manual = run / "hc18"
    manual.mkdir(parents=True, exist_ok=True)
    for part in ("training_set", folder.CSV_NAME):
        if not (manual / part).exists():
            os.symlink(home / part, manual / part)
    frames, _ = folder.read(home, allow_partial=True)
    tests = sorted({row.examination for row in frames})[number::FOLDS]
    split = manual / folder.BENCHMARK
    split.parent.mkdir(parents=True, exist_ok=True)
    with split.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["image_name", "Split"])
        writer.writerows([row.frame.name, "Test" if row.examination in tests else "Train"] for row in frames)
    return manual


def show(names: list[str], title: str) -> None:
    """Print a line for each row, then their mean and standard deviation."""
    found = [outputs.read(RUNS / name / "report")[0] for name in names]
    values = np.array([[metrics["hc_mm"][f] for f in (*FIGURES, "frames", "failed")] for metrics in found])
    spreads = zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)
    lines = [(name, row, [f"{value:.3f}" for value in row]) for name, row in zip(names, values, strict=True)]
    lines.append((title, values.sum(axis=0), [f"{mean:.3f} ± {spread:.3f}" for mean, spread in spreads]))
    for name, row, cells in lines:
        print(f"| {name} | {row[-2]:.0f} | {' | '.join(cells[: len(FIGURES)])} | {row[-1]:.0f} |")


if __name__ == "__main__":
    main()
