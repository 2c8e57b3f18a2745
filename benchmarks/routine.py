"""A bundle on routine frames of another hospital: the planes it names, and its millimetres beside the calipers'.

python benchmarks/routine.py --bundle=BUNDLE --data-dir=runs/data [--half=dev|last]

FETAL_PLANES_DB (CC BY 4.0) with the calipers of the multi-centre biometry benchmark (CC BY-NC-SA 4.0), all splits of
`fetal-jax prepare fetal_planes/official`: only for a network that was trained on none of them. `dev` is every other
patient, for looking and improving; `last` the rest, for one last look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rounds import parser

from fetal_jax.data.source import Split, builder
from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY, expected_class

DATASET = "fetal_planes/official"
HALVES, SPLITS = ["dev", "last"], ["test"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--bundle", type=Path, required=True)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--half", choices=HALVES, help="default: all frames")
    args = options.parse_args()
    predictor = Predictor.from_bundle(args.bundle)
    names = builder(DATASET, args.data_dir).info.splits or SPLITS  # of a set that is not prepared, Split says how
    rows = [row for name in names for row in evaluate_frames(predictor, Split(DATASET, name, args.data_dir))]
    if args.half:
        patients = sorted({row.subject for row in rows})[HALVES.index(args.half) :: 2]
        rows = [row for row in rows if row.subject in patients]
    right = [named_right(row) for row in sorted(rows, key=lambda r: (r.plane, r.filename))]
    print(f"planes: {sum(right)} of {len(rows)} right")
    for plane, measure in PRIMARY.items():
        part = [r for r in rows if r.measure == measure and r.dice is not None]
        dice = [r.dice for r in part]
        off = [abs(r.error_mm / r.true_mm) for r in part if r.error_mm is not None and r.true_mm]
        off = [share for share in off if not np.isnan(share)]
        if part:
            print(f"{plane}: {len(part)} with calipers, Dice mean {np.mean(dice):.3f}, least {min(dice):.3f}")
        if off:
            print(f"  millimetres of {len(off)}: off by {np.median(off):.1%} at the median, {max(off):.1%} at most")


def named_right(row: Any) -> bool:
    """Print the line of a frame; whether its plane is right (planes that are not measured count as `other`)."""
    right = bool(row.predicted_plane == expected_class(row.plane, tuple(row.planes)))
    line = f"{row.filename:36} {row.plane:8} named {row.predicted_plane}" + (not right) * " (!)"
    if row.dice is not None:
        line += f"  Dice {row.dice:.3f}"
    if row.measure and row.true_mm and row.error_mm is not None:
        error = f"{row.error_mm:+.1f} mm ({row.error_mm / row.true_mm:+.1%})"
        line += f"  {row.measure[:2].upper()} {row.true_mm:.1f} {error}"
    print(line)
    return right


if __name__ == "__main__":
    main()
