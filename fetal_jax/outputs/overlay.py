"""A frame with its measurement drawn over it: the same strokes as pixels and as SVG.

A measured shape is a solid green line, one to review is dashed amber, a refused one dotted grey; an annotation is blue.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fetal_jax.biometry import Measurement
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs import fonts
from fetal_jax.preprocess import Spacing, to_grey

Array = NDArray[Any]
Colour = tuple[int, int, int]

WRITING = (255, 255, 255)  # RGB
LINE_WIDTH = 1.5
CALIPER = 6.0
"""Pixels from a caliper's centre to its tips."""
PLAIN_WIDTH = 800
"""Frames wider than this get thicker lines and longer dashes, which stay visible when the picture is shrunk."""
TEXT_SIZE, LINE_HEIGHT, MARGIN = 15, 20, 6


@dataclass(frozen=True)
class Style:
    """Colour and dashes of an outline. Both show the status, for readers who cannot tell green from amber."""

    colour: Colour
    dash: tuple[float, float] | None = None
    """Lengths of dash and gap in pixels; None: solid."""


STYLES = {
    "measured": Style((90, 235, 120)),
    "review": Style((255, 190, 40), (9.0, 6.0)),
    "refused": Style((190, 190, 190), (2.0, 5.0)),
}
TRUE = Style((100, 180, 255))


@dataclass(frozen=True)
class Stroke:
    """A line through (N, 2) points of the frame."""

    points: Array
    style: Style
    scale: float = 1.0
    """Factor of the line's width and its dashes."""


def draw(
    frame: Array,
    found: Measurement | None,
    lines: list[str],
    true: Ellipse | Shaft | None = None,
    status: str = "measured",
    spacing_mm: Spacing | None = None,
) -> Array:
    """Draw an RGB picture (H', W', 3) of a frame with its measurement and, below it, lines of text.

    Args:
      frame: (H, W) or (H, W, 3) uint8.
      found: geometry in the frame's pixels; None draws the frame alone.
      lines: text below the frame; a line that is too long is set smaller (`wrapped` breaks lines instead).
      true: the annotated shape, drawn in blue.
      status: of the measurement: "measured", "review" or "refused".
      spacing_mm: size of a pixel; calipers are set to diameters in millimetres, without it in pixels.
    """
    picture = np.repeat(to_grey(frame)[..., None], 3, axis=2)
    for stroke in strokes(found, true, status, _scale(picture.shape[1]), spacing_mm):
        _paint(picture, stroke)
    return np.vstack([picture, _band(lines, picture.shape[1])])


