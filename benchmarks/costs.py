"""How time and memory grow: with the batch, the frame's size, the width, the number of frames and of workers.

python benchmarks/costs.py [--quick] [--out FIGURE.png] [--frames FILES...]

Each point is a process of its own. A slope is that of the logarithms over the upper half of the range: 1 is linear.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from measure_folder import linked, watched
from rounds import alternate, ours

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Points = dict[float, tuple[float, float]]  # what was changed: (seconds, megabytes)
BASE = {"batch": 4, "side": 128, "width": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--frames", nargs="*", type=Path, default=[])
    args = parser.parse_args()
    few = args.quick
    curves: dict[str, Points] = {}
    for name, values in {
        "batch": [2, 8] if few else [2, 4, 8, 16, 32],
        "side": [64, 128] if few else [64, 128, 256, 512],
        "width": [8, 16] if few else [8, 16, 32, 64],
    }.items():
        curves[f"train step, {name}"] = {v: train_step(**{**BASE, name: v}) for v in values}
    if args.frames:
        counts = [1, 100] if few else [1, 10, 100, 1000]
        curves["measure, frames"] = {n: measure(args.frames, n) for n in counts}
    report(curves)
    if args.out:
        draw(curves, args.out)


def train_step(batch: int, side: int, width: int) -> tuple[float, float]:
    """Least seconds of a step, and the most memory of its process."""
    shape = [f"--batch={batch}", "--size", str(side), str(side), f"--width={width}"]
    result = alternate({"step": ours("jax_unet.py", "step", *shape)}, 3)["step"]
    return result.least, result.facts["peak_mb"]


def measure(frames: list[Path], count: int) -> tuple[float, float]:
    """Seconds and memory of `fetal-jax measure` on a folder, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        study = linked(frames, count, Path(folder) / "study")
        _, seconds, memory = watched([study], Path(folder) / "out", [])
    return seconds, max(memory)


def slope(points: Points, which: int) -> float:
    """Of log(cost) over log(what was changed), over the upper half of the points."""
    upper = list(points)[(len(points) - 1) // 2 :]
    return float(np.polyfit(np.log(upper), np.log([max(points[v][which], 1e-9) for v in upper]), 1)[0])


def report(curves: dict[str, Points]) -> None:
    base = ", ".join(f"{k} {v}" for k, v in BASE.items())
    print(f"Train steps at {base}, four levels, but for what is changed.\n")
    print("| cost of | values | seconds | slope | MB | slope |\n|---|---|---|---|---|---|")
    for name, points in curves.items():
        values = " ".join(f"{v:g}" for v in points)
        seconds = " ".join(f"{s:.2f}" for s, _ in points.values())
        memory = " ".join(f"{m:.0f}" for _, m in points.values())
        print(f"| {name} | {values} | {seconds} | {slope(points, 0):.2f} | {memory} | {slope(points, 1):.2f} |")
    print("\nA step's time is linear in the batch and the pixels (slope 2 of the side) and quadratic in the width "
          "where products of matrices fill it.")  # fmt: skip


def draw(curves: dict[str, Points], path: Path) -> None:
    """Seconds and megabytes, log over log."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for which, (axis, label) in enumerate(zip(axes, ("seconds", "MB"), strict=True)):
        for name, points in curves.items():
            ys = [p[which] for p in points.values()]
            axis.loglog(list(points), ys, "o-", label=f"{name}: slope {slope(points, which):.2f}")
        axis.set(xlabel="batch, side, width or frames", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
