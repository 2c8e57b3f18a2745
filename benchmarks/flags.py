"""How often each status is right, on validation frames as they are and spoilt, and the error estimate beside the error.

python benchmarks/flags.py > docs/flags.md

Frames are measured as they are and spoilt in four ways, so that there is something to reject.
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
from fetal_jax.inference.acceptance import flag_words
from fetal_jax.inference.score import WRONG

Array = Any
BAD = WRONG["head"]


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


HEADER = """# Statuses and flags

Research software. Not for clinical use.

Every value has a status. `measured`: it stands by itself. `review`: a person must look at the outline; `reason` says
why. `refused`: there is no value; `reason` says why and what to do. (`error`: the file could not be read.)

A value is to be reviewed for any of these reasons:

- the network sees another plane than the one asked for, or is less than 80 % sure of the plane;
- the decoder warned about the file;
- a flag below, unless the bundle has a fitted score that weighs it;
- the bundle's score: the probability that HC is off by more than 5 %, or AC or FL by more than 8 %, is over its limit;
- the bundle was never calibrated: `fetal-jax evaluate --bundle=BUNDLE --calibrate`.

`nothing found`, `no spacing` and `implausible size` refuse. `leaves the frame` is only noted. `cut off`, `little is
seen` and `implausible shape` always ask for a review. The rule and the data that it was chosen on are in the bundle
(`acceptance` in `bundle.json`). The shipped bundles have no score yet: a value without a flag stands.

## Flags

The column `flags` has the first name, `reason` and the pictures the second.

| flag | in words | meaning and threshold |
|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--name", default="hc18/benchmark")
    parser.add_argument("--bundle", type=Path, default=bundle.DEFAULT)
    args = parser.parse_args()
    predictor, frames = Predictor.from_bundle(args.bundle), Split(args.name, "validation", args.data_dir)
    print(HEADER)
    for flag, meaning in FLAGS.items():
        print(f"| {flag} | {flag_words(flag, 'head', ' on the left side')} | {meaning} |")
    intro = f"On the {len(frames)} validation frames of {frames.dataset}, measured by the bundle `{args.bundle.name}`,"
    print(f"\n## How often a status is right\n\n{intro}\nas they are and spoilt. A value is wrong where it is off by "
          f"over {100 * BAD:.0f} % (`python benchmarks/flags.py`).\n")  # fmt: skip
    print("| frames | measured | of them wrong | review | of them wrong | refused | flags |")
    print("|---|---|---|---|---|---|---|")
    as_it_is = []
    for name, spoil in SPOILT.items():
        right, wrong, flags = Counter[str](), Counter[str](), Counter[str]()
        for i in range(len(frames)):
            frame = frames[i]
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
