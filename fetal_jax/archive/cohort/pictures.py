"""Pictures for the cohort report: only the outlined structure, because a frame's edges may name the patient."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fetal_jax.evaluation.report.page import Outline, Picture
from fetal_jax.geometry import Ellipse, Shaft

RIM = 0.15
"""Visible rim around the structure, relative to its size. The rest is black."""
WIDEST = 420
"""Largest longer side of a picture in pixels."""
COLOUR = "#ffd23c"
_PNG = re.compile(rb'href="data:image/png;base64,([A-Za-z0-9+/=]+)"')


def picture(folder: Path, frame: dict[str, Any] | None, caption: str) -> Picture | None:
    """Make a picture of a frame's structure; None if there is no overlay or no shape.

    Args:
      folder: of the results.
      frame: its row, with `overlay` (of `measure`) or `report` (of `archive --also=svg`).
      caption: text below it.
    """
    shape = _shape(frame) if frame else None
    image = _image(folder, frame) if frame and shape else None
    if image is None or shape is None:
        return None
    kept = _around(shape)
    box = _inside(kept, image.size)
    if box is None:
        return None
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in kept.tolist()], fill=255)
    shown = Image.composite(image, Image.new("L", image.size), mask).crop(box)
    scale = min(1.0, WIDEST / max(shown.size))
    shown = shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))))
    buffer = BytesIO()
    shown.save(buffer, "JPEG", quality=85)
    line = (_outline(shape) - box[:2]) * scale
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    return Picture(buffer.getvalue(), *shown.size, [Outline(points, "measured", COLOUR)], caption)


def _shape(frame: dict[str, Any]) -> Ellipse | Shaft | None:
    if frame.get("ellipse_px"):
        return Ellipse(*frame["ellipse_px"])
    return Shaft(*frame["shaft_px"]) if frame.get("shaft_px") else None


def _image(folder: Path, frame: dict[str, Any]) -> Image.Image | None:
    """Load the grey frame at its own size: the upper part of an overlay, or the picture in an SVG."""
    overlay, report = frame.get("overlay"), frame.get("report")
    name = overlay or (f"svg/{report}.svg" if report else "")
    path = (folder / name).resolve()
    if not name or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        data = path.read_bytes()
        if path.suffix == ".svg":
            found = _PNG.search(data)
            data = base64.b64decode(found.group(1)) if found else b""
        return Image.open(BytesIO(data)).convert("L")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _outline(shape: Ellipse | Shaft) -> np.ndarray:
    if isinstance(shape, Shaft):
        return shape.ends.reshape(-1, 2)
    points = shape.points(120)
    return np.vstack([points, points[:1]])


def _around(shape: Ellipse | Shaft) -> np.ndarray:
    """The visible polygon (N, 2) around a shape."""
    if isinstance(shape, Ellipse):
        rim = RIM * shape.b
        return Ellipse(shape.cx, shape.cy, shape.a + rim, shape.b + rim, shape.theta).points(120)
    ends = shape.ends.reshape(-1, 2)
    along = (ends[1] - ends[0]) * RIM
    across = np.array([-along[1], along[0]]) * 2
    a, b = ends[0] - along, ends[1] + along
    return np.array([a - across, b - across, b + across, a + across])


def _inside(points: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Bounding box of points, clipped to a picture; None if it is empty."""
    low = np.clip(np.floor(points.min(0)), 0, size).astype(int)
    high = np.clip(np.ceil(points.max(0)), 0, size).astype(int)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high - low > 1).all() else None
