"""One network, three ways to run it: a run's checkpoint in JAX, its bundle as StableHLO and in ONNX Runtime.

python benchmarks/parity.py --workdir runs/demo/train --bundle runs/demo/bundle [--frames 200] [FILES...]

Without FILES the frames are drawn ones of the bundle's planes, each with its spacing and its plane given.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fetal_jax import bundle, export
from fetal_jax.inference import Predictor
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.reading.images import read_image
from fetal_jax.training.live import live_predictor
from tfds_builders.fetal_phantom.phantom import draw

VALUES = ("hc_mm", "ac_mm", "fl_mm")
FIRST_SEED = 500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=200)
    args = parser.parse_args()
    config, params, _, _ = export.load_run(args.workdir)
    ways = {
        "checkpoint": live_predictor(config, params),
        "StableHLO": Predictor.from_bundle(args.bundle, "jax"),
        "ONNX": Predictor.from_bundle(args.bundle, "onnx"),
    }
    if bundle.HALF in ways["ONNX"].info.files:
        ways["ONNX half"] = Predictor.from_bundle(args.bundle, "onnx-half")
    planes = [p for p in ways["ONNX"].info.planes if p in SHAPE_OF_PLANE]
    worst = {pair: dict.fromkeys(("probability", "plane", *VALUES), 0.0) for pair in combinations(ways, 2)}
    measured = dict.fromkeys(VALUES, 0)
    for i in tqdm(range(args.frames)):
        plane = planes[i % len(planes)]
        image, spacing = _frame(args.files, i, plane)
        seen = {name: way.predict([image], [spacing])[0] for name, way in ways.items()}
        found = {
            name: ways[name].measure_map(s.probability, plane, image.shape[:2], spacing) for name, s in seen.items()
        }
        for one, other in worst:
            record = worst[one, other]
            off = np.abs(seen[one].probability - seen[other].probability).max()
            record["probability"] = max(record["probability"], float(off))
            record["plane"] += max(seen[one].planes, key=seen[one].planes.get) != max(  # type: ignore[arg-type]
                seen[other].planes,
                key=seen[other].planes.get,  # type: ignore[arg-type]
            )
            for value in VALUES:
                a, b = getattr(found[one], value), getattr(found[other], value)
                assert (a is None) == (b is None), f"frame {i}: {value} {one} {a}, {other} {b}"
                if a is not None:
                    record[value] = max(record[value], abs(a - b))
        for value in VALUES:
            measured[value] += getattr(found["ONNX"], value) is not None
    print(f"{args.frames} frames; measured: {measured}; largest differences (plane: frames that differ):")
    for (one, other), record in worst.items():
        print(f"{one:10} {other:10} " + "  ".join(f"{name} {value:.2g}" for name, value in record.items()))
    print("targets: probability 1e-4, plane 0, mm 0.02 (ONNX half: mm 0.05)")


def _frame(files: list[Path], i: int, plane: str) -> tuple[np.ndarray, float]:
    if files:
        return read_image(files[i % len(files)]), 0.1
    phantom = draw(plane, FIRST_SEED + i)
    return phantom.image, phantom.spacing_mm


if __name__ == "__main__":
    main()
