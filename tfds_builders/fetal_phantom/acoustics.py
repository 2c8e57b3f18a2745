"""Image formation of an ultrasound machine: beams, speckle, shadows, grey levels, scan conversion.

Everything is computed in beam coordinates (rows: depth along the beam, columns: beams), where a point-spread function
is a plain blur and a shadow a running sum; only the last step resamples to the frame's pixels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Machine(NamedTuple):
    """Frame size in pixels. A clear machine shows whole structures in their usual form, without gaps in their walls and
    without marks: easy to learn from."""

    height: int = 480
    width: int = 640
    clear: bool = False


USUAL = Machine()


class View:
    """Geometry of the beams in a frame. Millimetres from the frame's upper left corner, x right, y down.

    A sector has its apex above the frame; for a linear probe it is so far away that the beams are parallel.
    `tall` x `wide` is the frame; `x`, `y` (depths, beams) are the samples' positions, `beam` their unit directions.
    """

    def __init__(self, rng: np.random.Generator, machine: Machine, spacing_mm: float):
        self.machine, self.spacing = machine, float(spacing_mm)
        self.tall, self.wide = tall, wide = machine.height * self.spacing, machine.width * self.spacing
        rows, columns = int(0.8 * machine.height), int(0.5 * machine.height)
        linear = rng.random() < 0.06
        half = float(np.deg2rad(0.5 if linear else rng.uniform(29, 39)))
        reach = rng.uniform(0.8, 1.45) * wide / 2  # half width of the fan, halfway down; above 1, the frame cuts it
        reach = max(reach, 1.02 * wide / 2) if linear else reach
        self.apex = (wide * rng.uniform(0.46, 0.54), tall / 2 - reach / math.tan(half))
        near = max(-self.apex[1] + tall * (-0.03 if rng.random() < 0.5 else rng.uniform(0, 0.06)), 3.0)
        far = -self.apex[1] + tall * (1.02 if rng.random() < 0.5 else rng.uniform(0.93, 1.0))
        self.half, self.near, self.far = half, near, far
        self.depth = np.linspace(0, far - near, rows, dtype=np.float32)[:, None]
        angle = np.linspace(-half, half, columns, dtype=np.float32)[None]
        r = near + self.depth
        self.x, self.y = self.apex[0] + r * np.sin(angle), self.apex[1] + r * np.cos(angle)
        self.beam = np.stack([np.sin(angle), np.cos(angle)])  # (2, 1, beams)
        self.step = (far - near) / (rows - 1)
        self.pitch = (near + far) / 2 * 2 * half / (columns - 1)  # of the beams, halfway down

    def inside(self, x: Array, y: Array, margin: float = 0.0) -> Array:
        """Whether points are inside both the fan and the frame, by a margin in mm: booleans."""
        dx, dy = x - self.apex[0], y - self.apex[1]
        r, angle = np.hypot(dx, dy), np.arctan2(dx, dy)
        fan = (np.abs(angle) * r < self.half * r - margin) & (r > self.near + margin) & (r < self.far - margin)
        seen = (np.abs(x - self.wide / 2) < self.wide / 2 - margin) & (
            np.abs(y - self.tall / 2) < self.tall / 2 - margin
        )
        return fan & seen

    def window(self, cx: float, cy: float, radius: float) -> tuple[slice, slice]:
        """Slices of the samples that contain a disc."""
        dx, dy = cx - self.apex[0], cy - self.apex[1]
        r, angle = float(np.hypot(dx, dy)), float(np.arctan2(dx, dy))
        rows, columns = self.x.shape
        low, high = (r - radius - self.near) / self.step, (r + radius - self.near) / self.step
        spread = np.arcsin(radius / r) if radius < r else np.pi
        left, right = ((angle + s * spread + self.half) / (2 * self.half) * (columns - 1) for s in (-1, 1))
        return _span(low, high, rows), _span(left, right, columns)

    def scan_convert(self, grey: Array) -> Array:
        """Resample (depths, beams) to the frame (height, width); 0 outside the beams."""
        x = ((np.arange(self.machine.width, dtype=np.float32) + 0.5) * self.spacing - self.apex[0])[None]
        y = ((np.arange(self.machine.height, dtype=np.float32) + 0.5) * self.spacing - self.apex[1])[:, None]
        rows = (cv2.sqrt(x * x + y * y) - np.float32(self.near)) * np.float32(1 / self.step)
        columns = (np.arctan(x / y) + np.float32(self.half)) * np.float32((grey.shape[1] - 1) / (2 * self.half))
        return cv2.remap(grey, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _span(low: float, high: float, size: int) -> slice:
    return slice(max(int(low), 0), max(min(int(high) + 2, size), 0))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], rows: int, columns: int) -> Array:
    """Draw a smooth field of the given shape: `rows` x `columns` normal numbers, interpolated."""
    coarse = rng.standard_normal((rows, columns), np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def image(rng: np.random.Generator, view: View, echo: Array, mirror: Array, loss: Array) -> Array:
    """Form the frame (height, width) uint8 of a scene.

    Args:
      echo: amplitude of the diffuse echo of each sample; becomes speckle.
      mirror: amplitude of the specular echo of each sample; stays a line.
      loss: dB that the beam loses in each sample (negative in fluid, which makes deeper tissue brighter).
    """
    clear = view.machine.clear
    taken = np.cumsum(loss, axis=0, dtype=np.float32) - loss  # on the way to each sample, in dB
    behind = cv2.GaussianBlur(np.clip(taken, -9, 32), (0, 0), rng.uniform(1.5, 3.5), None, 0.6)
    if not clear:
        behind += _dark_beams(rng, view)
    passed = cv2.exp(behind * np.float32(-np.log(10) / 20))
    mirror = mirror * passed
    # reverberation: weaker copies, deeper; and side lobes: smears across the beams
    deeper = int(rng.uniform(2, 7) / view.step)
    mirror[deeper:] += (0 if clear else rng.uniform(0, 0.12)) * mirror[:-deeper]
    lobes = cv2.blur(mirror, (31, 1)) * np.float32(rng.uniform(0.0, 0.15))
    fine = (
        1.0 if clear else float(np.clip(view.depth[-1, 0] / 110, 0.6, 1.5))
    )  # the shallower, the higher the frequency
    across = max(fine * rng.uniform(0.3, 0.65) / view.pitch, 0.5)
    along = max(fine * rng.uniform(0.13, 0.28) / view.step, 0.45)
    # a blur of s samples keeps 1 / (2 s sqrt(pi)) of a white field's power, each way: speckle of unit size after it
    unit = np.float32(2 * np.sqrt(np.pi * across * along))
    scatter = rng.standard_normal((*echo.shape, 2), np.float32) * ((echo * passed + lobes) * unit)[..., None]
    scatter[..., 0] += mirror * np.float32(rng.uniform(2, 4))
    sharp = cv2.GaussianBlur(scatter, (0, 0), across, None, along)
    blurred = cv2.GaussianBlur(scatter, (0, 0), rng.uniform(1.8, 2.6) * across, None, 1.2 * along)
    focus = view.depth[-1, 0] * rng.uniform(0.3, 0.8)
    away = np.minimum(np.abs(view.depth - focus) / (0.6 * view.depth[-1, 0]), 1)
    field: Array = sharp + (blurred - sharp) * away[..., None]
    envelope = cv2.magnitude(field[..., 0], field[..., 1])
    envelope += np.float32(rng.uniform(0.0002, 0.003) if clear else rng.uniform(0.0005, 0.005)) * (
        0.3 + view.depth / view.depth[-1]
    )  # the machine's own noise
    level = cv2.log(envelope) * np.float32(20 / np.log(10))
    bands = smooth_noise(rng, (echo.shape[0], 1), 7, 1) * np.float32(rng.uniform(0.5, 2.5))
    level += bands + np.float32(rng.uniform(-14 if clear else -9, 0 if clear else 3))
    # compounding and speckle reduction: part of the way to the local mean
    level += np.float32(rng.uniform(0.5 if clear else 0, 0.75)) * (cv2.GaussianBlur(level, (0, 0), 1.6) - level)
    grey = np.clip(1 + level / np.float32(rng.uniform(42, 60)), 0, 1)
    table = np.linspace(0, 1, 256) ** (rng.uniform(0.8, 1.4) if clear else rng.uniform(1.0, 1.9)) * rng.uniform(
        0.75, 1.0
    )
    shown = cv2.LUT((grey * 255).astype(np.uint8), (table * 255).astype(np.uint8))
    if rng.random() < 0.35:  # speckle reduction
        shown = cv2.medianBlur(shown, 3 if rng.random() < 0.6 else 5)
    return view.scan_convert(shown)


def _dark_beams(rng: np.random.Generator, view: View) -> Array:
    """Loss in dB (depths, beams) from poor contact, at the sides, and from shadows of structures outside the scene."""
    at = np.linspace(-1, 1, view.x.shape[1], dtype=np.float32)[None]
    dark = np.float32(rng.uniform(0, 9)) * np.abs(at - np.float32(rng.normal(0, 0.15))) ** np.float32(rng.uniform(2, 5))
    dark = np.repeat(dark, len(view.depth), axis=0)
    for _ in range(rng.integers(0, 3)):
        middle, half, soft = rng.uniform(-1.1, 1.1), rng.uniform(0.02, 0.25), rng.uniform(0.02, 0.12)
        across = np.clip(0.5 + (half - np.abs(at - middle)) / (2 * soft), 0, 1).astype(np.float32)
        start = rng.uniform(-0.1, 0.5) * view.depth[-1, 0]
        deep = np.clip((view.depth - start) / rng.uniform(5, 25), 0, 1)
        dark += np.float32(rng.uniform(2, 15)) * across * deep
    return dark
