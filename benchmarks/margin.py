"""Frames with a margin that is not black, of folders of real frames: false alarms of `inference/margin.py`.

python benchmarks/margin.py FOLDER...      PNG files, in subfolders too; HC18's annotations are left out
"""

from __future__ import annotations

from pathlib import Path

from rounds import parser

from fetal_jax.inference import margin
from fetal_jax.preprocess import to_grey
from fetal_jax.reading.images import read_image


def main() -> None:
    options = parser(__doc__)
    options.add_argument("folders", nargs="+", type=Path)
    folders = options.parse_args().folders
    paths = [path for folder in folders for path in sorted(folder.rglob("*.png")) if "_Annotation" not in path.stem]
    if not paths:
        options.error(f"no PNG files in {', '.join(map(str, folders))}")
    deepest, alarms = (0.0, paths[0]), 0
    for path in paths:
        frame = to_grey(read_image(path))
        deepest = max(deepest, (margin.depth(frame), path))
        if margin.has_margin(frame):
            alarms += 1
            print(path)
    depth, path = deepest
    print(
        f"{alarms} of {len(paths):,} frames have a margin; the deepest one is {100 * depth:.1f} % of a side "
        f"({path.name})"
    )


if __name__ == "__main__":
    main()
