"""Errors in millimetres, Dice, Hausdorff, plane accuracy: pure functions, used while training and after."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize, stats
from scipy.spatial import cKDTree
from scipy.special import softmax

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft

Array = NDArray[Any]


def dice(one: Array, other: Array) -> float:
    """2|A∩B| / (|A| + |B|) of two boolean masks (H, W); 1 where both are empty (Dice, Ecology 1945; 26: 297)."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


class Overlap(NamedTuple):
    """How two shapes lie on each other. Distances in mm, NaN where one is empty or the spacing unknown."""

    dice: float
    hausdorff_mm: float
    hausdorff95_mm: float
    surface_mm: float


def surface_distances(one: Array, other: Array, spacing_mm: float) -> tuple[Array, Array]:
    """Distances in mm of each border pixel of a mask (H, W) from the other's border, both ways; empty if one is.

    The border is the mask's pixels that touch the outside or the frame's edge.
    """
    borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) for m in (one, other)]
    if not all(len(b) for b in borders):
        return np.empty(0), np.empty(0)
    a, b = (cKDTree(border) for border in borders)
    return spacing_mm * b.query(borders[0])[0], spacing_mm * a.query(borders[1])[0]


def hausdorff(one: Array, other: Array, spacing_mm: float, percent: float = 100) -> float:
    """Largest distance, in mm, from the border of one mask (H, W) to that of the other; NaN where one is empty.

    With `percent` below 100, the larger of the two ways' percentiles (HD95; Taha & Hanbury, BMC Med Imaging 2015).
    """
    ways = surface_distances(one, other, spacing_mm)
    return max(float(np.percentile(way, percent)) for way in ways) if len(ways[0]) else float("nan")


def overlap(
    fitted: Ellipse | Shaft | None, true: Ellipse | Shaft, shape: tuple[int, int], spacing_mm: float
) -> Overlap:
    """How two shapes lie on each other, drawn at the frame's own resolution and clipped to it.

    A frame without a fitted shape has Dice 0 and no distances (NaN).
    """
    if fitted is None:
        return Overlap(0.0, *[float("nan")] * 3)
    if isinstance(true, Shaft) and isinstance(fitted, Shaft) and np.isnan(true.width):
        fitted = Shaft.from_ends(fitted.ends, np.nan)  # the width was never annotated: the same rule draws both
    one, other = geometry.mask(fitted, *shape), geometry.mask(true, *shape)
    ways = surface_distances(one, other, spacing_mm)
    if not len(ways[0]):
        return Overlap(dice(one, other), *[float("nan")] * 3)
    largest, most = (max(float(np.percentile(way, percent)) for way in ways) for percent in (100, 95))
    return Overlap(dice(one, other), largest, most, float(np.concatenate(ways).mean()))


def endpoint_error(found: ArrayLike, true: ArrayLike) -> float:
    """Normalised mean error of two end points (2, 2), the better of the two pairings, over the true length.

    Di Vece et al., arXiv 2512.16710.
    """
    found, true = np.asarray(found, float), np.asarray(true, float)
    apart = min(np.hypot(*(f - true).T).mean() for f in (found, found[::-1]))
    return float(apart / np.hypot(*(true[1] - true[0])))


def error_summary(errors: ArrayLike) -> dict[str, float | int]:
    """Of signed errors (N,), NaN where there is no figure: absolute error and bias, each mean and SD, median, largest.

    In the errors' own unit, SD over n - 1. Of HC in mm, `mae` and `bias` are ADF and DF of HC18 (van den Heuvel et al.,
    PLoS ONE 2018; 13: e0200412). Frames without a figure are counted as `missing`, never averaged over.
    """
    e = np.asarray(errors, float)
    known = e[~np.isnan(e)]
    counts: dict[str, float | int] = {"frames": len(e), "missing": len(e) - len(known)}
    if not len(known):
        return counts
    size = np.abs(known)
    return counts | {
        "mae": float(size.mean()),
        "mae_sd": float(size.std(ddof=1)) if len(known) > 1 else 0.0,
        "bias": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "median": float(np.median(size)),
        "max": float(size.max()),
    }


def accuracy(true: list[str], predicted: list[str]) -> float:
    """Share of all frames whose class is named right; NaN of none."""
    return float(np.mean([t == p for t, p in zip(true, predicted, strict=True)])) if true else float("nan")


def share_within(errors: ArrayLike, true: ArrayLike, percent: float) -> float:
    """Share of all frames (N,) whose error is at most so many percent of the truth; one without a figure is not."""
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.abs(np.asarray(errors, float)) <= percent / 100 * np.asarray(true, float)))


def confusion(true: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Counts (C, C) of class numbers (N,): a row a true class, a column a predicted one."""
    cell = np.asarray(true, int) * classes + np.asarray(predicted, int)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(table: Array) -> float:
    """Mean recall over the classes that occur, of a confusion matrix (C, C)."""
    there = table.sum(1) > 0
    return float((np.diag(table)[there] / table.sum(1)[there]).mean())


def macro_f1(table: Array) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the classes that occur or are named, of a confusion matrix (C, C)."""
    both = table.sum(0) + table.sum(1)
    return float((2 * np.diag(table)[both > 0] / both[both > 0]).mean())


def auroc(positive: ArrayLike, score: ArrayLike) -> float:
    """Chance that a positive has the higher score, ties by half (Hanley & McNeil 1982); NaN with one class alone."""
    positive, ranks = np.asarray(positive, bool), stats.rankdata(np.asarray(score, float))
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


class Reliability(NamedTuple):
    """Of each bin of confidence (B,): share of all frames, mean confidence, accuracy; NaN where a bin is empty."""

    share: Array
    confidence: Array
    accuracy: Array


def reliability(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> Reliability:
    """A reliability diagram of frames (N,): equal bins, each with its upper end (Guo et al., ICML 2017)."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    cell = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, sums, hits = (np.bincount(cell, weight, bins) for weight in (None, confidence, right))
    known = np.where(counts > 0, counts, np.nan)
    return Reliability(counts / max(len(confidence), 1), sums / known, hits / known)


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """ECE: gap of mean confidence (N,) and accuracy over equal bins, by their shares (Guo et al., ICML 2017)."""
    found = reliability(confidence, right, bins)
    return float(np.nansum(found.share * np.abs(found.confidence - found.accuracy)))


def tempered(probability: ArrayLike, temperature: float) -> Array:
    """Probabilities (N, C) as they were had their logits been divided by a temperature."""
    return np.asarray(softmax(np.log(np.maximum(np.asarray(probability, float), 1e-30)) / temperature, axis=-1))


def best_temperature(probability: ArrayLike, true: ArrayLike) -> float:
    """The temperature, in [0.05, 20], of the highest likelihood of the true classes (N,) (Guo et al., ICML 2017)."""
    true = np.asarray(true, int)[:, None]

    def loss(log_temperature: float) -> float:
        own = np.take_along_axis(tempered(probability, float(np.exp(log_temperature))), true, 1)
        return -float(np.log(np.maximum(own, 1e-30)).mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def risk_coverage(errors: ArrayLike, doubt: ArrayLike) -> tuple[Array, Array]:
    """(share of frames kept, mean absolute error of those), the least doubtful (N,) first; errors without NaN.

    The risk-coverage curve of El-Yaniv & Wiener, J Mach Learn Res 2010; 11: 1605-41, with the error for its loss.
    """
    order = np.argsort(np.asarray(doubt, float), kind="stable")
    size, kept = np.abs(np.asarray(errors, float))[order], np.arange(1, len(order) + 1)
    return kept / len(order), np.cumsum(size) / kept