def svg(
    frame: Array,
    found: Measurement | None,
    lines: list[str],
    status: str = "measured",
    spacing_mm: Spacing | None = None,
) -> str:
    """Draw the same as an SVG document: the frame as an embedded PNG, strokes and text as vectors."""
    grey = to_grey(frame)
    png = BytesIO()
    Image.fromarray(grey).save(png, "PNG")
    height, width = grey.shape
    tall = height + band_height(lines)
    drawn = "\n".join(
        f'<polyline points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in s.points)}" fill="none" '
        f'stroke="rgb{s.style.colour}" stroke-width="{LINE_WIDTH * s.scale:g}"{_dasharray(s)}/>'
        for s in strokes(found, None, status, _scale(width), spacing_mm)
    )
    text = "\n".join(
        f'<text x="{MARGIN}" y="{height + LINE_HEIGHT * (i + 1) - 2}" font-size="{_size(line, width):.1f}px">'
        f"{escape(line)}</text>"
        for i, line in enumerate(lines)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{tall}" viewBox="0 0 {width} {tall}">
<rect width="{width}" height="{tall}" fill="black"/>
<image width="{width}" height="{height}" href="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"/>
{drawn}
<g fill="white" font-family="sans-serif">
{text}
</g>
</svg>
"""


def _scale(width: int) -> float:
    return max(1.0, width / PLAIN_WIDTH)


def strokes(
    found: Measurement | None,
    true: Ellipse | Shaft | None = None,
    status: str = "measured",
    scale: float = 1.0,
    spacing_mm: Spacing | None = None,
) -> list[Stroke]:
    """Outline and calipers of the shapes; the calipers sit at the ends of both diameters, or of the shaft."""
    shapes = [(true, TRUE)]
    if found is not None:
        shapes += [(found.ellipse, STYLES[status]), (found.shaft, STYLES[status])]
    return [
        stroke for shape, style in shapes if shape is not None for stroke in _strokes(shape, style, scale, spacing_mm)
    ]


def _strokes(shape: Ellipse | Shaft, style: Style, scale: float, spacing_mm: Spacing | None) -> list[Stroke]:
    if isinstance(shape, Ellipse):
        outline, ends = shape.points(360), shape.diameters(spacing_mm or 1.0)
        outline = np.vstack([outline, outline[:1]])
    else:
        outline = ends = shape.ends
    arms = scale * np.array([[CALIPER, 0.0], [0.0, CALIPER]])
    calipers = [np.array([end - arm, end + arm]) for end in ends for arm in arms]
    return [Stroke(outline, style, scale), *(Stroke(points, Style(style.colour), scale) for points in calipers)]


def _dasharray(stroke: Stroke) -> str:
    dash = stroke.style.dash
    return f' stroke-dasharray="{dash[0] * stroke.scale:g} {dash[1] * stroke.scale:g}"' if dash else ""


def _paint(picture: Array, stroke: Stroke) -> None:
    """Draw a line, anti-aliased and sub-pixel: a pixel takes the share of the line's width that covers its centre."""
    starts, steps = stroke.points[:-1], np.diff(stroke.points, axis=0)
    lengths = np.hypot(*steps.T)
    counts = np.clip(np.ceil(lengths / 0.25), 1, 1e5).astype(int)
    each = np.repeat(np.arange(len(counts)), counts)
    along = (np.arange(len(each)) - (np.cumsum(counts) - counts)[each]) / counts[each]
    dots = np.vstack([starts[each] + along[:, None] * steps[each], stroke.points[-1:]])
    if stroke.style.dash:
        drawn, gap = (stroke.scale * length for length in stroke.style.dash)
        travelled = np.append((np.cumsum(lengths) - lengths)[each] + along * lengths[each], 0.0)
        dots = dots[travelled % (drawn + gap) < drawn]
    reach = LINE_WIDTH * stroke.scale / 2 + 0.5  # distance beyond which a pixel is not covered
    around = np.arange(-int(reach + 0.5), int(reach + 0.5) + 1)
    height, width = picture.shape[:2]
    x, y = (np.floor(d)[:, None] + near.ravel() for d, near in zip(dots.T, np.meshgrid(around, around), strict=True))
    share = reach - np.hypot(x + 0.5 - dots[:, :1], y + 0.5 - dots[:, 1:])
    inside = (share > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels, of_dot = np.unique((y[inside] * width + x[inside]).astype(int), return_inverse=True)
    cover = np.zeros(len(pixels))
    np.maximum.at(cover, of_dot, np.minimum(share[inside], 1))
    y, x = np.divmod(pixels, width)
    picture[y, x] = np.round(picture[y, x] * (1 - cover[:, None]) + np.array(stroke.style.colour) * cover[:, None])


def _size(line: str, width: int) -> float:
    """The largest font size, up to `TEXT_SIZE`, at which a line fits into a picture's width."""
    return TEXT_SIZE * min(1.0, (width - 2 * MARGIN) / max(fonts.width(line, TEXT_SIZE), 1))


def wrapped(lines: list[str], width: int) -> list[str]:
    """Break lines that are longer than a picture is wide, between words."""
    return [part for line in lines for part in fonts.broken(line, TEXT_SIZE, width - 2 * MARGIN)]


def band_height(lines: list[str]) -> int:
    """Height in pixels of lines of text below a frame."""
    return LINE_HEIGHT * len(lines) + 8 if lines else 0


def _band(lines: list[str], width: int) -> Array:
    band = Image.new("RGB", (width, band_height(lines)))
    pen = ImageDraw.Draw(band)
    for i, line in enumerate(lines):
        size = max(1, int(_size(line, width)))
        fonts.write(pen, (MARGIN, LINE_HEIGHT * (i + 1) - 2), line, size, WRITING)
    return np.asarray(band)
