"""How often each status is right, on validation frames as they are and spoilt, and the error estimate beside the error.

python benchmarks/flags.py [--name SET] [--bundle DIR]      prints the table of docs/flags.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rounds import parser
from scipy.stats import spearmanr

from fetal_jax import bundle
from fetal_jax.data.source import Split
from fetal_jax.inference import Predictor
from fetal_jax.inference.score import WRONG

Array = Any
BAD = WRONG["head"]
SPOILT: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda f: f,
    "blurred": lambda f: cv2.GaussianBlur(f, (0, 0), 9),
    "dark": lambda f: (0.12 * f).astype(np.uint8),
    "noisy": lambda f: np.clip(f + 60 * np.random.default_rng(0).standard_normal(f.shape), 0, 255).astype(np.uint8),
    "half in shadow": lambda f: np.where(np.arange(f.shape[1]) < f.shape[1] // 2, f, f // 20).astype(np.uint8),
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--name", default="hc18/benchmark")
    options.add_argument("--bundle", type=Path, default=bundle.DEFAULT)
    options.add_argument("--frames", type=int, help="default: the whole validation split")
    args = options.parse_args()
    predictor, split = Predictor.from_bundle(args.bundle), Split(args.name, "validation", args.data_dir)
    frames = [split[i] for i in range(len(split))][: args.frames]
    print(f"On {len(frames)} validation frames of {split.dataset}, measured by the bundle `{args.bundle.name}`.")
    print(f"A value is wrong if it is off by over {100 * BAD:.0f} %.\n")
    print("| frames | measured | of them wrong | review | of them wrong | refused | flags |")
    print("|---|---|---|---|---|---|---|")
    as_it_is = []
    for name, spoil in SPOILT.items():
        right, wrong, flags = Counter[str](), Counter[str](), Counter[str]()
        for frame in frames:
            result = predictor.measure(spoil(frame.image), frame.spacing_mm, "head")
            true = frame.truth_mm["hc_mm"]
            off = np.inf if result.hc_mm is None else abs(result.hc_mm - true)
            (wrong if off > BAD * true else right)[result.status] += 1
            flags.update(result.measurement.flags)
            if name == "as it is" and result.hc_mm is not None:
                as_it_is.append((off, result.measurement.sd_mm))
        listed = ", ".join(f"{flag} {n}" for flag, n in flags.most_common())
        counts = [f"{right[s] + wrong[s]} | {wrong[s]}" for s in ("measured", "review")]
        print(f"| {name} | {' | '.join(counts)} | {wrong['refused']} | {listed} |", flush=True)
    errors, sds = np.array(as_it_is).T
    within = [np.mean(errors <= k * sds) for k in (1, 2)]
    rank = spearmanr(errors, sds)[0]
    print(f"\nThe error estimate `sd_mm` on the frames as they are: rank correlation with the error {rank:.2f}, "
          f"{within[0]:.0%} within one, {within[1]:.0%} within two of it (a normal law: 68 and 95 %).")  # fmt: skip


if __name__ == "__main__":
    main()
