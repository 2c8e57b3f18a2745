"""What a start costs: the first step of `configs/hc18.py`'s network, compiled anew and taken from the cache; and a
process from its call to one frame's millimetres, beside PyTorch's.

python benchmarks/starts.py FRAME [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from rounds import alternate, ours, peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    first_steps(1 if args.quick else 5)
    processes(args.frame, 1 if args.quick else 7)


def first_steps(rounds: int) -> None:
    shape = ["--size", "192", "288", "--width=16", "--multipliers", "1", "2", "4", "8", "8", "--stem=2", "--planes=1"]
    command = ours("jax_unet.py", "step", *shape)
    starts: dict[str, list[float]] = {"cold": [], "second": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
            for times in starts.values():
                times.append(alternate({"start": command}, 1)["start"].facts["first step s"])
    print("The first step of a training process: traced, compiled, run.\n")
    show(starts, "cold")


def processes(frame: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        told = ["--bundle=heads", "--plane=head", "--spacing-mm=0.1", f"--out={out}"]
        measure = [sys.executable, "-m", "fetal_jax.cli.main", "measure", frame, *told]
        commands = {"PyTorch, OpenCV": peer("torch_measure.py", frame), "fetal-jax measure": measure}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for i in range(rounds):
            for name in sorted(commands, reverse=i % 2 == 1):
                began = time.perf_counter()
                subprocess.run(commands[name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - began)
    print("\nA process from its call to its end, one frame measured by `heads` (ours with overlay and tables).\n")
    show(times, "PyTorch, OpenCV")


def show(times: dict[str, list[float]], base: str) -> None:
    print(f"| start | median s | least s | median / {base} |\n| --- | --- | --- | --- |")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} | {min(seconds):.2f} | {median / statistics.median(times[base]):.2f} |")


if __name__ == "__main__":
    main()
