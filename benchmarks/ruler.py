"""Spacing from the ruler beside marks read by hand and the calipers' own rate.

python benchmarks/ruler.py DATA        DATA holds fetal_planes/, sononet_examples/, landmarks/, hc18/
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from fetal_jax.preprocess import to_grey
from fetal_jax.reading import depth_ruler
from fetal_jax.reading.spacing import PixelSize
from tests.support.ruler_readings import BY_HAND, OTHER_VOLUSON, by_hand_mm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    calipers = read_rates(data / "landmarks" / "annotations" / "FP")
    hand = BY_HAND | OTHER_VOLUSON
    paths = {p.stem: p for p in [*data.glob("fetal_planes/Images/*.png"), *data.glob("sononet_examples/*.png")]}
    print("| frame | ruler mm | by hand mm | off % | calipers mm | off % | confidence |\n|---|---|---|---|---|---|---|")
    off = []
    for name, marks in hand.items():
        size, true = read(paths[name]), by_hand_mm(marks)
        if size.mm is None:
            print(f"| {name} | {size.reason.split(':')[0]} | {true:.5f} | | | | |")
            continue
        off.append(100 * (size.mm[0] / true - 1))
        rate = calipers.get(name)
        beside = f"{rate:.5f} | {100 * (rate / size.mm[0] - 1):+.1f}" if rate else " | "
        print(f"| {name} | {size.mm[0]:.5f} | {true:.5f} | {off[-1]:+.2f} | {beside} | {size.confidence:.2f} |")
    print(f"\n{len(off)} of {len(hand)} accepted, largest difference {np.abs(off).max():.2f} %")
    others = [p for name, p in paths.items() if name not in hand] + sorted(data.glob("hc18/training_set/*HC.png"))
    print(f"other machines and HC18: {sum(read(p).mm is not None for p in others)} of {len(others)} accepted")


def read(path: Path) -> PixelSize:
    return depth_ruler.read(to_grey(np.asarray(Image.open(path).convert("RGB"))))


def read_rates(folder: Path) -> dict[str, float]:
    """Millimetres per pixel of each frame, as the benchmark's calipers say."""
    rates = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as f:
            for row in csv.DictReader(f):
                name = next(v for v in row.values() if v and v.startswith("Patient"))
                if row["px_to_mm_rate"]:
                    rates[name.removesuffix(".png")] = float(row["px_to_mm_rate"])
    return rates


if __name__ == "__main__":
    main()
