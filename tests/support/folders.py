"""Data-set folders drawn for tests: HC18, FETAL_PLANES_DB and a user's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fetal_jax.geometry import Ellipse, Shaft, mask
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.phantom import Phantom, draw
from tfds_builders.fetal_planes import calipers

PLANES = ("Other", "Fetal abdomen", "Fetal brain", "Maternal cervix", "Fetal femur", "Fetal thorax")

TABLE = "FETAL_PLANES_DB_data.csv"

FP = Path("landmarks", "annotations", "FP")

COMMON = "image_name,center_w,center_h,px_to_mm_rate,Split"

HEADERS = {s: f"{COMMON}," + ",".join(f"{d}_{i}_{a}" for d in ds for i in "12" for a in "xy")
           for s, ds in calipers.DIAMETERS.items()}  # fmt: skip

SMALL = Machine(240, 320, clear=True)


def draw_hc18(
    folder: Path, examinations: int | tuple[int, ...] = 12, size: tuple[int, int] = (540, 800)
) -> dict[str, Ellipse]:
    """A folder in HC18's layout, drawn by us: two frames an examination, one-pixel outlines, some leave the frame."""
    rng = np.random.default_rng(7)
    images = folder / "training_set"
    images.mkdir(parents=True)
    rows, shapes = ["filename,pixel size(mm),head circumference (mm)"], {}
    for examination in range(examinations) if isinstance(examinations, int) else examinations:
        for suffix in ("_HC", "_2HC"):
            name = f"{examination:03d}{suffix}"
            a = size[1] * rng.uniform(0.15, 0.32)
            centre = np.array(size[::-1]) * (0.5 + rng.uniform(-0.05, 0.05, 2))
            ellipse = Ellipse(*centre, a, a * rng.uniform(0.7, 0.85), rng.uniform(-1.5, 1.5))
            frame = (rng.uniform(20, 60, size) * 0.8).astype(np.uint8)
            points = np.round((ellipse.points(720) - 0.5) * 16).astype(np.int32)
            cv2.polylines(frame, [points], True, 220, max(size[1] // 160, 1), cv2.LINE_AA, 4)
            outline = np.zeros(size, np.uint8)
            cells = np.unique(np.floor(ellipse.points(20_000)).astype(int), axis=0)
            inside = (cells >= 0).all(1) & (cells < size[::-1]).all(1)
            outline[cells[inside, 1], cells[inside, 0]] = 255
            cv2.imwrite(str(images / f"{name}.png"), frame)
            cv2.imwrite(str(images / f"{name}_Annotation.png"), outline)
            spacing = rng.uniform(0.1, 0.2)
            rows.append(f"{name}.png,{spacing},{ellipse.perimeter * spacing}")
            shapes[f"{name}.png"] = ellipse
    (folder / "training_set_pixel_size_and_HC.csv").write_text("\n".join(rows) + "\n")
    return shapes


def draw_folder(folder: Path, frames: int = 24) -> list[Phantom]:
    """Own frames as docs/own-data.md lays them out: two a subject; heads by masks, the others by numbers."""
    (folder / "masks").mkdir(parents=True)
    lines, drawn = ["filename,plane,spacing_mm,subject,device,cx,cy,a,b,theta,x1,y1,x2,y2,width"], []
    for i in range(frames):
        plane = ("head", "abdomen", "femur", "other")[i % 4]
        phantom = draw(plane, 300_000 + i, SMALL)
        shape, name = phantom.shape, f"{i:03d}.png"
        cv2.imwrite(str(folder / name), phantom.image)
        ellipse = shaft = [""] * 5
        if plane == "head":
            cv2.imwrite(str(folder / "masks" / name), 255 * mask(shape, *phantom.image.shape).astype(np.uint8))
        elif isinstance(shape, Ellipse):
            ellipse = np.asarray(shape).tolist()
        elif isinstance(shape, Shaft):
            shaft = np.asarray(shape).tolist()
        lines.append(",".join(map(str, [name, plane, phantom.spacing_mm, f"s{i // 2:02d}", "drawn", *ellipse, *shaft])))
        drawn.append(phantom)
    (folder / "frames.csv").write_text("\n".join(lines) + "\n")
    return drawn


def draw_fetal_planes(home: Path, women: Iterable[int] = range(1, 31)) -> None:
    """A folder in the data set's layout, drawn by us: each woman has a frame of every plane; calipers in pixels."""
    (home / "Images").mkdir(parents=True)
    (home / FP).mkdir(parents=True)
    rng = np.random.default_rng(3)
    table = ["Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train "]
    marks = {structure: [header] for structure, header in HEADERS.items()}
    for woman in women:
        for k, plane in enumerate(PLANES, start=1):
            name = f"Patient{woman:05d}_Plane{k}_1_of_1"
            grey = np.kron(rng.integers(0, 90, (9, 12), dtype=np.uint8), np.ones((10, 10), np.uint8))
            cv2.imwrite(str(home / "Images" / f"{name}.png"), grey)
            table.append(f"{name};{woman};{plane};Not A Brain;Other;Aloka;{int(woman % 3 > 0)} ")
            common = f"{name}.png,60.0,45.0,1.0,{'Test' if woman % 4 == 0 and k == 3 else 'Train'}"
            if k in (2, 3):
                marks["Abdomen" if k == 2 else "Head"].append(f"{common},20,45,100,45,60,15,60,75")
            if k == 5:
                marks["Femur"].append(f"{common},30,45,80,45")
    (home / TABLE).write_text("\n".join(table) + "\n")
    for structure, lines in marks.items():
        (home / FP / f"{structure}.csv").write_text("\n".join(lines) + "\n")


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
