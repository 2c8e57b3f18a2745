"""A train step and a forward pass: ours against PyTorch's and MONAI's, the same network, in alternating rounds.

python benchmarks/step.py [--quick]                         on this machine's CPU; make bench runs it
python benchmarks/step.py --device=gpu --dtype=bfloat16     on an accelerator (its PyTorch: PEER_PYTHON=.../python)
"""

from __future__ import annotations

import argparse
import shutil

from rounds import Result, alternate, ours, peer, table

FOUR, FIVE = ["1", "2", "4", "8"], ["1", "2", "4", "8", "16"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer contestants and rounds")
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    args = parser.parse_args()
    side = "128" if args.quick else "256"
    where = [f"--device={args.device}", f"--dtype={args.dtype}", "--size", side, side]
    print(f"Batch 8, {side}x{side}, width 32, {args.dtype}, {args.device}. PyTorch is channels-last.\n")
    for levels in [FOUR] if args.quick else [FOUR, FIVE]:
        compare("step", levels, where, args.quick, args.device)
    compare("forward", FOUR, where, args.quick, args.device)


def compare(what: str, levels: list[str], where: list[str], quick: bool, device: str) -> None:
    """One table of a pass over the network with so many levels."""
    common = [what, "--multipliers", *levels, *where]
    contestants = {"ours, XLA": ours("jax_unet.py", *common)}
    if what == "forward" and device == "cpu":
        contestants["ours, ONNX Runtime"] = ours("jax_unet.py", *common, "--way=onnx")
    if device != "tpu":
        contestants["PyTorch"] = peer("torch_unet.py", *common)
    if not quick and device != "tpu":
        if levels == FOUR and shutil.which("g++"):  # which it compiles with
            contestants["PyTorch, compiled"] = peer("torch_unet.py", *common, "--way=compile")
        if levels == FIVE:
            contestants["MONAI BasicUNet"] = peer("torch_unet.py", *common, "--way=monai")
    results = alternate(contestants, 3 if quick else 5)
    print(f"{'Train step' if what == 'step' else 'Forward pass'}, {len(levels)} levels ({same_network(results)}):\n")
    base = "PyTorch" if "PyTorch" in results else "ours, XLA"
    print(table(results, base, ("parameters", "GFLOP a frame", "version")), end="\n\n", flush=True)


def same_network(results: dict[str, Result]) -> str:
    """A sentence on parameters and FLOPs.

    Raises:
      AssertionError: the two sides do not run the same network.
    """
    if "PyTorch" not in results:
        return "no peer here"
    us, them = results["ours, XLA"].facts, results["PyTorch"].facts
    biases = them["upsampling_biases"]
    assert us["parameters"] == them["parameters"] + 3 * biases, (us, them)
    assert us["GFLOP a frame"] == them["GFLOP a frame"], (us, them)
    return (
        f"same FLOPs; same parameters but for up-sampling, where depth-to-space has a bias for each of four pixels: "
        f"{4 * biases} against {biases}"
    )


if __name__ == "__main__":
    main()
