"""How time and memory grow: with the batch, the frame's size, the width, the number of frames and of workers.

python benchmarks/costs.py [--quick] [--out FIGURE.png] [--frames FILES...] [--data-dir DIR --name SET]

Each point is a process of its own. A slope is that of the logarithms over the upper half of the range: 1 is linear.
Many frames are measured by a network of width 4, since what could grow is around it. As many as one likes:
python benchmarks/measure_folder.py FRAMES... --folder 0 --long 100000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import jax
import matplotlib
import numpy as np
from measure_folder import linked, watched
from rounds import alternate, ours

from fetal_jax import bundle
from fetal_jax import config as recipe
from fetal_jax.model import onnx_graph, unet
from fetal_jax.training.live import bundle_info

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Points = dict[float, tuple[float, float]]  # what was changed: (seconds, megabytes)
BASE = {"batch": 4, "side": 128, "width": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--frames", nargs="*", type=Path, default=[])
    parser.add_argument("--data-dir", default="runs/data")
    parser.add_argument("--name", default="", help="a data set whose training frames the pipeline serves")
    args = parser.parse_args()
    few = args.quick
    curves: dict[str, Points] = {}
    if not few:
        curves |= training(args.name, args.data_dir)
    if args.frames:
        counts = [1, 100] if few else [1, 10, 100, 300]
        curves["measure, frames"] = {n: measure(args.frames, n) for n in counts}
    with tempfile.TemporaryDirectory() as folder:
        small = small_frame(Path(folder)), f"--bundle={small_network(Path(folder))}"
        counts = [10, 100] if few else [10, 100, 1000]
        curves["measure, frames, small network"] = {n: measure([small[0]], n, small[1]) for n in counts}
    report(curves)
    if args.out:
        draw(curves, args.out)


def training(data: str, data_dir: str) -> dict[str, Points]:
    """What a train step and the pipeline cost."""
    curves = {}
    for name, values in {"batch": [2, 4, 8, 16, 32], "side": [64, 128, 256, 512], "width": [8, 16, 32, 64]}.items():
        curves[f"train step, {name}"] = {float(v): train_step(**{**BASE, name: v}) for v in values}
    if data:
        command = ["pipeline_peer.py", f"--name={data}", f"--data-dir={data_dir}", "--frames=1600"]
        curves["1600 training frames, workers"] = {n: serve([*command, f"--contestant={n}"]) for n in (1, 2, 4)}
    return curves


def train_step(batch: int, side: int, width: int) -> tuple[float, float]:
    """Least seconds of a step, and the most memory of its process."""
    shape = [f"--batch={batch}", "--size", str(side), str(side), f"--width={width}"]
    result = alternate({"step": ours("jax_unet.py", "step", *shape)}, 3)["step"]
    return result.least, result.facts["peak_mb"]


def serve(command: list[str]) -> tuple[float, float]:
    """Least seconds in which the pipeline serves its frames, and the most memory of the process that takes them."""
    result = alternate({"pipeline": ours(*command)}, 5)["pipeline"]
    return result.least, result.facts["peak_mb"]


def measure(frames: list[Path], count: int, *options: str) -> tuple[float, float]:
    """Seconds and memory of `fetal-jax measure` on a folder, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        study = linked(frames, count, Path(folder) / "study")
        _, seconds, memory = watched([study], Path(folder) / "out", [*options])
    return seconds, max(memory)


def small_frame(folder: Path) -> Path:
    """A bright ellipse in noise."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 60, (192, 288), dtype=np.uint8)
    cv2.ellipse(frame, (144, 96), (90, 66), 20, 0, 360, 200, 6)
    cv2.imwrite(str(folder / "small.png"), frame)
    return folder / "small.png"


def small_network(folder: Path) -> Path:
    """A bundle of a network of width 4 and two levels, at random."""
    config = recipe.defaults()
    config.update({"input_shape": (32, 48), "planes": ("head",)})
    config.model.update({"width": 4, "multipliers": (1, 2), "depths": (1, 1)})
    network = unet.from_config(config.model, 1)
    params = network.init(jax.random.key(0), np.zeros((1, *config.input_shape, 1), np.uint8))["params"]
    graph = onnx_graph.build(jax.tree.map(np.asarray, params), config.model, config.input_shape)
    out = folder / "bundle"
    out.mkdir()
    (out / bundle.ONNX).write_bytes(graph.SerializeToString())
    bundle.write(out, bundle_info(config))
    return out


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
    print("\nLinear is a slope of 1 for batch and frames, 2 for the side (pixels), 2 for the width (multiply-adds).")


def draw(curves: dict[str, Points], path: Path) -> None:
    """Seconds and megabytes, log over log."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for which, (axis, label) in enumerate(zip(axes, ("seconds", "MB"), strict=True)):
        for name, points in curves.items():
            axis.loglog(list(points), [p[which] for p in points.values()], "o-", label=name)
        axis.set(xlabel="batch, side, width, workers or frames", ylabel=label)
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
