"""A bundle on routine frames of another hospital: which planes it names, and its millimetres beside the calipers'.

python benchmarks/routine.py --bundle=BUNDLE --data-dir=runs/data [--half=dev|last]

FETAL_PLANES_DB (CC BY 4.0) with the calipers of the multi-centre biometry benchmark (CC BY-NC-SA 4.0), all splits of
`fetal-jax prepare fetal_planes/official`: a network that was trained on any of them has no business here. `dev` is
every other patient, for looking and mending; `last` the rest, for one last look.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fetal_jax.data.source import Split, builder
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.inference import Predictor
from fetal_jax.planes import PRIMARY

DATASET = "fetal_planes/official"
HALVES = ["dev", "last"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--half", choices=HALVES, help="default: all frames")
    args = parser.parse_args()
    predictor = Predictor.from_bundle(args.bundle)
    splits = [Split(DATASET, name, args.data_dir) for name in builder(DATASET, args.data_dir).info.splits]
    rows = [row for split in splits for row in evaluate_frames(predictor, split)]
    print_rows(rows if args.half is None else half_of(rows, args.half))


def half_of(rows: list[EvaluatedFrame], half: str) -> list[EvaluatedFrame]:
    """The frames of every other patient, in the order of their names."""
    patients = sorted({row.subject for row in rows})
    return [row for row in rows if row.subject in patients[HALVES.index(half) :: 2]]


def print_rows(rows: list[EvaluatedFrame]) -> None:
    """A line a frame, then the table."""
    right = 0
    for row in sorted(rows, key=lambda r: (r.plane, r.filename)):
        due = row.plane if row.plane in PRIMARY else "other"
        right += row.predicted_plane == due
        line = f"{row.filename:36} {row.plane:8} named {row.predicted_plane}" + (row.predicted_plane != due) * " (!)"
        if row.dice is not None:
            line += f"  Dice {row.dice:.3f}"
        if row.measure and row.true_mm and row.error_mm is not None:
            error = f"{row.error_mm:+.1f} mm ({row.error_mm / row.true_mm:+.1%})"
            line += f"  {row.measure[:2].upper()} {row.true_mm:.1f} {error}"
        print(line)
    print(f"planes: {right} of {len(rows)} right")
    for plane, measure in PRIMARY.items():
        part = [r for r in rows if r.measure == measure and r.dice is not None]
        if part:
            dice = np.array([r.dice for r in part])
            relative = np.abs([r.error_mm / r.true_mm for r in part if r.error_mm is not None and r.true_mm])
            known = relative[~np.isnan(relative)]
            print(f"{plane}: {len(part)} with calipers, Dice mean {dice.mean():.3f}, least {dice.min():.3f};")
            if len(known):
                told = f"{np.median(known):.1%} at the median, {known.max():.1%} at most"
                print(f"  millimetres off by {told}, {len(relative) - len(known)} not found")
            else:
                print("  none with a spacing and a figure")


if __name__ == "__main__":
    main()
