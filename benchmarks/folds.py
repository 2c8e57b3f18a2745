"""Heads, abdomens, femurs and planes on frames that no network has seen: each fold's network on the fold it left out.

python benchmarks/folds.py --fold=BUNDLE0 … --fold=BUNDLE4 [--manual-dir=PLANES] [--data-dir=runs/data]
python benchmarks/folds.py --bundle=BUNDLE --split=test …       one network on a split of its data sets

HC18's heads in millimetres; routine frames of FETAL_PLANES_DB relative, in pixels, to our outlines and, with the
folder of the data set in --manual-dir, to the benchmark's calipers (CC BY-NC-SA 4.0: for judging only). The plane is
given and no value withheld. Intervals are exact (Clopper-Pearson, 95 %).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rounds import parser
from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.splits import held_out
from fetal_jax.evaluation.statistics.exact import share_interval
from fetal_jax.geometry import size
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE, expected_class
from tfds_builders.fetal_planes import calipers, folder

HEADS, ROUTINE = "hc18/benchmark", "fetal_planes/outlines"
WITHIN = 0.08


@dataclass(frozen=True)
class Judged:
    """A frame, what a network measured, and the true sizes in the frame's pixels by who set them."""

    frame: Frame
    found: EvaluatedFrame
    true: dict[str, float]

    @property
    def off(self) -> dict[str, float]:
        """Signed relative error by who set the truth; -1 where nothing was found."""
        outline = self.found.found and (self.found.found.ellipse or self.found.found.shaft)
        return {who: (size(outline) if outline else 0.0) / true - 1 for who, true in self.true.items()}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--fold", type=bundle.find, action="append", default=[])
    options.add_argument("--bundle", type=bundle.find)
    options.add_argument("--split", default="test")
    options.add_argument("--manual-dir", type=Path)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    args = options.parse_args()
    networks = [Predictor.from_bundle(path) for path in args.fold]
    whole = [Predictor.from_bundle(args.bundle)] if args.bundle else []
    marked = calipers_of(args.manual_dir) if args.manual_dir else {}
    for dataset, lines in ((HEADS, heads), (ROUTINE, routine)):
        parts = [(network, held_out(network.info.training, dataset)) for network in networks]
        parts += [(network, args.split) for network in whole]
        judged = [
            one for network, split in parts for one in judge(network, Split(dataset, split, args.data_dir), marked)
        ]
        print("\n".join(lines(judged)))


def calipers_of(home: Path) -> dict[str, float]:
    """Size in pixels that the calipers give each frame, by file name."""
    home = folder.find(home)
    marks = calipers.read(calipers.find(home) or home, {row.frame.stem for row in folder.read(home)}).calipers
    return {name: size(each.shape) for name, each in marks.items() if each.shape}


def judge(network: Predictor, frames: Split, marked: dict[str, float]) -> Iterator[Judged]:
    own = [frames[i] for i in range(len(frames))]
    found = tqdm(evaluate_frames(network, own), total=len(own), unit="frame", desc=frames.name)
    for frame, evaluated in zip(own, found, strict=True):
        true = {"label": size(frame.shape)} if frame.shape else {}
        if frame.shape and frame.filename in marked:  # a frame without an outline of ours is not measured
            true["calipers"] = marked[frame.filename]
        yield Judged(frame, evaluated, true)


def heads(judged: list[Judged]) -> list[str]:
    """A line in millimetres."""
    errors = np.array([j.found.error_mm for j in judged], float)
    errors = errors[np.isfinite(errors)]
    failed = [j.frame.filename for j in judged if j.found.failed]
    return [
        f"HC18: {len(judged)} heads, MAE {abs(errors).mean():.2f} mm, median {np.median(abs(errors)):.2f}, "
        f"bias {errors.mean():+.2f}, {len(judged) - len(errors)} without a value, "
        f"failed {len(failed)} {' '.join(failed)}"
    ]


def routine(judged: list[Judged]) -> list[str]:
    """A line for the planes, and one for each plane and each truth, relative."""
    named = [(j.found.predicted_plane, expected_class(j.found.plane, tuple(j.found.planes or ()))) for j in judged]
    right = sum(seen == expected for seen, expected in named)
    found = [f"planes: {right} of {len(judged)} right, {exact(right, len(judged))}"]
    for plane in SHAPE_OF_PLANE:
        for who in ("label", "calipers"):
            off = np.array([j.off[who] for j in judged if j.frame.plane == plane and who in j.off])
            if len(off):
                near = int((abs(off) <= WITHIN).sum())
                found.append(
                    f"{PRIMARY[plane][:2].upper()} to {who}: within 8 % {near} of {len(off)}, {exact(near, len(off))}; "
                    f"median {np.median(abs(off)):.1%}, bias {np.median(off):+.1%} (median), "
                    f"off by over 10 % {(abs(off) > 0.1).sum()}"
                )
    return found


def exact(count: int, of: int) -> str:
    """A share with its exact interval, in per cent."""
    low, high = share_interval(count / of, of)
    return f"{100 * count / of:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
