"""What each departure from the paper buys: its recipe shrunk, λ swept, then one change after the other, equal steps.

fetal-jax prepare fetal_phantom/large; fetal-jax prepare hc18/benchmark --manual-dir DIR
python benchmarks/departures.py      half an hour on two CPU cores; runs that are done are not trained again

Validation frames alone: HC18's heads and the phantoms of all planes. One seed: a difference that a second seed
reverses is none. Prints docs/paper.md's table and draws docs/lambda.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
PAPER = {
    "data.name": "hc18/benchmark=1, fetal_phantom/large=1",
    "planes": "('other','abdomen','head','femur')",  # the phantoms' splits hold frames of none
    "input_shape": "(128,128)",
    "model.width": 8,
    "batch_size": 8,
    "eval_frames": 200,
    "optim.ema": 0.99,  # of so few steps
}
LAMBDAS = [0.1, 0.3, 0.5, 0.7, 0.9]
CHOSEN = 0.3
COVERAGE = {"loss.cls_weight": CHOSEN, "loss.binary": False}
STEM = COVERAGE | {"model.stem": 2, "model.width": 16, "model.multipliers": "(1,2,4,8)", "model.depths": "(2,2,2,2)"}
LARGER = STEM | {"input_shape": "(128,192)"}
DEPARTURES = {
    f"coverage instead of binary masks, λ {CHOSEN}": COVERAGE,
    "and the 2x2 stem, twice as wide": STEM,
    "and 128x192, a frame's shape": LARGER,
    "and flip averaging": LARGER | {"flip_average": True},
}
ERRORS = {
    "HC18 HC": "hc18/benchmark/hc_mm",
    "phantoms' HC": "fetal_phantom/large/hc_mm",
    "phantoms' AC": "fetal_phantom/large/ac_mm",
    "phantoms' FL": "fetal_phantom/large/fl_mm",
}
PLANES = "fetal_phantom/large/plane_accuracy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/departures"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "lambda.png")
    args = parser.parse_args()
    sweep = {f"the paper's, shrunk, λ {value}": {"loss.cls_weight": value} for value in LAMBDAS}
    rows = {}
    for number, (name, changes) in enumerate((sweep | DEPARTURES).items()):
        rows[name] = trained(args.runs / str(number), PAPER | changes, args.steps, args.data_dir)
    columns = [*ERRORS, "phantoms' planes right", "without a figure"]
    print(f"| {args.steps} steps | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, row in rows.items():
        errors = " | ".join(f"{row[f'{key}_mae']:.2f} mm" for key in ERRORS.values())
        missing = sum(row[f"{key}_missing"] for key in ERRORS.values())
        print(f"| {name} | {errors} | {row[PLANES]:.1%} | {missing} |")
    draw([rows[name] for name in sweep], args.figure)


def trained(workdir: Path, changes: dict[str, Any], steps: int, data_dir: Path) -> dict[str, Any]:
    """The validation's figures at the end of a run, which is trained unless it has been."""
    keys = changes | {"data.dir": data_dir, "total_steps": steps, "eval_every": steps}
    overrides = [f"--config.{key}={value}" for key, value in keys.items()]
    command = ["-m", "fetal_jax.cli.main", "train", f"--config={ROOT / 'configs' / 'paper.py'}"]
    subprocess.run([sys.executable, *command, f"--workdir={workdir}", *overrides], check=True)
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    return {key.removeprefix("validation/"): value for key, value in last.items()}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Errors and misnamed planes over λ."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for label, key in ERRORS.items():
        left.plot(LAMBDAS, [row[f"{key}_mae"] for row in rows], marker="o", label=label)
    right.plot(LAMBDAS, [100 * (1 - row[PLANES]) for row in rows], marker="o")
    left.margins(y=0.2)  # room for the legend
    left.set(xlabel="λ, the weight of the class term", ylabel="mean absolute error, mm", ylim=(0, None))
    right.set(xlabel="λ, the weight of the class term", ylabel="planes named wrong, %", ylim=(0, None))
    left.legend(loc="upper left")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
