"""`fetal-jax measure PATH... --out=DIR`"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.inference import Predictor
from fetal_jax.inference.folder import measure_files
from fetal_jax.inference.runtimes import RUNTIMES
from fetal_jax.inference.spacing import Spacings
from fetal_jax.outputs import reports
from fetal_jax.outputs.results import Row
from fetal_jax.reading.sources import OVERLAYS, RESULTS, find

ALSO = ("svg", *reports.KINDS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="image, DICOM, zip archive, folder of them, or 'pattern*'"
    )
    told = "a folder, or one that is shipped: default, or heads"
    parser.add_argument("--bundle", type=bundle.find, default=bundle.DEFAULT, help=told)
    runtimes = "onnx; onnx-half: weights in half precision, where the bundle has them; jax: StableHLO"
    parser.add_argument("--runtime", choices=tuple(RUNTIMES), default="onnx", help=runtimes)
    spacing = parser.add_mutually_exclusive_group()
    spacing.add_argument("--spacing-mm", type=float, help="millimetres per pixel of every frame")
    spacing.add_argument("--spacing-csv", type=Path, help="filename,spacing_mm, or HC18's own table")
    spacing.add_argument("--spacing", choices=["ruler"], help="ruler: read the depth ruler that is burned in")
    parser.add_argument("--plane", default="auto", choices=["auto", "head", "abdomen", "femur"])
    parser.add_argument("--also", type=_kinds, default=(), metavar="KIND,...", help=f"also write {', '.join(ALSO)}")
    parser.add_argument("--hc18-submission", type=Path, metavar="FILE.csv", help="ellipses as HC18's board wants them")
    parser.add_argument("--out", type=Path, required=True)


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    if unknown := [k for k in kinds if k not in ALSO]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not written; {', '.join(ALSO)} are")
    return kinds


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Measure every file; returns 3 where one could not be read."""
    ellipses: list[Row] = []
    keep = ellipses.append if args.hc18_submission else None
    counts = measure_paths(
        args.paths, args.bundle, _spacings(args), args.plane, args.out, args.also, keep, args.runtime
    )
    if args.hc18_submission:
        from fetal_jax.outputs import hc18_submission

        print(hc18_submission.write_submission(ellipses, args.hc18_submission))
    return 3 if counts.get("error") else 0


def _spacings(args: argparse.Namespace) -> Spacings:
    if args.spacing_csv:
        return Spacings.read(args.spacing_csv)
    if args.spacing_mm is None:
        return Spacings(args.spacing or "none")
    if not 0 < args.spacing_mm < 100:
        raise UserError(f"--spacing-mm={args.spacing_mm} is not a size of a pixel in millimetres")
    return Spacings("flag", constant=args.spacing_mm)


def measure_paths(
    paths: list[Path],
    folder: Path,
    spacings: Spacings,
    plane: str,
    out: Path,
    also: tuple[str, ...] = (),
    keep: Callable[[Row], None] | None = None,
    runtime: str = "onnx",
) -> dict[str, int]:
    """Measure files and folders with a bundle into `out`; returns how many rows have each status.

    `keep` is given each row.
    """
    predictor = Predictor.from_bundle(folder, runtime)
    predictor.check_plane(plane, "--plane")
    found = find(paths, leave_out=out)
    counts: dict[str, int] = {}
    with tqdm(total=len(found.sources), unit="frame") as bar:
        for row in measure_files(predictor, found.sources, spacings, plane, out, also, tqdm.write, paths):
            counts[row["status"]] = counts.get(row["status"], 0) + 1
            if row["status"] == "error":
                tqdm.write(f"error: {row['reason']}")
            if keep:
                keep(row)
            bar.total += row["frame"] > 0  # how long a cine is shows when it is read
            bar.update()
    told = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    if found.left_out:
        others = ", ".join(f"{n} {suffix}" for suffix, n in found.left_out.most_common(5))
        print(f"left out, no frames by their names: {others}")
    print(f"{told}. See {out / RESULTS} and {out / OVERLAYS}. {NOT_CLINICAL}")
    return counts
