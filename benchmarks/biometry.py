"""The measuring step alone: errors on maps whose truth is known, and milliseconds beside OpenCV's usual recipe.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/biometry.py [--name SET] [--data-dir DIR] [--maps N]

Heads are those of a prepared data set, by default HC18's; femurs are synthetic. The usual recipe thresholds the map,
takes the outline of its largest region and fits an ellipse, or for a femur the smallest rectangle. Times are CPU times
of one core, on 256x256 maps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
from rounds import parser

from fetal_jax import geometry
from fetal_jax.biometry import measure
from fetal_jax.data.source import Split, splits
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.preprocess import Letterbox
from fetal_jax.training.targets import coverage

Array = Any
LARGE, SMALL = (176, 256), (96, 128)
HEAD, BONE = Ellipse(128.3, 127.6, 92.0, 71.0, 0.4), Shaft(60.0, 100.0, 190.0, 140.0, 9.0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--name", default="hc18/benchmark")
    options.add_argument("--maps", type=int, help="of each kind; default: all heads, 400 femurs")
    args = options.parse_args()
    cv2.setNumThreads(1)
    try:
        heads = [*read_heads(args.name, args.data_dir)][: args.maps]
    except UserError as e:
        raise SystemExit(f"error: {e}") from None
    rng = np.random.default_rng(0)
    print("| map | maps | bias, mm | MAE, mm | largest, mm | no value |\n|---|---|---|---|---|---|")
    for size in (LARGE, SMALL):
        fitted = [fit(head, spacing, shape, size) for head, spacing, shape in heads]
        row(f"head, {size[1]}x{size[0]}", [head_error(exact_map(e, size), e, mm) for e, mm in fitted])
        if size == LARGE:
            row("head, binary map", [head_error(exact_map(e, size) > 0.5, e, mm) for e, mm in fitted])
            row("head, 70-95 % of the outline in the frame", [cut_error(rng, e, mm, size) for e, mm in fitted])
            jittered = [jittered_error(rng, e, mm, size) for e, mm in fitted]
            row("head, outline jittered by 1 pixel, 5 % dragged outwards", jittered)
    row("femur, 10-80 mm, bowed by up to 8 %", [femur_error(rng) for _ in range(args.maps or 400)])
    times(repeats=3 if args.maps else 300)


def read_heads(name: str, data_dir: Path) -> Any:
    """Yield (ellipse, spacing, frame's shape) of every split.

    Raises:
      UserError: the data set is not prepared.
    """
    for part in splits(name, data_dir) or ("train",):  # `Split` says how to prepare it
        split = Split(name, part, data_dir)
        for frame in (split[i] for i in range(len(split))):
            if frame.plane == "head" and isinstance(frame.shape, Ellipse):
                yield frame.shape, frame.spacing_mm, frame.image.shape


def fit(head: Ellipse, spacing: float, shape: tuple[int, int], size: tuple[int, int]) -> tuple[Ellipse, float]:
    """Letterbox a head; with the spacing of the letterboxed frame."""
    to_network = Letterbox(*size).to_network(shape)
    return head.transform(to_network), spacing / float(np.sqrt(np.linalg.det(to_network[:, :2])))


def exact_map(shape: Ellipse | Shaft, size: tuple[int, int]) -> Array:
    """Exact coverage map of a shape."""
    kind = GEOMETRIES.index("ellipse" if isinstance(shape, Ellipse) else "shaft")
    return np.asarray(coverage(jnp.asarray([kind]), jnp.asarray(np.asarray(shape, np.float32))[None], size))[0]


def head_error(probability: Array, head: Ellipse, spacing: float, frame: Any = None) -> float:
    """Measured less true HC, mm."""
    found = measure(np.asarray(probability, np.float32), "head", spacing, frame=frame).hc_mm
    return np.nan if found is None else found - spacing * head.perimeter


def cut_error(rng: np.random.Generator, head: Ellipse, spacing: float, size: tuple[int, int]) -> float:
    """Error where 70 to 95 % of the outline is inside the frame."""
    seen, (x, _) = rng.uniform(0.70, 0.95), head.points(720).T
    edge = float(np.floor(np.quantile(x, seen)))
    probability = np.where(np.arange(size[1]) < edge, exact_map(head, size), 0)
    return head_error(probability, head, spacing, (0.0, 0.0, edge, float(size[0])))


def jittered_error(rng: np.random.Generator, head: Ellipse, spacing: float, size: tuple[int, int]) -> float:
    """Error where the outline is off by 1 pixel (SD, alike over a few degrees) and 5 % of it is dragged outwards."""
    n = 360
    noise = cv2.GaussianBlur(rng.standard_normal((3 * n, 1)), (1, 0), 1, None, 2)[n : 2 * n, 0]
    off = noise / noise.std()
    start = rng.integers(n)
    off[(start + np.arange(n // 20)) % n] += rng.uniform(4, 10)
    points = head.points(n)
    normal = (points - (head.cx, head.cy)) @ np.linalg.inv(head.axes_matrix @ head.axes_matrix.T)
    points = points + off[:, None] * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return head_error(filled(points, size, 8), head, spacing)


def femur_error(rng: np.random.Generator, size: tuple[int, int] = LARGE) -> float:
    """Measured FL less the distance between the two ends, mm, of a bone bowed by up to 8 % of its length."""
    spacing = rng.uniform(0.3, 0.7)
    length, angle = rng.uniform(10, min(80, 150 * spacing)) / spacing, rng.uniform(-np.pi, np.pi)
    width = min(rng.uniform(2, 6), length / 4)
    s = np.linspace(-0.5, 0.5, 200)
    middle = np.column_stack([s * length, rng.uniform(-0.08, 0.08) * length * (1 - 4 * s**2)])
    slope = np.gradient(middle, axis=0)
    normal = np.column_stack([-slope[:, 1], slope[:, 0]]) / np.linalg.norm(slope, axis=1, keepdims=True)
    outline = np.concatenate([middle + normal * width / 2, (middle - normal * width / 2)[::-1]])
    affine = geometry.affine(1.0, angle, (size[1] / 2 + rng.uniform(-3, 3), size[0] / 2 + rng.uniform(-3, 3)))
    found = measure(filled(geometry.apply(affine, outline), size, 16), "femur", spacing).fl_mm
    return np.nan if found is None else found - spacing * length


def filled(outline: Array, size: tuple[int, int], fine: int) -> Array:
    """Coverage of a polygon, from a canvas `fine` times as fine."""
    canvas = np.zeros((fine * size[0], fine * size[1]), np.uint8)
    cv2.fillPoly(canvas, [np.round(outline * fine).astype(np.int32)], 1)
    return canvas.reshape(size[0], fine, size[1], fine).mean((1, 3))


def row(name: str, errors: list[float]) -> None:
    e = np.array(errors)
    lost, e = np.isnan(e).sum(), e[~np.isnan(e)]
    figures = f"{e.mean():+.3f} | {np.abs(e).mean():.3f} | {np.abs(e).max():.3f}"
    print(f"| {name} | {len(errors)} | {figures} | {lost} |", flush=True)


def times(repeats: int) -> None:
    """Print milliseconds and the error of `measure` and of the usual recipe on a soft map."""
    print("\n| plane | by | median ms | least ms | error, mm |\n|---|---|---|---|---|")
    for plane in ("head", "abdomen", "femur"):
        shape: Any = BONE if plane == "femur" else HEAD
        soft = np.clip(cv2.GaussianBlur(exact_map(shape, (256, 256)), (0, 0), 1.2), 0, 1)  # as soft as a network's
        truth = 0.5 * (shape.length if plane == "femur" else shape.perimeter)
        ours, usual = lambda m=soft, p=plane: measure(m, p, 0.5).primary_mm, lambda m=soft, p=plane: recipe(m, p)
        for name, method in (("measure", ours), ("OpenCV", usual)):
            cells = " | ".join(f"{t:.2f}" for t in milliseconds(method, repeats))
            print(f"| {plane} | {name} | {cells} | {method() - truth:+.3f} |")


def recipe(probability: Array, plane: str) -> float:
    """Millimetres by findContours with fitEllipse or minAreaRect of the binary map."""
    outlines, _ = cv2.findContours((probability > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    if plane == "femur":
        return 0.5 * max(cv2.minAreaRect(largest)[1])
    _, diameters, _ = cv2.fitEllipse(largest)
    return 0.5 * float(geometry.perimeter(max(diameters) / 2, min(diameters) / 2))


def milliseconds(call: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Median and least of the CPU time."""
    busy = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        busy.append(time.process_time() - start)
    return 1e3 * float(np.median(busy)), 1e3 * min(busy)


if __name__ == "__main__":
    main()
