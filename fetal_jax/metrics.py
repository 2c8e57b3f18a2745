"""Errors in millimetres, Dice, Hausdorff, plane accuracy: pure functions, used while training and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft

Array = NDArray[Any]


def dice(one: Array, other: Array) -> float:
    """2|A∩B| / (|A| + |B|) of two boolean masks; 1 where both are empty (Dice 1945)."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def hausdorff(one: Array, other: Array, spacing_mm: float) -> float:
    """Largest distance, in mm, from the border of one mask (H, W) to that of the other; NaN where one is empty.

    The border is the mask's pixels that touch the outside or the frame's edge.
    """
    borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) for m in (one, other)]
    if not all(len(b) for b in borders):
        return float("nan")
    a, b = (cKDTree(border) for border in borders)
    return spacing_mm * max(float(a.query(borders[1])[0].max()), float(b.query(borders[0])[0].max()))


def overlap(
    fitted: Ellipse | Shaft | None, true: Ellipse | Shaft, shape: tuple[int, int], spacing_mm: float
) -> tuple[float, float]:
    """(Dice, Hausdorff in mm) of two shapes, drawn at the frame's own resolution and clipped to it.

    A frame without a fitted shape has Dice 0 and no Hausdorff distance (NaN).
    """
    if fitted is None:
        return 0.0, float("nan")
    if isinstance(true, Shaft) and isinstance(fitted, Shaft) and np.isnan(true.width):
        fitted = Shaft.from_ends(fitted.ends, np.nan)  # the width was never annotated: the same rule draws both
    one, other = geometry.mask(fitted, *shape), geometry.mask(true, *shape)
    return dice(one, other), hausdorff(one, other, spacing_mm)


def error_summary(errors: ArrayLike) -> dict[str, float | int]:
    """Of signed errors (N,), NaN where there is no figure: mean absolute error, bias, SD, median and largest, how many.

    Frames without a figure are counted as `missing`, never averaged over.
    """
    e = np.asarray(errors, float)
    known = e[~np.isnan(e)]
    counts: dict[str, float | int] = {"frames": len(e), "missing": len(e) - len(known)}
    if not len(known):
        return counts
    size = np.abs(known)
    return counts | {
        "mae": float(size.mean()),
        "bias": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "median": float(np.median(size)),
        "max": float(size.max()),
    }


def recall(true: list[str], predicted: list[str]) -> dict[str, float]:
    """Share of each true class that is named as such."""
    pairs = list(zip(true, predicted, strict=True))
    return {c: float(np.mean([p == c for t, p in pairs if t == c])) for c in sorted(set(true))}


def accuracy(true: list[str], predicted: list[str]) -> float:
    """Share of all frames whose class is named right; NaN of none."""
    return float(np.mean([t == p for t, p in zip(true, predicted, strict=True)])) if true else float("nan")
