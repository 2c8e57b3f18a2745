"""What a training frame goes through: one random similarity and a random intensity."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry

Array = NDArray[Any]


def random_similarity(rng: np.random.Generator, config: Any, shape: tuple[int, int]) -> Array:
    """A map (2, 3) of the network's canvas onto itself: flip, rotation and zoom about its centre, shift.

    A similarity, so that network pixels stay square millimetres and an ellipse stays its own kind.
    """
    height, width = shape
    centre = np.array([width, height]) / 2
    angle = np.deg2rad(rng.uniform(-config.rotate_degrees, config.rotate_degrees))
    scale = np.exp(rng.uniform(*np.log(config.zoom)))
    shift = rng.uniform(-config.shift, config.shift, 2) * [width, height]
    turn = geometry.affine(scale, angle)
    about = geometry.compose(geometry.affine(shift=centre + shift), turn, geometry.affine(shift=-centre))
    flipped = config.flip and rng.random() < 0.5
    return geometry.compose(about, geometry.mirror(width)) if flipped else about


def random_intensity(rng: np.random.Generator, config: Any, image: Array) -> Array:
    """Blur, gamma, gain, offset and noise of a frame (H, W) uint8."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 0.2 + config.blur))
    grey = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.uniform(-config.gamma, config.gamma))
    grey = grey * rng.uniform(1 - config.gain, 1 + config.gain) + rng.uniform(-config.offset, config.offset)
    image = cv2.LUT(image, np.clip(255 * grey + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(255 * rng.uniform(0, config.noise))
        image = np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)
    return image
