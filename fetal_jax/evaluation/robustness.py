"""Errors under changes of the frames: one change at a time, with increasing strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.data import augment
from fetal_jax.data.source import Frame, Split
from fetal_jax.evaluation.frames import EvaluatedFrame, evaluate_frames
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.summary import mean
from fetal_jax.inference import Predictor

Array = NDArray[Any]
Random = np.random.Generator
FRAMES = 48
"""Number of frames, drawn at random: 36 changed copies of a whole split would take too long."""


@dataclass(frozen=True)
class Change:
    """A change of frames: meaning and unit of its strength, the neutral level, and the levels to test."""

    meaning: str
    unit: str
    none: float
    levels: tuple[float, ...]
    apply: Callable[[Frame, float, Random], Frame]


def _pixels(change: Callable[[Array, float, Random], Array]) -> Callable[[Frame, float, Random], Frame]:
    """Wrap a change of grey values, which keeps geometry and spacing."""
    return lambda frame, level, rng: replace(frame, image=change(frame.image, level, rng))


def _gain(image: Array, level: float, rng: Random) -> Array:
    return cv2.convertScaleAbs(image, alpha=level)


def _noise(image: Array, level: float, rng: Random) -> Array:
    field = rng.standard_normal(image.shape, np.float32)
    return cv2.add(image, field * np.float32(255 * level), dtype=cv2.CV_8U)


def _blur(image: Array, level: float, rng: Random) -> Array:
    return cv2.GaussianBlur(image, (0, 0), level)


def _shadows(image: Array, level: float, rng: Random) -> Array:
    for _ in range(int(level)):
        image = augment.shadow(rng, 1.0, image)
    return image


def _calipers(image: Array, level: float, rng: Random) -> Array:
    for _ in range(int(level)):
        image = augment.calipers(rng, image)
    return image


def _jpeg(image: Array, level: float, rng: Random) -> Array:
    return augment.compressed(image, int(level))


def _crop(frame: Frame, level: float, rng: Random) -> Frame:
    """Crop a share off each side, as a tighter export does."""
    height, width = frame.image.shape
    top, left = round(level * height), round(level * width)
    moved = geometry.affine(shift=(-left, -top))
    cut = np.ascontiguousarray(frame.image[top : height - top, left : width - left])
    return replace(frame, image=cut, shape=frame.shape and frame.shape.transform(moved))


def _zoom(frame: Frame, level: float, rng: Random) -> Frame:
    """Change the depth setting: the canvas shows everything `level` times as large, its pixels are smaller."""
    return _warped(frame, geometry.affine(scale=level))


def _rotation(frame: Frame, level: float, rng: Random) -> Frame:
    """Turn the probe, one way or the other."""
    return _warped(frame, geometry.affine(angle=np.deg2rad(level) * rng.choice([-1, 1])))


def _warped(frame: Frame, about_centre: Array) -> Frame:
    height, width = frame.image.shape
    centre = np.array([width, height]) / 2
    m = geometry.compose(geometry.affine(shift=centre), about_centre, geometry.affine(shift=-centre))
    scale = float(np.sqrt(np.linalg.det(m[:, :2])))
    image = augment.fast_warp(frame.image, m, (height, width))
    spacing = frame.spacing_mm and frame.spacing_mm / scale
    return replace(frame, image=image, shape=frame.shape and frame.shape.transform(m), spacing_mm=spacing)


CHANGES = {
    "gain": Change("grey levels multiplied", "factor", 1, (0.35, 0.6, 1, 1.6, 2.5), _pixels(_gain)),
    "noise": Change("normal noise", "SD, of full scale", 0, (0, 0.05, 0.1, 0.2, 0.4), _pixels(_noise)),
    "blur": Change("Gaussian blur", "SD, pixels", 0, (0, 1, 2, 4, 8), _pixels(_blur)),
    "crop": Change("sides cut off", "of the frame, on each side", 0, (0, 0.05, 0.1, 0.15, 0.2), _crop),
    "zoom": Change("another depth", "factor", 1, (0.5, 0.7, 1, 1.2, 1.5), _zoom),
    "rotation": Change("turned about the centre", "degrees", 0, (0, 10, 20, 45, 90), _rotation),
    "shadow": Change("sectors that lose up to all echoes", "number", 0, (0, 1, 2, 4, 8), _pixels(_shadows)),
    "calipers": Change("burned-in marks of others, anywhere", "number", 0, (0, 1, 2, 4, 8), _pixels(_calipers)),
    "jpeg": Change("stored as JPEG (100: as it is)", "quality", 100, (100, 50, 25, 10, 5), _pixels(_jpeg)),
}


def changed(frame: Frame, name: str, level: float, seed: int) -> Frame:
    """Apply one change to a frame; the seed decides the position of shadows and marks."""
    change = CHANGES[name]
    return frame if level == change.none else change.apply(frame, level, np.random.default_rng(seed))


def measure_robustness(predictor: Predictor, frames: Split, progress: Callable[[Any], Any] = iter) -> dict[str, Any]:
    """Measure some frames under each change at each of its levels.

    Each level has `level`, `frames`, `missing` (without a measurement), `failed_share` of all, `mae_percent` of those
    with a measurement, and its 95 % interval by subject (None with too few subjects).
    """
    order = np.random.default_rng(0).permutation(len(frames))
    everything = (frames[int(i)] for i in order)
    usable = (f for f in everything if f.shape is not None and f.spacing_mm)
    chosen = [f for _, f in zip(range(FRAMES), usable, strict=False)]
    untouched = list(evaluate_frames(predictor, chosen))
    found = {
        name: [
            {"level": level} | _level(untouched if level == change.none else _under(predictor, chosen, name, level))
            for level in change.levels
        ]
        for name, change in progress(CHANGES.items())
    }
    return {"frames": len(chosen), "changes": found}


def _under(predictor: Predictor, chosen: Sequence[Frame], name: str, level: float) -> list[EvaluatedFrame]:
    return list(evaluate_frames(predictor, [changed(f, name, level, seed) for seed, f in enumerate(chosen)]))


def _level(frames: list[EvaluatedFrame]) -> dict[str, Any]:
    known = [f for f in frames if f.true_mm and f.error_mm is not None]
    percent = np.array([100 * abs(f.error_mm or 0.0) / (f.true_mm or np.nan) for f in known])
    ci = bootstrap.mean_intervals([f.subject for f in known], {"mae_percent": percent})
    return {
        "frames": len(frames),
        "missing": int(np.isnan(percent).sum()),
        "failed_share": float(np.mean([f.failed for f in frames])) if frames else 0.0,
        "mae_percent": None if np.isnan(percent).all() else mean(percent),
        "mae_percent_ci": ci.get("mae_percent"),
    }
