"""`fetal-jax export --workdir=DIR... --out=BUNDLE [--best] [--metrics=METRICS.json]`"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workdir", required=True, action="append", help="folder of a run; several: export the mean of their weights"
    )
    parser.add_argument("--out", required=True, help="directory of the bundle")
    parser.add_argument(
        "--best", action="store_true", help="export the checkpoint with the lowest validation score, not the newest"
    )
    always = "accepted for older scripts: ONNX is always written, with half-precision weights"
    parser.add_argument("--onnx", "--half", action="store_true", help=always)
    parser.add_argument("--metrics", type=Path, help="metrics.json of fetal-jax evaluate, to include in the bundle")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Write the bundle, and print its files with their sizes."""
    from etils import epath  # --help must work in every installation

    from fetal_jax import bundle, export

    out = epath.Path(args.out)
    workdirs = [epath.Path(w) for w in args.workdir]
    export.write_bundle(workdirs, out, args.metrics, args.best)
    for note in [] if args.best else filter(None, map(export.better_kept, workdirs)):
        print(note)
    sizes = [f"{name} {len((out / name).read_bytes()) / 1e6:.1f} MB" for name in bundle.read(out).files]
    print(f"{out}: {', '.join(sizes)}")
