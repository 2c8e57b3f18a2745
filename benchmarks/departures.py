"""Effect of each departure from the paper: its configuration, shrunk, over λ; then one change after another.

fetal-jax prepare fetal_phantom/large; fetal-jax prepare hc18/benchmark --manual-dir DIR
python benchmarks/departures.py      half an hour on two CPU cores; finished runs are not trained again

Equal steps, one seed, validation frames alone: HC18's heads and the phantoms of all planes. A second seed may reverse
a small difference. Prints docs/paper.md's table and draws docs/lambda.png.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rounds import FETAL_JAX, HERE, parser

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
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--runs", type=Path, default=Path("runs/departures"))
    options.add_argument("--steps", type=int, default=500)
    options.add_argument("--figure", type=Path, default=HERE.parent / "docs" / "lambda.png")
    args = options.parse_args()
    sweep = {f"the paper's, shrunk, λ {value}": {"loss.cls_weight": value} for value in LAMBDAS}
    rows = {}
    for number, (name, changes) in enumerate((sweep | DEPARTURES).items()):
        rows[name] = trained(args.runs / str(number), PAPER | changes, args.steps, args.data_dir)
    columns = [*ERRORS, "phantoms' planes right", "without a value"]
    print(f"| {args.steps} steps | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, row in rows.items():
        errors = " | ".join(f"{row[f'{key}_mae']:.2f} mm" for key in ERRORS.values())
        missing = sum(row[f"{key}_missing"] for key in ERRORS.values())
        print(f"| {name} | {errors} | {row[PLANES]:.1%} | {missing} |")
    draw([rows[name] for name in sweep], args.figure)


def trained(workdir: Path, changes: dict[str, Any], steps: int, data_dir: Path) -> dict[str, Any]:
    """Train a run, unless that is done; its last validation metrics."""
    keys = changes | {"data.dir": data_dir, "total_steps": steps, "eval_every": steps}
    overrides = [f"--config.{key}={value}" for key, value in keys.items()]
    config = f"--config={HERE.parent / 'configs' / 'paper.py'}"
    subprocess.run([*FETAL_JAX, "train", config, f"--workdir={workdir}", *overrides], check=True)
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    return {key.removeprefix("validation/"): value for key, value in last.items()}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw errors and misnamed planes over λ."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
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
