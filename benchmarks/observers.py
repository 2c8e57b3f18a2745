"""Agreement of our outlines with the benchmark's calipers and of the two readers, in relative size.

python benchmarks/observers.py --manual-dir DIR      DIR: the folder of FETAL_PLANES_DB, with landmarks/ in or beside it
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_planes import calipers, folder, outlines


def size(shape: Ellipse | Shaft) -> float:
    """Circumference or length in pixels."""
    return shape.perimeter if isinstance(shape, Ellipse) else shape.length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manual-dir", type=Path, required=True)
    home = folder.find(parser.parse_args().manual_dir)
    first, second = outlines.shapes(), outlines.shapes("second_reader.csv")
    table = folder.read(home)
    plane = {row.name: row.plane for row in table}
    marks = calipers.read(calipers.find(home) or home, {row.frame.stem for row in table}).calipers
    judged = {name: marks[name].shape for name in first if name in marks}
    for title, ours, theirs in (("ours to the calipers", first, judged), ("second reader to first", second, first)):
        for structure in ("abdomen", "femur", "head"):
            pairs = [(ours[n], theirs[n]) for n in ours if plane[n] == structure and theirs.get(n)]
            off = 100 * np.array([size(a) / size(b) - 1 for a, b in pairs])
            print(
                f"{structure}, {title}: {len(off)} frames, bias {off.mean():+.1f} %, SD {off.std(ddof=1):.1f} %, "
                f"median {np.median(abs(off)):.1f} %, within 8 % {np.mean(abs(off) < 8):.0%}"
            )


if __name__ == "__main__":
    main()
