"""A shipped network as ONNX Runtime and XLA run it, and in eight bits: milliseconds a frame, and how far HC moves.

python benchmarks/runtimes.py [--bundle default] [--frames N] [--name hc18/benchmark --data-dir DIR]     (needs onnx)

HC is measured on validation frames. `int8`: convolutions quantised by ONNX Runtime, calibrated on training frames.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from rounds import parser

from fetal_jax import bundle
from fetal_jax.data.source import Split
from fetal_jax.inference import Predictor, runtimes
from fetal_jax.preprocess import to_grey

REPEATS = 20


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--bundle", default="default", help="a shipped bundle or a folder; default: %(default)s")
    options.add_argument("--name", default="hc18/benchmark", help="a prepared data set; default: %(default)s")
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--frames", type=int, help="default: all")
    args = options.parse_args()
    folder = bundle.find(args.bundle)
    info, whole = bundle.read(folder), folder / bundle.ONNX
    split, training = (Split(args.name, part, args.data_dir) for part in ("validation", "train"))
    frames = [split[i] for i in range(len(split))][: args.frames]
    letterbox = Predictor.from_bundle(folder).letterbox
    some = [training[i] for i in range(0, min(64, len(training)), 2)]
    shown = [letterbox(to_grey(f.image), f.spacing_mm)[None, ..., None] for f in some]
    with tempfile.TemporaryDirectory() as made:
        files, single = {"ONNX Runtime": whole, "int8": Path(made, "int8.onnx")}, Path(made, "single.onnx")
        quant_pre_process(whole, single, skip_symbolic_shape=True)  # weights in float32, which `quantise` looks for
        quantise(onnx.load(single), files["int8"], shown)
        ways = {way: session(path) for way, path in files.items()}
        kilobytes = {way: path.stat().st_size / 1000 for way, path in files.items()}
    if bundle.STABLEHLO in info.files:
        ways["XLA"] = runtimes.load(folder, info, "jax")
    times = milliseconds(ways, shown[0])

    print("| network | kB | ms per frame | HC found | mean change, mm | largest change, mm |")
    print("|---|---|---|---|---|---|")
    base: list[float | None] = []
    for way, forward in ways.items():
        predictor = Predictor(info, forward)
        found = [predictor.measure(f.image, f.spacing_mm, "head").hc_mm for f in frames]
        base = base or found
        moved = [abs(a - b) for a, b in zip(found, base, strict=True) if a is not None and b is not None]
        size, count = f"{kilobytes[way]:.0f}" if way in kilobytes else "", sum(f is not None for f in found)
        change = f"{np.mean(moved):.3f} | {max(moved):.3f}" if moved else " | "
        print(f"| {way} | {size} | {times[way]:.1f} | {count} of {len(frames)} | {change} |")


def session(path: Path) -> Any:
    made = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda frames: tuple(made.run(None, {"frames": frames}))


def quantise(graph: Any, out: Path, shown: list[Any]) -> None:
    """Quantise the convolutions statically, channel by channel; the first and the last layer stay as they are."""

    class Shown(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter([{"frames": f} for f in shown])

        def get_next(self) -> Any:
            return next(self._left, None)

    for i, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}{i}"
    convolutions = [n.name for n in graph.graph.node if n.op_type == "Conv"]
    ends = [convolutions[0], convolutions[-1]]
    form = {"quant_format": quantization.QuantFormat.QDQ, "per_channel": True, "op_types_to_quantize": ["Conv"]}
    quantization.quantize_static(graph, out, Shown(), nodes_to_exclude=ends, **form)


def milliseconds(ways: dict[str, Any], frames: Any) -> dict[str, float]:
    """Median of a forward pass of one frame, the ways in turns."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(REPEATS):
        for way, forward in ways.items():
            began = time.perf_counter()
            forward(frames)
            times[way].append(time.perf_counter() - began)
    return {way: 1e3 * float(np.median(seconds[2:])) for way, seconds in times.items()}


if __name__ == "__main__":
    main()
