"""A shipped network, that of heads unless told otherwise, in ONNX Runtime and in XLA, in alternating rounds:
milliseconds a frame, memory.

python benchmarks/runtimes.py [--quick]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rounds import alternate, compete, ours

from fetal_jax import bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=bundle.find, default=bundle.find("heads"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--contestant", nargs=2, metavar=("RUNTIME", "BATCH"), help="be one; for the driver")
    args = parser.parse_args()
    if args.contestant:
        serve(args.bundle, args.contestant[0], int(args.contestant[1]))
        return
    print("| batch | ONNX Runtime, ms a frame | XLA, ms a frame | XLA / ONNX | memory MB |\n|---|---|---|---|---|")
    for batch in (1, 16):
        command = ["runtimes.py", f"--bundle={args.bundle}", "--contestant"]
        contestants = {name: ours(*command, name, str(batch)) for name in ("onnx", "jax")}
        results = alternate(contestants, 5 if args.quick else 20)
        onnx, jax = results["onnx"], results["jax"]
        memory = " · ".join(f"{r.facts['peak_mb']:.0f}" for r in (onnx, jax))
        times = [1e3 * r.median / batch for r in (onnx, jax)]
        print(f"| {batch} | {times[0]:.1f} | {times[1]:.1f} | {times[1] / times[0]:.2f} | {memory} |", flush=True)


def serve(folder: Path, runtime: str, batch: int) -> None:
    """One forward pass of random frames."""
    import numpy as np

    from fetal_jax.inference import runtimes

    info = bundle.read(folder)
    forward = runtimes.load(folder, info, runtime)
    frames = np.random.default_rng(0).integers(0, 255, (batch, *info.input_shape, 1), dtype=np.uint8)
    forward(frames)
    forward(frames)
    compete({"runtime": runtime}, lambda: forward(frames))


if __name__ == "__main__":
    main()
