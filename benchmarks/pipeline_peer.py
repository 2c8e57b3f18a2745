"""Augmented training frames a second: grain's threads and workers against a PyTorch DataLoader, in alternating rounds.

fetal-jax prepare hc18/benchmark --manual-dir DIR
python benchmarks/pipeline_peer.py [--name hc18/benchmark] [--data-dir runs/data] [--quick]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rounds import alternate, compete, ours, peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="hc18/benchmark")
    parser.add_argument("--data-dir", default="runs/data")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--contestant", type=int, help="be the one with so many workers; for the driver")
    parser.add_argument("--frames", type=int, default=1600)
    args = parser.parse_args()
    frames = prepared(args.name, args.data_dir)
    if args.contestant is not None:
        serve(frames, args.contestant, args.frames)
        return
    count = 320 if args.quick else args.frames
    print(f"Augmented frames of {args.name}, 224x288, batches of 16, all cores.\n")
    print("| workers | ours, frames/s | PyTorch, frames/s | ratio of medians |\n| --- | --- | --- | --- |")
    for workers in (0, 2):
        name = f"--contestant={workers}"
        us = ours("pipeline_peer.py", name, f"--name={args.name}", f"--data-dir={args.data_dir}", f"--frames={count}")
        them = peer("torch_pipeline.py", str(frames.folder), f"--workers={workers}", f"--frames={count}")
        results = alternate({"ours": us, "PyTorch": them}, 5)
        mine, other = (count / results[name].median for name in ("ours", "PyTorch"))
        print(f"| {workers} | {mine:.0f} | {other:.0f} | {mine / other:.2f} |", flush=True)


def prepared(name: str, data_dir: str) -> Any:
    """The decoded training frames."""
    from fetal_jax.data.decoded import decoded
    from fetal_jax.data.source import Split

    return decoded(Split(name, "train", Path(data_dir)))


def serve(frames: Any, workers: int, count: int) -> None:
    """Our side: batches of the recipe's defaults."""
    import grain

    from fetal_jax import config as recipe
    from fetal_jax.data.pipeline import training_batches

    config: Any = recipe.defaults()
    config.update({"input_shape": (224, 288), "planes": ("head",)})
    config.data.workers = workers
    batches = training_batches([frames], config)
    next(batches)

    def work() -> None:
        for _ in range(count // config.batch_size):
            next(batches)

    compete({"version": grain.__version__}, work)
    batches.close()


if __name__ == "__main__":
    main()
