"""Spoilt copies of frames, which give the score of wrong values wrong values to learn from. One function per kind.

The measured structure keeps its true geometry. Strengths are relative to the structure's size, so that they mean the
same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.data import augment
from fetal_jax.data.source import Frame
from fetal_jax.geometry import Ellipse, Shaft

Array = NDArray[Any]
Random = np.random.Generator
Spoil = Callable[[Random, Frame, Frame], Frame]
"""(random numbers, the frame, another frame to take a structure from) -> the spoilt frame."""


def _blur(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Blur by 2 to 8 % of the structure's size: out of focus."""
    sigma = 2 * rng.uniform(0.02, 0.08) * _middle(frame)[1]
    return replace(frame, image=cv2.GaussianBlur(frame.image, (0, 0), sigma))


def _noise(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Add normal noise of 10 to 40 % of full scale."""
    field = rng.standard_normal(frame.image.shape, np.float32) * np.float32(255 * rng.uniform(0.1, 0.4))
    return replace(frame, image=cv2.add(frame.image, field, dtype=cv2.CV_8U))


def _dark(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Multiply the grey levels by 0.05 to 0.3: too little gain."""
    return replace(frame, image=cv2.convertScaleAbs(frame.image, alpha=rng.uniform(0.05, 0.3)))


def _shadow(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Darken three to eight sectors, or one side of the structure with up to half of it."""
    image = frame.image
    if rng.random() < 0.5:
        for _ in range(rng.integers(3, 9)):
            image = augment.shadow(rng, 1.0, image)
        return replace(frame, image=image)
    beyond = _beyond(rng, frame, rng.uniform(0.0, 0.8))
    field = np.where(beyond, np.float32(rng.uniform(0.02, 0.3)), np.float32(1))
    return replace(frame, image=cv2.multiply(image, cv2.blur(field, (9, 9)), dtype=cv2.CV_8U))


def _beyond(rng: Random, frame: Frame, distance: float) -> Array:
    """Mask (H, W) bool of the pixels beyond a line in a random direction; distance from the centre in radii."""
    (x, y), radius = _middle(frame)
    angle = rng.uniform(0, 2 * np.pi)
    height, width = frame.image.shape
    along = (np.arange(width) - x) * np.cos(angle) + (np.arange(height)[:, None] - y) * np.sin(angle)
    return np.asarray(along > distance * radius)


def _cut(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Crop one side of the frame, so that 5 to 50 % of the structure's width leaves the picture."""
    assert frame.shape is not None
    low, high = _extent(frame.shape)
    axis, kept = int(rng.integers(2)), rng.uniform(0.5, 0.95)
    at = low[axis] + kept * (high[axis] - low[axis])
    if rng.random() < 0.5:  # the far side, else the near one
        end = int(np.clip(at, 16, frame.image.shape[1 - axis]))
        image = frame.image[:, :end] if axis == 0 else frame.image[:end]
        return replace(frame, image=np.ascontiguousarray(image))
    at = high[axis] - kept * (high[axis] - low[axis])
    start = int(np.clip(at, 0, frame.image.shape[1 - axis] - 16))
    image = frame.image[:, start:] if axis == 0 else frame.image[start:]
    shift = geometry.affine(shift=(-start, 0) if axis == 0 else (0, -start))
    return replace(frame, image=np.ascontiguousarray(image), shape=frame.shape.transform(shift))


def _two_structures(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Put a copy of the structure of 0.5 to 0.9 its size beside it: twins, or a picture in two halves."""
    return _beside(rng, frame, frame, rng.uniform(0.5, 0.9), rng.uniform(1.0, 1.5))


def _body(rng: Random, frame: Frame, other: Frame) -> Frame:
    """Put a structure of another plane beside it, touching: a body next to a head, a limb next to an abdomen."""
    return _beside(rng, frame, other, rng.uniform(0.6, 1.2), rng.uniform(0.8, 1.1))


def _beside(rng: Random, frame: Frame, other: Frame, size: float, distance: float) -> Frame:
    """Copy a structure beside another one; the structure of the frame itself is unchanged.

    Args:
      rng: draws the direction and the turn.
      frame: the frame.
      other: the frame that the copy comes from.
      size: radius of the copy, in radii of the structure.
      distance: from centre to centre, in sums of the two radii.
    """
    assert frame.shape is not None
    assert other.shape is not None
    (x, y), radius = _middle(frame)
    (u, v), other_radius = _middle(other)
    direction, turn = rng.uniform(0, 2 * np.pi, 2)
    away = distance * radius * (1 + size)
    to = geometry.compose(
        geometry.affine(shift=(x + away * np.cos(direction), y + away * np.sin(direction))),
        geometry.affine(size * radius / other_radius, turn),
        geometry.affine(shift=(-u, -v)),
    )
    shape = (frame.image.shape[0], frame.image.shape[1])
    copied = augment.fast_warp(other.image, to, shape)
    alpha = np.zeros(shape, np.float32)
    for filled, value in ((_wider(other.shape.transform(to), 1.2), 1.0), (frame.shape, 0.0)):
        corners = filled.points(72) if isinstance(filled, Ellipse) else filled.corners()
        cv2.fillPoly(alpha, [np.round(corners - geometry.HALF_PIXEL).astype(np.int32)], value)
    soft = cv2.blur(alpha, (5, 5))
    return replace(frame, image=cv2.blendLinear(copied, frame.image, soft, 1 - soft))


def _wider(shape: Ellipse | Shaft, factor: float) -> Ellipse | Shaft:
    """A shape with its border: an ellipse `factor` times as large, a shaft three times as wide."""
    if isinstance(shape, Ellipse):
        return replace(shape, a=factor * shape.a, b=factor * shape.b)
    return replace(shape, width=3 * shape.drawn_width)


def _extent(shape: Ellipse | Shaft) -> tuple[Array, Array]:
    """Upper left and lower right corner (x, y) of the bounding box of a shape."""
    points = shape.points(64) if isinstance(shape, Ellipse) else shape.ends
    return points.min(0), points.max(0)


def _middle(frame: Frame) -> tuple[tuple[float, float], float]:
    """Centre (x, y) and radius of a structure: half the mean diameter, or half the length."""
    shape = frame.shape
    if isinstance(shape, Ellipse):
        return (shape.cx, shape.cy), (shape.a + shape.b) / 2
    assert shape is not None
    x, y = shape.ends.mean(0)
    return (float(x), float(y)), shape.length / 2


SPOILERS: dict[str, Spoil] = {
    "blur": _blur,
    "noise": _noise,
    "dark": _dark,
    "shadow": _shadow,
    "cut": _cut,
    "two structures": _two_structures,
    "body": _body,
}
"""Each kind of spoiling, by name."""
AS_IT_IS, WRONG_PLANE = "as it is", "wrong plane"
"""Kinds that change no pixel: the frame itself, and the frame measured as a plane that it does not show."""


def spoil(frame: Frame, kind: str, other: Frame, seed: int) -> Frame:
    """Spoil a frame with a shape.

    Args:
      frame: the frame; its `shape` is known.
      kind: a key of `SPOILERS`.
      other: a frame of another plane, whose structure `body` copies.
      seed: the same seed spoils in the same way.
    """
    return SPOILERS[kind](np.random.default_rng(seed), frame, other)
