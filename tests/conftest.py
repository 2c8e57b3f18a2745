"""A strict session: rank and dtype promotion raise, eight host devices, warnings are errors (pyproject.toml)."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import jax
import numpy as np
import pytest
from absl import flags

from fetal_jax.geometry import Ellipse, Shaft, mask
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.phantom import Phantom, draw

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
flags.FLAGS.mark_as_parsed()

ROOT = Path(__file__).parents[1]
SMALL = Machine(240, 320, clear=True)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests and their processes compile stays out of the user's cache."""
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_compilation_cache_dir", folder)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data, or a skip that says how to have it."""
    path = Path(os.environ.get("FETAL_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no real frames: set FETAL_DATA_DIR to the folder that holds hc18/")
    return path


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


@pytest.fixture
def hc18_folder(tmp_path: Path) -> Path:
    """A small drawn HC18, to be spoilt by the test."""
    draw_hc18(tmp_path / "hc18", examinations=3, size=(135, 200))
    return tmp_path / "hc18"
