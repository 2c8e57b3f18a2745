"""Augmented training frames per second: ours against a PyTorch DataLoader with OpenCV, in alternating rounds.

fetal-jax prepare hc18/benchmark --manual-dir DIR
python benchmarks/pipeline.py [--name hc18/benchmark] [--data-dir runs/data] [--quick]

`CPU ms` is the time of our training process for one frame: without workers the whole cost, with workers what remains
in that process. `all` adds the augmentations that the configurations leave off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rounds import alternate, compete, ours, parser, peer

ALL = {"speckle": 0.2, "bands": 0.3, "shadow": 0.8, "border": 0.1, "calipers": True, "jpeg": 50.0}
ROUNDS = 5


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--name", default="hc18/benchmark")
    options.add_argument("--data-dir", default="runs/data")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--frames", type=int, default=1600, help="in a round; default: %(default)s")
    options.add_argument("--contestant", type=int, help="be the one with so many workers; for the driver")
    options.add_argument("--all", action="store_true", help="all augmentations; for the driver")
    args = options.parse_args()
    frames = prepared(args.name, args.data_dir)
    if args.contestant is not None:
        serve(frames, args.contestant, args.frames, ALL if args.all else {})
        return
    count = 320 if args.quick else args.frames
    print(f"Augmented frames of {args.name}, 224x288, batches of 16, all cores.\n")
    print("| augmentation | workers | ours, frames/s | CPU ms | PyTorch, frames/s | ratio of medians |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, workers in (("default", 0), ("default", 2), ("all", 0), ("all", 2)):
        us = [f"--contestant={workers}", f"--name={args.name}", f"--data-dir={args.data_dir}", f"--frames={count}"]
        contestants = {"ours": ours("pipeline.py", *us, *(["--all"] if kind == "all" else []))}
        if kind == "default":
            them = [str(frames.folder), f"--workers={workers}", f"--frames={count}"]
            contestants["PyTorch"] = peer("torch_pipeline.py", *them)
        results = alternate(contestants, ROUNDS)
        rates = {name: count / r.median for name, r in results.items()}
        cpu = 1e3 * results["ours"].facts["cpu_s"] / (ROUNDS * count)
        beside = f"{rates['PyTorch']:.0f} | {rates['ours'] / rates['PyTorch']:.2f}" if "PyTorch" in rates else " | "
        print(f"| {kind} | {workers} | {rates['ours']:.0f} | {cpu:.2f} | {beside} |", flush=True)


def prepared(name: str, data_dir: str) -> Any:
    """The decoded training frames."""
    from fetal_jax.data.decoded import decoded
    from fetal_jax.data.source import Split

    return decoded(Split(name, "train", Path(data_dir)))


def serve(frames: Any, workers: int, count: int, augmentation: dict[str, Any]) -> None:
    """Compete with batches of the default configuration."""
    import cv2
    import grain

    from fetal_jax import config as configs
    from fetal_jax.data.pipeline import training_batches

    config: Any = configs.defaults()
    config.update({"input_shape": (224, 288), "planes": ("head",)})
    config.data.workers = workers
    config.augment.update(augmentation)
    cv2.setNumThreads(1)  # as `fetal-jax train` does
    batches = training_batches([frames], config)
    next(batches)

    def work() -> None:
        for _ in range(count // config.batch_size):
            next(batches)

    compete({"version": grain.__version__}, work)
    batches.close()


if __name__ == "__main__":
    main()
