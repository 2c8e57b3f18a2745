"""Data sets for a machine that can fetch nothing: smaller copies to carry there, and phantoms drawn there on all cores.

python benchmarks/accelerator_data.py --out=DIR [--data-dir=runs/data] [--longest=224] NAME...

Copies prepared data sets with frames of at most so many pixels a side; geometry and scale follow, millimetres stay. A
copy has the builder's name and version, and another fingerprint, since its geometry is in other pixels.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rounds import parser

from fetal_jax import geometry
from fetal_jax.data.source import Frame, Split, builder, splits
from fetal_jax.preprocess import warp
from tfds_builders import features

Examples = Iterable[tuple[Any, dict[str, Any]]]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("names", nargs="+", metavar="NAME")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--longest", type=int, default=224, help="side of a frame; default: %(default)s pixels")
    args = options.parse_args()
    for name in args.names:
        parts = {part: Split(name, part, args.data_dir) for part in splits(name, args.data_dir)}
        write(name, args.out, {part: shrunk(split, args.longest) for part, split in parts.items()})
        print(f"{name}: {sum(map(len, parts.values()))} frames")


def write(name: str, data_dir: Path, examples: dict[str, Examples]) -> None:
    """Write a data set as its builder would, with these examples of each split in place of its own."""
    made = builder(name, data_dir)
    made._split_generators = lambda _: examples
    made.download_and_prepare()


def shrunk(split: Any, longest: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Examples of a split with no side over `longest` pixels; smaller frames stay as they are."""
    for i in range(len(split)):
        yield f"{i:06d}", smaller(split[i], longest)


def smaller(frame: Frame, longest: int) -> dict[str, Any]:
    """The example of a frame, shrunk to at most `longest` pixels a side."""
    height, width = frame.image.shape
    scale = min(1.0, longest / max(height, width))
    to_small = geometry.affine(scale=scale)
    image = warp(frame.image, to_small, (round(height * scale), round(width * scale))) if scale < 1 else frame.image
    made = features.example(
        image,
        frame.plane or "other",
        frame.shape and frame.shape.transform(to_small),
        np.nan if frame.spacing_mm is None else frame.spacing_mm / scale,
        subject=frame.subject,
        device=frame.device,
        filename=frame.filename,
        millimetres=frame.truth_mm,
    )
    return made | {"plane": frame.plane or -1, "geometry": frame.geometry}


def draw(name: str, data_dir: Path, counts: dict[str, int]) -> None:
    """Draw the first phantoms of each split, as `fetal-jax prepare` does, but on all cores."""
    from tfds_builders.fetal_phantom import fetal_phantom_dataset_builder as phantoms

    kind = name.partition("/")[2]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:

        def drawn(first: int, count: int) -> Examples:
            seeds = range(first, first + count)
            return zip(seeds, pool.map(_example, seeds, [kind] * count, chunksize=8), strict=True)

        write(name, data_dir, {split: drawn(phantoms.FIRST_SEED[split], count) for split, count in counts.items()})


def _example(seed: int, kind: str) -> dict[str, Any]:
    from tfds_builders.fetal_phantom import fetal_phantom_dataset_builder as phantoms

    cv2.setNumThreads(1)
    planes = phantoms.PLANES[kind]
    return phantoms.example(planes[seed % len(planes)], seed, phantoms.MACHINES[kind])


if __name__ == "__main__":
    main()
