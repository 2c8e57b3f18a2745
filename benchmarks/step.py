"""A train step and a forward pass: ours, PyTorch's and MONAI's, the same network, in alternating rounds.

python benchmarks/step.py [--quick]                         on this machine's CPU; make bench runs it
python benchmarks/step.py --device=gpu --dtype=bfloat16     on an accelerator (its PyTorch: PEER_PYTHON=.../python)

Then, of ours alone: the 2x2 stem against a plain network of as many parameters; the first step of a process, compiled
and taken from the cache; growth with the batch, the frame's side and the width, where a slope is that of the logarithms
over the upper half of the range (1: linear).
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from shutil import which

import numpy as np
from rounds import Result, alternate, ours, parser, peer, table

FOUR, FIVE = ["1", "2", "4", "8"], ["1", "2", "4", "8", "16"]
FACTS = ("parameters", "GFLOP per frame")
BASE = {"batch": 4, "side": 128, "width": 16}
GROWTH = {"batch": [2, 4, 8, 16, 32], "side": [64, 128, 256, 512], "width": [8, 16, 32, 64]}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--quick", action="store_true", help="fewer contestants and rounds")
    options.add_argument("--device", choices=("cpu", "gpu", "tpu"), default="cpu")
    options.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options.add_argument("--side", help="of a frame; default: 256, with --quick 128")
    options.add_argument("--width", default="32", help="default: %(default)s")
    args = options.parse_args()
    side = args.side or ("128" if args.quick else "256")
    where = [f"--device={args.device}", f"--dtype={args.dtype}", "--size", side, side]
    print(f"Batch 8, {side}x{side}, width {args.width}, {args.dtype}, {args.device}. PyTorch is channels-last.\n")
    network = [*where, f"--width={args.width}"]
    for levels in [FOUR] if args.quick else [FOUR, FIVE]:
        compare("step", levels, network, args.quick, args.device)
    compare("forward", FOUR, network, args.quick, args.device)
    if not args.quick:
        stem(where)
    first_step(where, 1 if args.quick else 3)
    growth(where, args.quick)


def compare(what: str, levels: list[str], network: list[str], quick: bool, device: str) -> None:
    """Print the table of a network with these levels."""
    common = [what, "--multipliers", *levels, *network]
    contestants = {"ours, XLA": ours("jax_unet.py", *common)}
    if what == "forward" and device == "cpu":
        contestants["ours, ONNX Runtime"] = ours("jax_unet.py", *common, "--way=onnx")
    if device != "tpu":
        contestants["PyTorch"] = peer("torch_unet.py", *common)
    if not quick and device != "tpu":
        if levels == FOUR and which("g++"):  # PyTorch compiles with it
            contestants["PyTorch, compiled"] = peer("torch_unet.py", *common, "--way=compile")
        if levels == FIVE:
            contestants["MONAI BasicUNet"] = peer("torch_unet.py", *common, "--way=monai")
    results = alternate(contestants, 3 if quick else 5)
    print(f"{'Train step' if what == 'step' else 'Forward pass'}, {len(levels)} levels ({same_network(results)}):\n")
    base = "PyTorch" if "PyTorch" in results else "ours, XLA"
    print(table(results, base, (*FACTS, "version")), end="\n\n", flush=True)


def same_network(results: dict[str, Result]) -> str:
    """Assert that both sides have the same parameters and FLOPs; a sentence about them."""
    if "PyTorch" not in results:
        return "no peer here"
    us, them = results["ours, XLA"].facts, results["PyTorch"].facts
    biases = them["upsampling_biases"]
    assert us["parameters"] == them["parameters"] + 3 * biases, (us, them)
    assert us["GFLOP per frame"] == them["GFLOP per frame"], (us, them)
    return (
        f"same FLOPs; same parameters but for up-sampling, where depth-to-space has a bias for each of four pixels: "
        f"{4 * biases} against {biases}"
    )


def stem(where: list[str]) -> None:
    """Print what the 2x2 stem saves: one level fewer, twice the width, the same parameters within 1 %."""
    print("The 2x2 stem's train step:\n")
    for width in (16, 32):
        plain = f"plain, width {width}, five levels"
        shapes = {
            plain: [f"--width={width}", "--multipliers", *FIVE],
            f"2x2 stem, width {2 * width}, four levels": [f"--width={2 * width}", "--multipliers", *FOUR, "--stem=2"],
        }
        contestants = {name: ours("jax_unet.py", "step", *where, *shape) for name, shape in shapes.items()}
        print(table(alternate(contestants, 5), plain, FACTS), end="\n\n", flush=True)


def first_step(where: list[str], rounds: int) -> None:
    """Print the seconds of a process's first step (traced, compiled, run): without and with the compilation cache."""
    shape = ["--width=16", "--multipliers", "1", "2", "4", "8", "8", "--stem=2", "--planes=1"]
    starts: dict[str, list[float]] = {"compiled": [], "from the cache": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
            for times in starts.values():
                times.append(
                    alternate({"it": ours("jax_unet.py", "step", *where, *shape)}, 1)["it"].facts["first step s"]
                )
    os.environ.pop("JAX_COMPILATION_CACHE_DIR")
    print("The first step of a process, `heads`' network:\n\n| start | median s | least s |\n|---|---|---|")
    for name, times in starts.items():
        print(f"| {name} | {np.median(times):.2f} | {min(times):.2f} |")


def growth(where: list[str], quick: bool) -> None:
    """Print seconds and memory of a step over the batch, the side and the width."""
    print(f"\nTrain steps at {', '.join(f'{k} {v}' for k, v in BASE.items())}, four levels, but for what is changed:\n")
    print("| cost over | values | seconds | slope | MB | slope |\n|---|---|---|---|---|---|")

    @cache  # the base is in each list
    def cost(batch: int, side: int, width: int) -> tuple[float, float]:
        shape = [f"--batch={batch}", "--size", str(side), str(side), f"--width={width}"]
        it = alternate({"it": ours("jax_unet.py", "step", *where[:2], *shape)}, 3)["it"]
        return it.least, it.facts["peak_mb"]

    for name, values in GROWTH.items():
        values = values[:2] if quick else values
        costs = [cost(**(BASE | {name: value})) for value in values]
        upper = slice((len(values) - 1) // 2, None)
        slopes = np.polyfit(np.log(values[upper]), np.log(costs[upper]), 1)[0]
        seconds, memory = " ".join(f"{s:.2f}" for s, _ in costs), " ".join(f"{m:.0f}" for _, m in costs)
        print(f"| {name} | {' '.join(map(str, values))} | {seconds} | {slopes[0]:.2f} | {memory} | {slopes[1]:.2f} |")


if __name__ == "__main__":
    main()
