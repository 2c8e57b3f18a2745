"""Marks that machines print on and beside the picture: ruler, grey wedge, text, logo, calipers, boxes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax.geometry import Ellipse, Shaft

Array = NDArray[Any]
LETTERS = "ABCDEFGHIKLMNOPRSTV0123456789./:%"


def furnish(rng: np.random.Generator, frame: Array, spacing_mm: float, shape: Ellipse | Shaft | None) -> None:
    """Draw on a frame (height, width) uint8, in place. The ruler agrees with the spacing; `shape` is in pixels."""
    height, width = frame.shape
    small = height / 480
    if rng.random() < 0.7:
        _ruler(rng, frame, spacing_mm)
    if rng.random() < 0.6:  # grey wedge
        top, tall, wide = int(14 * small), int(rng.uniform(0.12, 0.3) * height), max(int(rng.uniform(4, 18) * small), 1)
        frame[top : top + tall, 2 : 2 + wide] = np.linspace(255, 0, tall, dtype=np.uint8)[:, None]
    if rng.random() < 0.6:  # text upper right
        for i in range(rng.integers(1, 8)):
            _write(
                rng, frame, int(rng.integers(3, 13)), (-1, int((18 + 13 * i) * small)), rng.uniform(0.28, 0.4) * small
            )
    if rng.random() < 0.4:  # logo upper left
        _write(rng, frame, int(rng.integers(4, 9)), (int(30 * small), int(14 * small)), 0.35 * small)
    if rng.random() < 0.2:  # blacked-out boxes and the steps of a cut corner
        x, y = int(width * rng.uniform(0.68, 0.85)), int(height * rng.uniform(0.74, 0.9))
        frame[y:, x:] = 0
    if rng.random() < 0.08:  # a measurement box
        x, y = int(width * rng.uniform(0.7, 0.8)), int(height * rng.uniform(0.8, 0.9))
        frame[y : y + int(40 * small), x:] = 30
        _write(rng, frame, 10, (x + 4, y + int(16 * small)), 0.35 * small)
    if shape is not None and rng.random() < 0.08:
        _calipers(rng, frame, shape)


def _ruler(rng: np.random.Generator, frame: Array, spacing_mm: float) -> None:
    """Draw a dot every 5 mm, a dash every 10, a long one every 50, from a random height; some also at the bottom."""
    height, width = frame.shape
    x = int(rng.uniform(4, 26) * height / 480)
    start, grey = rng.uniform(0, 0.1) * height, int(rng.uniform(120, 255))
    for along, bottom in ((height, False), (width, True)) if rng.random() < 0.25 else ((height, False),):
        for i in range(int((along - start) * spacing_mm / 5) + 1):
            at = int(start + 5 * i / spacing_mm)
            long = 5 if i % 10 == 0 else 3 if i % 2 == 0 else 1
            if at < along and bottom:
                frame[-4 - long : -4, at] = grey
            elif at < along:
                frame[at, x : x + long] = grey


def _write(rng: np.random.Generator, frame: Array, count: int, at: tuple[int, int], size: float) -> None:
    text = "".join(rng.choice(list(LETTERS), count))
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = at[0] if at[0] >= 0 else frame.shape[1] - wide - 6
    cv2.putText(frame, text, (x, at[1]), cv2.FONT_HERSHEY_SIMPLEX, size, int(rng.uniform(100, 255)), 1, cv2.LINE_AA)


def _calipers(rng: np.random.Generator, frame: Array, shape: Ellipse | Shaft) -> None:
    """Draw crosses at a measurement's ends and, around an ellipse, a dotted outline, slightly off the true position."""
    off = rng.normal(0, 0.012 * frame.shape[0], 2)
    if isinstance(shape, Ellipse):
        ends = shape.points(4) + off
        if rng.random() < 0.6:
            for x, y in np.round(shape.points(int(shape.perimeter / rng.uniform(4, 9))) + off).astype(int):
                cv2.circle(frame, (x, y), 0, 200, -1)
    else:
        ends = shape.ends + off
    for x, y in np.round(ends).astype(int):
        cv2.drawMarker(frame, (x, y), 230, cv2.MARKER_CROSS, max(frame.shape[0] // 60, 3), 1)
