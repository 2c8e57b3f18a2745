"""Milliseconds of `measure` on one 256x256 map and one core, beside OpenCV's usual recipe, with the error of both.

Of the processor's time the median and the least, then the median on the wall's clock: on a busy machine they differ.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/measure.py

The recipe thresholds the map, takes the outline of its biggest region and fits it: an ellipse, or for a femur the
least rectangle.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np

from fetal_jax.biometry import measure
from fetal_jax.geometry import Ellipse, Shaft, perimeter
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training.targets import coverage

Array = Any
SIZE = (256, 256)
SPACING_MM = 0.5
HEAD, BONE = Ellipse(128.3, 127.6, 92.0, 71.0, 0.4), Shaft(60.0, 100.0, 190.0, 140.0, 9.0)
REPEATS = 300


def main() -> None:
    cv2.setNumThreads(1)
    for plane in ("head", "abdomen", "femur"):
        shape, kind = (BONE, "shaft") if plane == "femur" else (HEAD, "ellipse")
        drawn = coverage(jnp.asarray([GEOMETRIES.index(kind)]), jnp.asarray([shape], jnp.float32), SIZE)[0]
        soft = np.clip(cv2.GaussianBlur(np.asarray(drawn), (0, 0), 1.2), 0, 1)  # a network's map falls off so
        truth = SPACING_MM * (shape.length if isinstance(shape, Shaft) else shape.perimeter)
        ours, usual = lambda m=soft, p=plane: measure(m, p, SPACING_MM).primary_mm, lambda m=soft, p=plane: recipe(m, p)
        for name, method in (("measure", ours), ("OpenCV", usual)):
            median, least, wall = milliseconds(method)
            error = method() - truth
            print(f"{plane}, {name}: {median:.2f} ms (least {least:.2f}, wall {wall:.2f}), error {error:+.3f} mm")


def recipe(probability: Array, plane: str) -> float:
    """Millimetres by findContours with fitEllipse or minAreaRect of the binary map."""
    outlines, _ = cv2.findContours((probability > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    biggest = max(outlines, key=cv2.contourArea)
    if plane == "femur":
        return SPACING_MM * max(cv2.minAreaRect(biggest)[1])
    _, diameters, _ = cv2.fitEllipse(biggest)
    return SPACING_MM * float(perimeter(max(diameters) / 2, min(diameters) / 2))


def milliseconds(call: Callable[[], float]) -> tuple[float, float, float]:
    """Median and least of the processor's time, median of the wall's."""
    busy, wall = [], []
    for _ in range(REPEATS):
        start = time.process_time(), time.perf_counter()
        call()
        busy.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return 1e3 * float(np.median(busy)), 1e3 * min(busy), 1e3 * float(np.median(wall))


if __name__ == "__main__":
    main()
