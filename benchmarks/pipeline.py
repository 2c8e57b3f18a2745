"""Augmented training frames a second from one core and from two, the first epoch included.

fetal-jax prepare hc18/benchmark --manual-dir DIR
python benchmarks/pipeline.py

Each line is a process of its own, held to so many cores. `start` is the wait for the first batch, which worker
processes spend on their imports; the first epoch begins after it. `CPU` is the time of the training process alone for
one frame: without workers the whole cost, which a busy machine hardly changes; with workers what they leave to it.
`all` switches on the augmentations that recipes leave off.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from fetal_jax import config as recipe
from fetal_jax.data.decoded import decoded
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split

SETTINGS = [(1, 0), (2, 0), (1, 1), (2, 2)]  # cores, worker processes
ALL = {"speckle": 0.2, "bands": 0.3, "shadow": 0.8, "border": 0.1, "calipers": True, "jpeg": 50.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="hc18/benchmark")
    parser.add_argument("--data-dir", default="runs/data")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    print("augmentation  cores  workers  start s  first epoch, later epochs frames/s  CPU ms/frame")
    for augmentation in ("recipe", "all"):
        for cores, workers in SETTINGS:
            setting = (args.name, args.data_dir, args.epochs, augmentation, cores, workers)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                start, first, later, cpu = fresh.submit(measure, *setting).result()
            print(f"{augmentation:12}  {cores:5}  {workers:7}  {start:7.2f}  {first:11.0f}  {later:21.0f}  {cpu:12.3f}")


def measure(
    name: str, data_dir: str, epochs: int, augmentation: str, cores: int, workers: int
) -> tuple[float, float, float, float]:
    """(seconds to the first batch, frames/s of the first epoch and of the later ones, CPU milliseconds a frame)."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    config: Any = recipe.defaults()
    config.update({"input_shape": (224, 288), "planes": ("head",)})
    config.data.update({"name": name, "dir": data_dir, "workers": workers})
    config.augment.update(ALL if augmentation == "all" else {})
    frames = decoded(Split(name, "train", data_dir))
    batches = training_batches([frames], config)
    count = len(frames) // config.batch_size
    epoch = count * config.batch_size
    clocks = [time.monotonic()]
    next(batches)
    clocks.append(time.monotonic())
    cpu = time.process_time()
    for _ in range(epochs):
        for _ in range(count):
            next(batches)
        clocks.append(time.monotonic())
    cpu = time.process_time() - cpu
    batches.close()
    start, first, later = clocks[1] - clocks[0], clocks[2] - clocks[1], clocks[-1] - clocks[2]
    return start, epoch / first, (epochs - 1) * epoch / later, 1e3 * cpu / (epochs * epoch)


if __name__ == "__main__":
    main()
