"""The network of heads in fewer bits: milliseconds a frame, bytes, and how far HC moves on validation frames.

python benchmarks/precision.py [--quick]     (needs onnx, and `fetal-jax prepare hc18/...`)

`int8`: convolutions quantised by ONNX Runtime, calibrated on training frames. `bfloat16`: every weight and every
activation between layers rounded to it, which no CPU kernel of ONNX Runtime runs: its error alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

from fetal_jax import bundle
from fetal_jax.config import from_values
from fetal_jax.data.source import Split
from fetal_jax.inference import Predictor
from fetal_jax.model import onnx_graph, unet
from fetal_jax.preprocess import to_grey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--name", default="hc18/benchmark")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    folder = bundle.find("heads")
    info, whole = bundle.read(folder), folder / bundle.ONNX
    split = Split(args.name, "validation", args.data_dir)
    frames = [split[i] for i in range(min(len(split), 12 if args.quick else len(split)))]
    letterbox = Predictor.from_bundle("heads").letterbox
    training = Split(args.name, "train", args.data_dir)
    shown = [letterbox(to_grey(training[i].image), training[i].spacing_mm)[None, ..., None] for i in range(0, 64, 2)]

    with tempfile.TemporaryDirectory() as made:
        half, small = Path(made, "half.onnx"), Path(made, "int8.onnx")
        half.write_bytes(onnx_graph.half(onnx.load(whole)).SerializeToString())
        quantise(whole, small, shown)
        ways = {"float32": session(whole), "float16 weights": session(half), "int8": session(small)}
        sizes = {"float32": whole, "float16 weights": half, "int8": small}
        kilobytes = {name: path.stat().st_size / 1000 for name, path in sizes.items()}
    ways["bfloat16"] = bfloat16(whole, info)

    print("| network | kB | ms a frame | HC found | mean change, mm | largest change, mm |\n|---|---|---|---|---|---|")
    base: list[float | None] = []
    for name, forward in ways.items():
        predictor = Predictor(info, forward)
        found = [predictor.measure(f.image, f.spacing_mm, "head").measurement.hc_mm for f in frames]  # type: ignore[union-attr]
        base = base or found
        moved = [abs(a - b) for a, b in zip(found, base, strict=True) if a is not None and b is not None]
        count = sum(f is not None for f in found)
        size = f"{kilobytes[name]:.0f}" if name in kilobytes else ""
        speed = f"{milliseconds(forward, shown[0]):.1f}" if name in kilobytes else "not run by ONNX Runtime"
        print(f"| {name} | {size} | {speed} | {count} of {len(frames)} | {np.mean(moved):.3f} | {max(moved):.3f} |")


def session(path: Path) -> Any:
    made = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda frames: tuple(made.run(None, {"frames": frames}))


def quantise(whole: Path, out: Path, shown: list[Any]) -> None:
    """Static quantisation of the convolutions, channel by channel; the first and the last layer stay whole."""

    class Shown(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter([{"frames": f} for f in shown])

        def get_next(self) -> Any:
            return next(self._left, None)

    named = onnx.load(whole)
    for i, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}{i}"
    convolutions = [n.name for n in named.graph.node if n.op_type == "Conv"]
    quantization.quantize_static(
        named,
        out,
        Shown(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=[convolutions[0], convolutions[-1]],
    )


def bfloat16(whole: Path, info: Any) -> Any:
    """The network computed in bfloat16 by JAX."""
    config = replace(from_values(info.training["recipe"]).model, dtype="bfloat16")
    network = unet.from_config(config, len(info.planes))
    like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *info.input_shape, 1), jnp.uint8))["params"]
    params = onnx_graph.parameters(onnx.load(whole), like)
    run = jax.jit(lambda frames: network.apply({"params": params}, frames))
    return lambda frames: tuple(np.asarray(out) for out in run(frames))


def milliseconds(forward: Any, frames: Any) -> float:
    times = []
    for _ in range(20):
        began = time.perf_counter()
        forward(frames)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times[2:]))


if __name__ == "__main__":
    main()
