"""Draws the builders' `dummy_data/`: small folders in each set's layout, without any real frame.

python -m tests.support.dummy_data
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from fetal_jax.geometry import Ellipse, Shaft, mask
from tests.support import ROOT
from tests.support.folders import draw_fetal_planes, draw_hc18

BUILDERS = ROOT / "tfds_builders"


def hc18(home: Path) -> None:
    """Examinations whose numbers are drawn into test, calibration, validation and train; the benchmark tests on 000."""
    draw_hc18(home, examinations=(0, 1, 7, 19), size=(54, 80))
    for path in (home / "training_set").glob("*HC.png"):  # flat grey levels compress
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 64 * 64)
    (home / "test_set").mkdir()
    names = ["000_HC.png", "031_HC.png"]
    for i, name in enumerate(names):
        cv2.imwrite(str(home / "test_set" / name), np.full((54, 80), 40 + i, np.uint8))
    lines = ["filename,pixel size(mm)", *(f"{name},0.2" for name in names)]
    (home / "test_set_pixel_size.csv").write_text("\n".join(lines) + "\n")
    split = home / "landmarks" / "annotations" / "HC18" / "Head.csv"
    split.parent.mkdir(parents=True)
    split.write_text("image_name,Split\n000_HC.png,Test\n001_HC.png,Train\n")


def fetal_planes(home: Path) -> None:
    """Four women: one of the test flag, one of the benchmark's test, one drawn into validation."""
    draw_fetal_planes(home, women=(1, 3, 4, 17))


def folder(home: Path) -> None:
    """Four subjects with a head by its mask and a femur by its ends each."""
    (home / "masks").mkdir(parents=True)
    lines = ["filename,plane,spacing_mm,subject,device,x1,y1,x2,y2"]
    for i in range(4):
        head, femur = Ellipse(40.0 + i, 30.0, 25.0, 20.0, 0.2 * i), Shaft(15.0, 20.0 + i, 65.0, 35.0, 6.0)
        inside = mask(head, 60, 80).astype(np.uint8)
        cv2.imwrite(str(home / f"head{i}.png"), 30 + 120 * inside)
        cv2.imwrite(str(home / "masks" / f"head{i}.png"), 255 * inside)
        cv2.imwrite(str(home / f"femur{i}.png"), 30 + 180 * mask(femur, 60, 80).astype(np.uint8))
        lines.append(f"head{i}.png,head,2.0,s{i},drawn,,,,")
        lines.append(f"femur{i}.png,femur,0.5,s{i},drawn,{femur.x1},{femur.y1},{femur.x2},{femur.y2}")
    (home / "frames.csv").write_text("\n".join(lines) + "\n")


def write(draw, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    draw(home)


if __name__ == "__main__":
    for draw in (hc18, fetal_planes, folder):
        write(draw, BUILDERS / draw.__name__ / "dummy_data")
