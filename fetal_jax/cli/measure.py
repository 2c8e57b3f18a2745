"""`fetal-jax measure PATH... --out=DIR`"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.errors import UserError
from fetal_jax.inference import Predictor
from fetal_jax.inference.folder import Spacings, find_files, measure_files
from fetal_jax.notice import NOT_CLINICAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="an image, or a folder of them")
    parser.add_argument("--bundle", type=Path, default=bundle.DEFAULT, help="default: the one that is shipped")
    spacing = parser.add_mutually_exclusive_group()
    spacing.add_argument("--spacing-mm", type=float, help="millimetres per pixel of every frame")
    spacing.add_argument("--spacing-csv", type=Path, help="filename,spacing_mm, or HC18's own table")
    parser.add_argument("--plane", default="auto", choices=["auto", "head", "abdomen", "femur"])
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Measure every file; returns 3 where one could not be read."""
    counts = measure_paths(args.paths, args.bundle, _spacings(args), args.plane, args.out)
    return 3 if counts.get("error") else 0


def _spacings(args: argparse.Namespace) -> Spacings:
    if args.spacing_csv:
        return Spacings.read(args.spacing_csv)
    if args.spacing_mm is None:
        return Spacings("none")
    if not 0 < args.spacing_mm < 100:
        raise UserError(f"--spacing-mm={args.spacing_mm} is not a size of a pixel in millimetres")
    return Spacings("flag", constant=args.spacing_mm)


def measure_paths(paths: list[Path], folder: Path, spacings: Spacings, plane: str, out: Path) -> dict[str, int]:
    """Measure files and folders with a bundle into `out`; returns how many rows have each status."""
    predictor = Predictor.from_bundle(folder)
    predictor.check_plane(plane)
    files = find_files(paths)
    counts: dict[str, int] = {}
    for row in tqdm(measure_files(predictor, files, spacings, plane, out), total=len(files), unit="frame"):
        counts[row["status"]] = counts.get(row["status"], 0) + 1
        if row["status"] == "error":
            tqdm.write(f"error: {row['reason']}")
    told = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    print(f"{told}. See {out / 'measurements.csv'} and {out / 'overlays'}. {NOT_CLINICAL}")
    return counts
