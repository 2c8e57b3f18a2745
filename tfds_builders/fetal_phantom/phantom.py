"""One synthetic frame from one seed: anatomy in millimetres, a machine's view of it, exact geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_phantom import anatomy, lookalikes, screen
from tfds_builders.fetal_phantom.acoustics import USUAL, Machine

Array = NDArray[Any]

ANATOMIES = {
    "head": anatomy.head,
    "abdomen": anatomy.abdomen,
    "femur": anatomy.femur,
    "thorax": lookalikes.thorax,
    "cervix": lookalikes.cervix,
    "other": lookalikes.other,
}
"""The section of each plane. A plane's seed depends on its position in this order."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic frame with its exact geometry and sizes."""

    image: Array  # (height, width) uint8
    plane: str  # a key of ANATOMIES
    shape: Ellipse | Shaft | None  # in pixels
    spacing_mm: float
    weeks: float
    millimetres: dict[str, float]


def draw(plane: str, seed: int, machine: Machine = USUAL) -> Phantom:
    """Draw the frame for a plane, a seed and a machine; the same three give the same bytes.

    Structures are drawn in millimetres at a gestational age of 14 to 40 weeks (INTERGROWTH-21st sizes) and the frame's
    spacing follows from how much of it they fill, so that pixels, spacing and millimetres agree to float rounding.
    """
    rng = np.random.default_rng([seed, list(ANATOMIES).index(plane)])
    weeks = float(14 + 26 * rng.beta(1.6, 1.8))  # most scans are of mid-pregnancy and later
    scene, shape, values = ANATOMIES[plane](rng, machine, weeks)
    spacing = scene.view.spacing
    in_pixels = shape and shape.transform(geometry.stretch(1 / spacing, 1 / spacing))
    image = scene.image()
    if not machine.clear:
        screen.furnish(rng, image, spacing, in_pixels)
    return Phantom(image, plane, in_pixels, spacing, weeks, values)
