"""Frame -> network pixels and back: the one letterbox, used by the pipeline, the evaluator and the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fetal_jax import geometry

Array = NDArray[Any]
Spacing = float | tuple[float, float]


EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of Pillow with at most 8 bits per channel."""


def decoded(image: Image.Image) -> Array:
    """A Pillow image of a mode in `EIGHT_BITS` -> (H, W) grey or (H, W, 3) RGB; a palette's numbers become colours."""
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def to_grey(frame: Array | Image.Image) -> Array:
    """A frame (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, or a Pillow image -> grey (H, W) uint8.

    Colour is weighted as in ITU-R BT.601; the alpha channel is left out.

    Raises:
      ValueError: for another shape or type.
    """
    wanted = "a frame is a uint8 array (H, W) or (H, W, channels)"
    if isinstance(frame, Image.Image):
        if frame.mode not in EIGHT_BITS:
            bring = "bring its grey levels to 0 to 255, then give it as a uint8 array"
            raise ValueError(f"a frame has 8 bits per channel, not Pillow's mode {frame.mode}: {bring}")
        frame = decoded(frame)
    if not hasattr(frame, "dtype"):
        read = "read a file, DICOM too, by fetal_jax.reading.isolated.read, and give its frames to measure_frame"
        raise ValueError(f"{wanted} or a Pillow image, not {type(frame).__name__}: {read}")
    given, frame = frame, np.asarray(frame)
    if frame.dtype != np.uint8:
        bring = "bring its grey levels to 0 to 255, then give frame.astype(np.uint8)"
        raise ValueError(f"{wanted}, not {frame.dtype} {frame.shape}: {bring}")
    if np.ma.is_masked(given):  # the pixels under the mask would be measured
        raise ValueError(f"{wanted}, not one with masked pixels: give frame.filled(0)")
    if frame.ndim not in (2, 3) or frame.size == 0:
        raise ValueError(f"{wanted}, not of shape {frame.shape}: give one frame, of a cine one after the other")
    if frame.ndim == 3 and frame.shape[2] not in (1, 3, 4):
        last = "a frame has 1, 3 or 4 channels on its last axis"
        raise ValueError(f"{last}, not {frame.shape}: give one frame, of a cine one after the other")
    if frame.ndim == 2 or frame.shape[2] == 1:
        return np.ascontiguousarray(frame.reshape(frame.shape[:2]))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame[..., :3])).convert("L"))


def warp(frame: Array, to_output: Array, shape: tuple[int, int]) -> Array:
    """Resample a grey frame through an affine map (2, 3) from its pixels to those of an output (height, width).

    Outside the frame the output is black. Shrinking by a factor of two or more averages areas first, so that nothing
    aliases; a mirrored frame gives the mirrored output. Pixel centres are at + 0.5 on both sides, as everywhere.
    """
    shrink = int(1 / np.sqrt(abs(np.linalg.det(to_output[:, :2]))) + 1e-6)
    image = Image.fromarray(frame)
    if shrink > 1:
        width, height = (max(1, round(side / shrink)) for side in image.size)
        to_output = geometry.compose(to_output, geometry.stretch(image.width / width, image.height / height))
        image = image.resize((width, height), Image.Resampling.HAMMING)
    # in floats: Pillow cuts bytes off instead of rounding them, half a grey level on average
    return (_transformed(image.convert("F"), to_output, shape) + 0.5).astype(np.uint8)


def resample(values: Array, to_output: Array, shape: tuple[int, int]) -> Array:
    """Resample a map (H, W) float32, bilinear, as `warp` does a frame, but without averaging areas; 0 outside."""
    return _transformed(Image.fromarray(np.asarray(values, np.float32)), to_output, shape)


def _transformed(image: Image.Image, to_output: Array, shape: tuple[int, int]) -> Array:
    source = geometry.invert(to_output).ravel().tolist()
    return np.asarray(image.transform(shape[::-1], Image.Transform.AFFINE, source, Image.Resampling.BILINEAR))


def close_up(to_canvas: Array, seen: geometry.Ellipse | geometry.Shaft, canvas: tuple[int, int], share: float) -> Array:
    """Centre a structure on the canvas and scale it to a share of the canvas.

    Args:
      to_canvas: the affine map (2, 3) from a frame's pixels to a canvas that shows the whole frame.
      seen: the structure on that canvas.
      canvas: (height, width).
      share: of the canvas that the structure fills along the axis on which it is relatively longer.

    Returns:
      The affine map (2, 3) from the frame's pixels to the canvas that shows the structure, at 0.5 to 4 times its size.
    """
    if isinstance(seen, geometry.Ellipse):
        centre, half = np.array([seen.cx, seen.cy]), np.sqrt((seen.axes_matrix**2).sum(1))
    else:
        centre, half = seen.ends.mean(0), abs(seen.ends[1] - seen.ends[0]) / 2 + seen.drawn_width / 2
    size = np.array(canvas[::-1])
    zoom = float(np.clip((share * size / (2 * half)).min(), 0.5, 4))
    return geometry.compose(geometry.affine(zoom, shift=size / 2 - zoom * centre), to_canvas)


@dataclass(frozen=True)
class Letterbox:
    """Fits a whole frame into (height, width) network pixels: grey, isotropic in millimetres, centred, black around."""

    height: int
    width: int

    def to_network(self, frame_shape: tuple[int, int], spacing_mm: Spacing | None = None) -> Array:
        """The affine map (2, 3) from a frame's pixels to the network's.

        Args:
          frame_shape: (rows, columns) of the frame.
          spacing_mm: of the frame; (row, column) where they differ, so that network pixels are square in mm.
        """
        rows, columns = frame_shape
        square = geometry.stretch(1.0, 1.0)
        if isinstance(spacing_mm, tuple) and spacing_mm[0] != spacing_mm[1]:
            square = geometry.stretch(1.0, spacing_mm[0] / spacing_mm[1])
        tall, wide = rows * square[1, 1], columns * square[0, 0]
        scale = min(self.height / tall, self.width / wide)
        shift = ((self.width - scale * wide) / 2, (self.height - scale * tall) / 2)
        return geometry.compose(geometry.affine(scale=scale, shift=shift), square)

    def __call__(self, frame: Array, spacing_mm: Spacing | None = None) -> Array:
        """A grey frame (H, W) uint8 -> (height, width) uint8."""
        return warp(frame, self.to_network((frame.shape[0], frame.shape[1]), spacing_mm), (self.height, self.width))
