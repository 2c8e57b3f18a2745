"""What the measuring step costs by itself: errors on maps whose truth is known (its time: `benchmarks/measure.py`).

python benchmarks/biometry.py [--data-dir DIR]

Heads are HC18's own ellipses (`fetal-jax prepare hc18/...`), or drawn ones without it; femurs are drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np

from fetal_jax import geometry
from fetal_jax.biometry import measure
from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.preprocess import Letterbox
from fetal_jax.training.targets import coverage

Array = Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--name", default="hc18/benchmark")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    heads = [*read_heads(args.name, args.data_dir)]
    rng = np.random.default_rng(0)
    for size in ((176, 256), (96, 128)):
        fitted = [fit(head, spacing, shape, size) for head, spacing, shape in heads]
        tell(f"heads, coverage, {size[1]}x{size[0]}", [head_error(drawn(e, size), e, mm) for e, mm in fitted])
        if size == (176, 256):
            tell("heads, binary", [head_error(drawn(e, size) > 0.5, e, mm) for e, mm in fitted])
            tell("heads, 70-95 % seen", [cut_error(rng, e, mm, size) for e, mm in fitted])
            tell("heads, outline jittered by 1 px, 5 % dragged", [jittered_error(rng, e, mm, size) for e, mm in fitted])
    tell("femurs, coverage, 256x176", [femur_error(rng) for _ in range(400)])


def read_heads(name: str, data_dir: Path) -> Any:
    """Ellipses of every split, their spacing and their frame's shape."""
    try:
        splits = [Split(name, s, data_dir) for s in ("train", "validation", "calibration", "test")]
    except UserError:
        rng = np.random.default_rng(1)
        for _ in range(300):
            a = rng.uniform(140, 300)
            yield Ellipse(400, 270, a, a * rng.uniform(0.7, 0.88), rng.uniform(-1.5, 1.5)), 0.15, (540, 800)
        return
    for split in splits:
        for i in range(len(split)):
            frame = split[i]
            yield frame.shape, frame.spacing_mm, frame.image.shape


def fit(head: Ellipse, spacing: float, shape: tuple[int, int], size: tuple[int, int]) -> tuple[Ellipse, float]:
    """A head in the letterboxed frame, and the size of that frame's pixels."""
    to_network = Letterbox(*size).to_network(shape)
    return head.transform(to_network), spacing / float(np.sqrt(np.linalg.det(to_network[:, :2])))


def drawn(shape: Ellipse | Shaft, size: tuple[int, int]) -> Array:
    """The exact coverage map of a shape."""
    kind = GEOMETRIES.index("ellipse" if isinstance(shape, Ellipse) else "shaft")
    return np.asarray(coverage(jnp.asarray([kind]), jnp.asarray(np.asarray(shape, np.float32))[None], size))[0]


def head_error(probability: Array, head: Ellipse, spacing: float, frame: Any = None) -> float:
    """HC found less HC true, mm."""
    found = measure(np.asarray(probability, np.float32), "head", spacing, frame=frame).hc_mm
    return np.nan if found is None else found - spacing * head.perimeter


def cut_error(rng: np.random.Generator, head: Ellipse, spacing: float, size: tuple[int, int]) -> float:
    """The same where the frame ends so that 70 to 95 % of the outline is seen."""
    seen, (x, _) = rng.uniform(0.70, 0.95), head.points(720).T
    edge = float(np.floor(np.quantile(x, seen)))
    probability = np.where(np.arange(size[1]) < edge, drawn(head, size), 0)
    return head_error(probability, head, spacing, (0.0, 0.0, edge, float(size[0])))


def jittered_error(rng: np.random.Generator, head: Ellipse, spacing: float, size: tuple[int, int]) -> float:
    """The same where the outline is off by 1 pixel (sd, alike over a few degrees) and 5 % of it is dragged outwards."""
    n = 360
    noise = cv2.GaussianBlur(rng.standard_normal((3 * n, 1)), (1, 0), 1, None, 2)[n : 2 * n, 0]
    off = noise / noise.std()
    start = rng.integers(n)
    off[(start + np.arange(n // 20)) % n] += rng.uniform(4, 10)
    points = head.points(n)
    normal = (points - (head.cx, head.cy)) @ np.linalg.inv(head.axes_matrix @ head.axes_matrix.T)
    points = points + off[:, None] * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    canvas = np.zeros((8 * size[0], 8 * size[1]), np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 8).astype(np.int32)], 1)
    return head_error(canvas.reshape(size[0], 8, size[1], 8).mean((1, 3)), head, spacing)


def femur_error(rng: np.random.Generator, size: tuple[int, int] = (176, 256)) -> float:
    """FL found less the distance between the two ends, mm; a bone bowed by up to 8 % of its length."""
    spacing = rng.uniform(0.3, 0.7)
    length, angle = rng.uniform(10, min(80, 150 * spacing)) / spacing, rng.uniform(-np.pi, np.pi)
    width = min(rng.uniform(2, 6), length / 4)
    s = np.linspace(-0.5, 0.5, 200)
    middle = np.column_stack([s * length, rng.uniform(-0.08, 0.08) * length * (1 - 4 * s**2)])
    slope = np.gradient(middle, axis=0)
    normal = np.column_stack([-slope[:, 1], slope[:, 0]]) / np.linalg.norm(slope, axis=1, keepdims=True)
    outline = np.concatenate([middle + normal * width / 2, (middle - normal * width / 2)[::-1]])
    place = geometry.affine(1.0, angle, (size[1] / 2 + rng.uniform(-3, 3), size[0] / 2 + rng.uniform(-3, 3)))
    canvas = np.zeros((16 * size[0], 16 * size[1]), np.uint8)
    cv2.fillPoly(canvas, [np.round(geometry.apply(place, outline) * 16).astype(np.int32)], 1)
    found = measure(canvas.reshape(size[0], 16, size[1], 16).mean((1, 3)), "femur", spacing).fl_mm
    return np.nan if found is None else found - spacing * length


def tell(name: str, errors: list[float]) -> None:
    e = np.array(errors)
    lost, e = np.isnan(e).sum(), e[~np.isnan(e)]
    print(
        f"{name}: {len(errors)} maps, bias {e.mean():+.4f}, MAE {np.abs(e).mean():.4f}, "
        f"max {np.abs(e).max():.4f} mm, lost {lost}",
        flush=True,
    )


if __name__ == "__main__":
    main()
