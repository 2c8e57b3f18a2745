"""Frames with outlines, for the pages of an evaluation."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fetal_jax.data.source import Frame
from fetal_jax.evaluation.report.page import Outline, Picture
from fetal_jax.geometry import Ellipse, Shaft

WIDEST = 960
"""Largest longer side of a picture in pixels: a frame of 800 x 540 is not scaled."""
TICK = 6.0
"""Half length, in pixels, of the mark at each end of a femur."""
COLOURS = {"annotated": "#5aeb78", "measured": "#ffd23c", "a": "#ffd23c", "b": "#5ac8ff"}


def picture(frame: Frame, shapes: dict[str, Ellipse | Shaft | None], caption: str) -> Picture:
    """Make a picture of a frame with outlines of shapes in its pixels, by role (a key of `COLOURS`)."""
    height, width = frame.image.shape
    image = Image.fromarray(frame.image)
    image.thumbnail((WIDEST, WIDEST))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    outlines = [Outline(_points(shape), role, COLOURS[role]) for role, shape in shapes.items() if shape is not None]
    return Picture(buffer.getvalue(), width, height, outlines, caption)


def _points(shape: Ellipse | Shaft) -> str:
    """SVG points of a closed ellipse, or of a femur's chord with a tick at each end."""
    if isinstance(shape, Ellipse):
        points = shape.points(180)
        points = np.vstack([points, points[:1]])
    else:
        start, end = shape.ends
        along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
        tick = TICK * np.array([-along[1], along[0]])
        points = np.array([start + tick, start - tick, start, end, end + tick, end - tick])
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
