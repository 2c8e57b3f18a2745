"""What the flags let through and what they cost, and whether the error estimate knows, on validation frames.

python benchmarks/flags.py > docs/flags.md

Each frame is measured as it is and spoilt in four ways, so that there is something to reject.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import spearmanr

from fetal_jax import bundle
from fetal_jax.biometry import FLAGS
from fetal_jax.data.source import Split
from fetal_jax.inference import Predictor

Array = Any
BAD = 0.05  # relative error from which the millimetres should not be used


def noisy(frame: Array, seed: int = 0) -> Array:
    """Speckle over everything."""
    noise = np.random.default_rng(seed).standard_normal(frame.shape)
    return np.clip(frame + 60 * noise, 0, 255).astype(np.uint8)


SPOILT: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda f: f,
    "blurred": lambda f: cv2.GaussianBlur(f, (0, 0), 9),
    "dark": lambda f: (0.12 * f).astype(np.uint8),
    "noisy": noisy,
    "half in shadow": lambda f: np.where(np.arange(f.shape[1]) < f.shape[1] // 2, f, f // 20).astype(np.uint8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--name", default="hc18/benchmark")
    parser.add_argument("--bundle", type=Path, default=bundle.DEFAULT)
    args = parser.parse_args()
    predictor, frames = Predictor.from_bundle(args.bundle), Split(args.name, "validation", args.data_dir)
    print("# Flags\n\nResearch software. Not for clinical use.\n\n| flag | meaning and threshold |\n|---|---|")
    for flag, meaning in FLAGS.items():
        print(f"| {flag} | {meaning} |")
    print(f"\nOn the {len(frames)} validation frames of {frames.dataset}, measured by the shipped bundle, "
          f"as they are and spoilt.\nA measurement is bad where it is off by over {BAD:.0%} or nothing was found "
          "(`python benchmarks/flags.py`).\n")  # fmt: skip
    print("| frames | good | of them rejected | bad | of them let through | flags |\n|---|---|---|---|---|---|")
    as_it_is = []
    for name, spoil in SPOILT.items():
        good, bad, flags = Counter[bool](), Counter[bool](), Counter[str]()
        for i in range(len(frames)):
            frame = frames[i]
            shape = (frame.image.shape[0], frame.image.shape[1])
            probability = predictor.predict([spoil(frame.image)], [frame.spacing_mm])[0].probability
            found = predictor.measure_map(probability, "head", shape, frame.spacing_mm)
            true = frame.truth_mm["hc_mm"]
            off = np.inf if found.hc_mm is None else abs(found.hc_mm - true)
            (bad if off > BAD * true else good)[found.accepted] += 1
            flags.update(found.flags)
            if name == "as it is" and found.sd_mm is not None:
                as_it_is.append((off, found.sd_mm))
        told = ", ".join(f"{flag} {n}" for flag, n in flags.most_common())
        print(f"| {name} | {good.total()} | {good[False]} | {bad.total()} | {bad[True]} | {told} |", flush=True)
    errors, sds = np.array(as_it_is).T
    within = [np.mean(errors <= k * sds) for k in (1, 2)]
    rank = spearmanr(errors, sds)[0]
    print(f"\nThe error estimate `sd_mm` on the frames as they are: rank correlation with the error {rank:.2f}, "
          f"{within[0]:.0%} within one, {within[1]:.0%} within two of it (a normal law: 68 and 95 %).")  # fmt: skip


if __name__ == "__main__":
    main()
