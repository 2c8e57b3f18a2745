"""Agreement of our outlines with the benchmark's calipers and of the two readers, in relative size.

python benchmarks/observers.py --manual-dir DIR      DIR: the folder of FETAL_PLANES_DB, with landmarks/ in or beside it
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rounds import parser

from fetal_jax.geometry import size
from tfds_builders.fetal_planes import calipers, folder, outlines


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--manual-dir", type=Path, required=True)
    home = folder.find(options.parse_args().manual_dir)
    first, second = outlines.shapes(), outlines.shapes("second_reader.csv")
    table = folder.read(home)
    plane = {row.name: row.plane for row in table}
    marks = calipers.read(calipers.find(home) or home, {row.frame.stem for row in table}).calipers
    judged = {name: marks[name].shape for name in first if name in marks}
    for title, ours, theirs in (("ours to the calipers", first, judged), ("second reader to first", second, first)):
        for structure in ("abdomen", "femur", "head"):
            pairs = [(ours[n], theirs[n]) for n in ours if plane[n] == structure and theirs.get(n)]
            sizes = np.array([[size(shape) for shape in pair] for pair in pairs])
            off = 100 * (sizes[:, 0] / sizes[:, 1] - 1)
            print(
                f"{structure}, {title}: {len(off)} frames, bias {off.mean():+.1f} %, SD {off.std(ddof=1):.1f} %, "
                f"median {np.median(abs(off)):.1f} %, within 8 % {np.mean(abs(off) < 8):.0%}"
            )


if __name__ == "__main__":
    main()
