"""Errors in millimetres, Dice, Hausdorff distance, plane accuracy, calibration: pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize, stats
from scipy.spatial import cKDTree

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.inference.predictor import tempered

Array = NDArray[Any]

BINS = 15
"""Bins of a reliability diagram."""


def dice(one: Array, other: Array) -> float:
    """2|A∩B| / (|A| + |B|) of two boolean masks (H, W); 1 if both are empty (Dice, Ecology 1945; 26: 297)."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


class Overlap(NamedTuple):
    """Overlap of two shapes. Distances in mm, NaN if a shape is empty or the spacing is unknown."""

    dice: float
    hausdorff_mm: float
    hausdorff95_mm: float
    surface_mm: float


def surface_distances(one: Array, other: Array, spacing_mm: float) -> tuple[Array, Array]:
    """Distance in mm of each border pixel of a mask (H, W) from the border of the other, both ways.

    The border is the mask's pixels that touch the outside or the frame's edge. Both are empty if one mask is.
    """
    borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) for m in (one, other)]
    if not all(len(b) for b in borders):
        return np.empty(0), np.empty(0)
    a, b = (cKDTree(border) for border in borders)
    return spacing_mm * b.query(borders[0])[0], spacing_mm * a.query(borders[1])[0]


def hausdorff(ways: tuple[Array, Array], percent: float = 100) -> float:
    """Largest of the distances of two borders, from `surface_distances`, in mm; NaN if there are none.

    With `percent` below 100, the larger of the two ways' percentiles (HD95; Taha & Hanbury, BMC Med Imaging 2015).
    """
    return max(float(np.percentile(way, percent)) for way in ways) if len(ways[0]) else float("nan")


def overlap(
    fitted: Ellipse | Shaft | None, true: Ellipse | Shaft, shape: tuple[int, int], spacing_mm: float
) -> Overlap:
    """Overlap of two shapes, drawn at the frame's own resolution and clipped to it.

    A frame without a fitted shape has Dice 0 and no distances (NaN).
    """
    if fitted is None:
        return Overlap(0.0, *[float("nan")] * 3)
    if isinstance(true, Shaft) and isinstance(fitted, Shaft) and np.isnan(true.width):
        fitted = Shaft.from_ends(fitted.ends, np.nan)  # the width is not annotated: both are drawn by the same rule
    one, other = geometry.mask(fitted, *shape), geometry.mask(true, *shape)
    ways = surface_distances(one, other, spacing_mm)
    surface = float(np.concatenate(ways).mean()) if len(ways[0]) else float("nan")
    return Overlap(dice(one, other), hausdorff(ways), hausdorff(ways, 95), surface)


def endpoint_error(found: ArrayLike, true: ArrayLike) -> float:
    """Normalised mean error: mean distance of two end points (2, 2), in the better order, over the true length.

    Di Vece et al., arXiv 2512.16710.
    """
    found, true = np.asarray(found, float), np.asarray(true, float)
    apart = min(np.hypot(*(f - true).T).mean() for f in (found, found[::-1]))
    return float(apart / np.hypot(*(true[1] - true[0])))


def error_summary(errors: ArrayLike) -> dict[str, Any]:
    """Summary of signed errors (N,): mean absolute error and bias, each with its SD, median and largest absolute error.

    In the unit of the errors; SD over n - 1, None for a single error. For HC in mm, `mae` and `bias` are ADF and DF of
    HC18 (van den Heuvel et al., PLoS ONE 2018; 13: e0200412). NaN is a frame without a measurement: it is counted as
    `missing` and left out of every mean.
    """
    e = np.asarray(errors, float)
    known = e[~np.isnan(e)]
    counts: dict[str, Any] = {"frames": len(e), "missing": len(e) - len(known)}
    if not len(known):
        return counts
    size = np.abs(known)
    return counts | {
        "mae": float(size.mean()),
        "mae_sd": float(size.std(ddof=1)) if len(known) > 1 else None,
        "bias": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else None,
        "median": float(np.median(size)),
        "max": float(size.max()),
    }


def within(errors: ArrayLike, true: ArrayLike, failed: ArrayLike, percent: float) -> Array:
    """Whether the error of each frame (N,) is at most `percent` of the true value: 1 or 0, NaN without a true value.

    A failure is 0, whatever its error; so is a frame without a measurement (error NaN).
    """
    errors, true = np.asarray(errors, float), np.asarray(true, float)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(errors) <= percent / 100 * true) & ~np.asarray(failed, bool)
    return np.where(np.isnan(true), np.nan, inside)


def confusion(true: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Confusion matrix (C, C) of class numbers (N,): rows are true classes, columns predicted ones."""
    cell = np.asarray(true, int) * classes + np.asarray(predicted, int)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(table: Array) -> float:
    """Mean recall over the classes that occur, of a confusion matrix (C, C)."""
    occurs = table.sum(1) > 0
    return float((np.diag(table)[occurs] / table.sum(1)[occurs]).mean())


def macro_f1(table: Array) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the classes that occur or are predicted, of a confusion matrix (C, C)."""
    both = table.sum(0) + table.sum(1)
    return float((2 * np.diag(table)[both > 0] / both[both > 0]).mean())


def auroc(positive: ArrayLike, score: ArrayLike) -> float:
    """Probability that a positive scores higher than a negative, ties count half (Hanley & McNeil 1982).

    NaN if all (N,) are of one class.
    """
    positive, ranks = np.asarray(positive, bool), stats.rankdata(np.asarray(score, float))
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


class Reliability(NamedTuple):
    """Share of all frames, mean confidence and accuracy of each bin of confidence (B,); NaN for an empty bin."""

    share: Array
    confidence: Array
    accuracy: Array


def reliability(confidence: ArrayLike, right: ArrayLike) -> Reliability:
    """Reliability diagram of frames (N,): bins of equal width that include their upper end (Guo et al., ICML 2017)."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    cell = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts, sums, hits = (np.bincount(cell, weight, BINS) for weight in (None, confidence, right))
    known = np.where(counts > 0, counts, np.nan)
    return Reliability(counts / max(len(confidence), 1), sums / known, hits / known)


def calibration_error(confidence: ArrayLike, right: ArrayLike) -> float:
    """ECE: mean |confidence - accuracy| over bins of equal width, weighted by frames (Guo et al., ICML 2017)."""
    found = reliability(confidence, right)
    return float(np.nansum(found.share * np.abs(found.confidence - found.accuracy)))


def best_temperature(probability: ArrayLike, true: ArrayLike) -> float:
    """Temperature in [0.05, 20] that maximises the likelihood of the true classes (N,) (Guo et al., ICML 2017)."""
    true = np.asarray(true, int)[:, None]

    def loss(log_temperature: float) -> float:
        own = np.take_along_axis(tempered(probability, float(np.exp(log_temperature))), true, 1)
        return -float(np.log(np.maximum(own, 1e-30)).mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def risk_coverage(errors: ArrayLike, doubt: ArrayLike) -> tuple[Array, Array]:
    """Risk-coverage curve: (share of frames kept, mean absolute error of those), least doubtful frames (N,) first.

    Errors must not be NaN. El-Yaniv & Wiener, J Mach Learn Res 2010; 11: 1605-41, with the absolute error for the loss.
    """
    order = np.argsort(np.asarray(doubt, float), kind="stable")
    size, kept = np.abs(np.asarray(errors, float))[order], np.arange(1, len(order) + 1)
    return kept / len(order), np.cumsum(size) / kept
