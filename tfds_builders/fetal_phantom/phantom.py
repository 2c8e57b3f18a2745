"""One drawn frame from one seed: anatomy in millimetres, a cheap image formation, exact geometry.

Tissue is a map of mean echogenicity; speckle, attenuation, gain and a sector are laid over it. Structures are drawn by
their analytic distance, so that pixels, spacing and millimetres agree to float rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.growth import size_for_age

Array = NDArray[Any]
HEIGHT, WIDTH = 360, 480


@dataclass(frozen=True)
class Phantom:
    """A drawn frame and all that is known of it."""

    image: Array  # (HEIGHT, WIDTH) uint8
    plane: str  # "head", "abdomen", "femur" or "other"
    shape: Ellipse | Shaft | None  # in pixels
    spacing_mm: float
    weeks: float
    millimetres: dict[str, float]


def draw(plane: str, seed: int) -> Phantom:
    """The frame of a plane and a seed; the same two give the same bytes."""
    rng = np.random.default_rng([seed, ("other", "abdomen", "head", "femur").index(plane)])
    weeks = float(rng.uniform(14, 40))
    scene = Scene(rng)
    anatomies: dict[str, Anatomy] = {"head": _head, "abdomen": _abdomen, "femur": _femur, "other": _other}
    shape, spacing, values = anatomies[plane](scene, weeks)
    return Phantom(scene.render(spacing), plane, shape, spacing, weeks, values)


class Scene:
    """Mean echogenicity, and how much of the beam passes, on the frame's pixel grid."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.centres = geometry.pixel_centres(HEIGHT, WIDTH).astype(np.float32)
        self.echo = np.full((HEIGHT, WIDTH), rng.uniform(0.10, 0.22), np.float32)
        self.echo *= 0.5 + smooth_noise(rng, 40) + 0.5 * smooth_noise(rng, 12)
        self.loss = np.zeros((HEIGHT, WIDTH), np.float32)  # dB taken from the beam in this pixel
        # the beams meet above the frame
        self.apex = np.array([WIDTH * rng.uniform(0.4, 0.6), -HEIGHT * rng.uniform(0.1, 0.6)], np.float32)
        beam = self.centres - self.apex
        self.depth = np.sqrt((beam**2).sum(-1))
        self.beam = beam / self.depth[..., None]

    def distance(self, shape: Ellipse, margin: float) -> tuple[Any, Array, Array]:
        """The window that holds an ellipse and a margin; in it, signed distance in pixels, negative inside, and |cos|
        of the angle between the beam and the outline's normal."""
        reach = np.sqrt((shape.axes_matrix**2).sum(1)) + margin
        centre = np.array([shape.cx, shape.cy], np.float32)
        low = np.clip(np.floor(centre - reach), 0, [WIDTH, HEIGHT]).astype(int)
        high = np.clip(np.ceil(centre + reach), 0, [WIDTH, HEIGHT]).astype(int)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        inverse = np.linalg.inv(shape.axes_matrix).astype(np.float32)
        local = (self.centres[window] - centre) @ inverse.T
        r = np.hypot(local[..., 0], local[..., 1]) + 1e-6
        gradient = (local / r[..., None]) @ inverse
        steep = np.hypot(gradient[..., 0], gradient[..., 1]) + 1e-6
        return window, (r - 1) / steep, np.abs((gradient * self.beam[window]).sum(-1)) / steep

    def fill(self, shape: Ellipse, echo: float) -> None:
        """Fill an ellipse, its border one pixel soft."""
        window, d, _ = self.distance(shape, 1)
        self.echo[window] += np.clip(0.5 - d, 0, 1) * (echo - self.echo[window])

    def rim(self, shape: Ellipse, thickness: float, echo: float, sharpness: float, loss: float = 0.0) -> None:
        """A bright line just inside an outline, of `thickness` pixels, as cos^sharpness of the beam's angle."""
        window, d, facing = self.distance(shape, 2 * thickness)
        band = np.exp(-(((d + thickness / 2) / (0.5 * thickness)) ** 2))
        self.echo[window] += band * echo * (0.12 + facing**sharpness)
        self.loss[window] += band * loss

    def bar(self, shaft: Shaft, echo: float, loss: float, bow: float = 0.0) -> None:
        """A bright rectangle with soft borders, bent by `bow` of its length."""
        along = (shaft.ends[1] - shaft.ends[0]) / shaft.length
        offset = self.centres - shaft.ends.mean(0).astype(np.float32)
        s, t = offset @ along, offset @ np.array([-along[1], along[0]])
        t = t - bow * shaft.length * (1 - (2 * s / shaft.length) ** 2)
        inside = np.clip(0.5 + shaft.length / 2 - np.abs(s), 0, 1) * np.clip(0.5 + shaft.width / 2 - np.abs(t), 0, 1)
        self.echo += inside.astype(np.float32) * echo
        self.loss += inside.astype(np.float32) * loss

    def render(self, spacing_mm: float) -> Array:
        """Shadows, speckle, log compression, gain, sector and a ruler."""
        rng = self.rng
        mean = cv2.GaussianBlur(self.echo, (0, 0), 0.7) * 10 ** (-self._shadow() / 20)
        axial, lateral = rng.uniform(0.7, 1.1), rng.uniform(1.1, 2.0)
        field = [
            cv2.GaussianBlur(rng.standard_normal(mean.shape, np.float32), (0, 0), lateral, None, axial) for _ in "ri"
        ]
        speckle = np.sqrt(field[0] ** 2 + field[1] ** 2)
        amplitude = mean * (0.35 + 0.65 * speckle / speckle.mean()) + 0.002
        compressed = 1 + 20 * np.log10(np.maximum(amplitude, 1e-5)) / rng.uniform(42, 58)
        bands = 0.08 * smooth_noise(rng, 60).mean(axis=1, keepdims=True)
        grey = np.clip(compressed + bands + rng.uniform(-0.22, 0.02), 0, 1) ** rng.uniform(0.8, 1.3)
        frame = (255 * cv2.GaussianBlur(grey, (0, 0), 0.5)).astype(np.uint8)
        angle = np.abs(np.arctan2(self.beam[..., 0], self.beam[..., 1]))
        frame[(angle > np.deg2rad(rng.uniform(42, 62))) | (self.depth > rng.uniform(1.3, 1.9) * HEIGHT)] = 0
        for y in np.arange(10.0, HEIGHT, 5 / spacing_mm):  # a dot every 5 mm
            cv2.circle(frame, (6, int(y)), 1, 200, -1)
        return frame

    def _shadow(self) -> Array:
        """dB lost on the way: the running sum of `loss` along each beam, over rows sheared to be beams."""
        rows = np.arange(HEIGHT, dtype=np.float32)[:, None] + 0.5
        top = np.arange(WIDTH, dtype=np.float32)[None] + 0.5
        slope = (top - self.apex[0]) / -self.apex[1]  # of the beam that enters at (top, 0)
        x = (top + slope * rows - 0.5).astype(np.float32)
        y = np.broadcast_to(rows - 0.5, x.shape)
        behind = np.cumsum(cv2.remap(self.loss, x, np.ascontiguousarray(y), cv2.INTER_LINEAR), axis=0)
        entry = self.apex[0] + (self.centres[..., 0] - self.apex[0]) * -self.apex[1] / (rows - self.apex[1])
        back = cv2.remap(
            behind, entry - 0.5, np.ascontiguousarray(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return cv2.GaussianBlur(np.minimum(back, 25), (0, 0), 2.5)


Anatomy = Callable[[Scene, float], tuple[Ellipse | Shaft | None, float, dict[str, float]]]
"""Draws a structure of a gestational age into a scene: its shape in pixels, the spacing, its millimetres."""


def smooth_noise(rng: np.random.Generator, grain: int) -> Array:
    """(HEIGHT, WIDTH) in about [0, 1], smooth over `grain` pixels."""
    coarse = rng.random((HEIGHT // grain + 2, WIDTH // grain + 2), np.float32)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _size(rng: np.random.Generator, measure: str, weeks: float) -> float:
    mean, sd = size_for_age(measure, weeks)
    return float(mean + sd * np.clip(rng.standard_normal(), -2, 2))


def _place(rng: np.random.Generator, a: float, b: float, angle: float) -> Ellipse:
    """An ellipse of these semi-axes that lies in the frame, but in one of ten frames leaves it a little."""
    tall = np.hypot(a * np.sin(angle), b * np.cos(angle))
    wide = np.hypot(a * np.cos(angle), b * np.sin(angle))
    room = np.maximum([WIDTH / 2 - wide, HEIGHT / 2 - tall], 0) + (15 if rng.random() < 0.1 else 0)
    cx, cy = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-1, 1, 2) * np.minimum(room, [70, 50])
    return Ellipse(float(cx), float(cy), a, b, geometry.wrap(angle))


def _within(outer: Ellipse, x: float, y: float, a: float, b: float, turn: float = 0.0) -> Ellipse:
    """An ellipse given in units of another one's axes."""
    matrix = (
        outer.axes_matrix @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([a, b])
    )
    return Ellipse.from_matrix(outer.axes_matrix @ [x, y] + (outer.cx, outer.cy), matrix)


def _head(scene: Scene, weeks: float) -> tuple[Ellipse, float, dict[str, float]]:
    rng = scene.rng
    hc, ratio = _size(rng, "hc", weeks), rng.uniform(0.72, 0.86)
    unit = float(geometry.perimeter(1.0, ratio))
    a_mm = hc / unit
    angle = np.deg2rad(rng.normal(0, 25))
    wide, tall = np.hypot(np.cos(angle), ratio * np.sin(angle)), np.hypot(np.sin(angle), ratio * np.cos(angle))
    a = rng.uniform(0.62, 0.92) / 2 * min(WIDTH / wide, HEIGHT / tall)
    spacing = a_mm / a
    skull = _place(rng, a, ratio * a, angle)
    scale = a / 100
    scene.echo *= rng.uniform(0.3, 1.1)
    scene.fill(skull, float(rng.uniform(0.05, 0.12)))
    scene.echo *= 0.7 + 0.6 * smooth_noise(rng, 25)
    for side in (-1, 1):
        scene.fill(_within(skull, rng.uniform(-0.15, 0.1), side * rng.uniform(0.14, 0.2), 0.16, 0.10), 0.05)
        scene.rim(_within(skull, rng.uniform(-0.2, 0.2), side * 0.5, 0.45, 0.22), 2 * scale, 0.15, 3)
    for x in (-0.55, 0.3):
        ends = [skull.axes_matrix @ [x + dx, 0] + (skull.cx, skull.cy) for dx in (0, rng.uniform(0.25, 0.5))]
        scene.bar(Shaft.from_ends(ends, 2.5 * scale), 0.35, 0)
    scene.fill(_within(skull, 0.42, 0, 0.09, 0.06), 0.02)
    scene.rim(_within(skull, 0, 0, 1.05, 1.06), 1.5 * scale, 0.2, 4)
    scene.rim(skull, rng.uniform(3, 5.5) * scale, rng.uniform(0.9, 1.8), rng.uniform(2, 5), loss=rng.uniform(0.2, 0.8))
    return skull, spacing, {"hc_mm": hc, "ofd_mm": 2 * a_mm, "bpd_mm": 2 * a_mm * ratio}


def _abdomen(scene: Scene, weeks: float) -> tuple[Ellipse, float, dict[str, float]]:
    rng = scene.rng
    ac, ratio = _size(rng, "ac", weeks), rng.uniform(0.86, 0.99)
    a_mm = ac / float(geometry.perimeter(1.0, ratio))
    spacing = 2 * a_mm / (rng.uniform(0.65, 0.92) * HEIGHT)
    a = a_mm / spacing
    skin = _place(rng, a, ratio * a, rng.uniform(-np.pi / 2, np.pi / 2))
    scale = a / 100
    scene.echo *= rng.uniform(0.2, 0.7)  # fluid, or tissue darker than liver
    scene.fill(skin, float(rng.uniform(0.18, 0.3)))
    scene.echo *= 0.8 + 0.4 * smooth_noise(rng, 15)
    turn = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)

    def at(x: float, y: float) -> tuple[float, float]:
        return c * x - s * y, s * x + c * y

    scene.fill(_within(skin, *at(0.05, rng.uniform(0.4, 0.55)), rng.uniform(0.12, 0.22), 0.12, turn), 0.01)  # stomach
    scene.fill(_within(skin, *at(0.35, -0.05), 0.2, 0.05, turn + 0.3), 0.015)  # umbilical vein
    for x, y in ((-0.72, 0.0), (-0.62, 0.12), (-0.62, -0.12)):  # spine
        dot = _within(skin, *at(x, y), 0.06, 0.06)
        scene.fill(dot, 1.2)
        scene.rim(dot, 4 * scale, 0.0, 1, loss=1.5)
    scene.fill(_within(skin, *at(-0.45, 0.1), 0.06, 0.06), 0.01)  # aorta
    for side in (-1, 1):
        scene.rim(_within(skin, *at(-0.2, side * 0.1), 0.75, 0.78), 2 * scale, 0.1, 6)
    scene.rim(skin, rng.uniform(2.5, 5) * scale, rng.uniform(0.5, 1.2), rng.uniform(2, 5), loss=0.1)
    return skin, spacing, {"ac_mm": ac}


def _femur(scene: Scene, weeks: float) -> tuple[Shaft, float, dict[str, float]]:
    rng = scene.rng
    fl = _size(rng, "fl", weeks)
    spacing = fl / (rng.uniform(0.3, 0.6) * WIDTH)
    length, angle = fl / spacing, np.deg2rad(rng.uniform(-45, 45))
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-40, 40, 2)
    width = float(np.clip(rng.uniform(0.07, 0.11) * length, 6, 18))
    bone = Shaft.from_ends([middle - half, middle + half], width)
    thigh = Ellipse(middle[0], middle[1], 0.85 * length, 0.42 * length, geometry.wrap(angle))
    scene.fill(thigh, float(rng.uniform(0.08, 0.16)))
    scene.echo *= 0.8 + 0.4 * smooth_noise(rng, 10)
    scene.rim(thigh, 3, 0.3, 4)
    for end in bone.ends:  # cartilage: dark, round, not measured
        out = (end - middle) / np.linalg.norm(end - middle)
        knob = end + out * width * 1.1
        scene.fill(Ellipse(knob[0], knob[1], width * 1.1, width, 0.0), 0.03)
    if rng.random() < 0.3:  # the other thigh's bone, weaker and deeper
        shift = np.array([0, rng.uniform(0.3, 0.45) * length]) + rng.uniform(-20, 20)
        scene.bar(Shaft.from_ends(0.9 * bone.ends + 0.1 * middle + shift, 0.7 * width), 0.15, 0.1)
    scene.bar(bone, rng.uniform(0.8, 1.6), rng.uniform(0.5, 1.5), bow=rng.uniform(-0.02, 0.02))
    return bone, spacing, {"fl_mm": fl}


def _other(scene: Scene, weeks: float) -> tuple[None, float, dict[str, float]]:
    """Fluid, layers, dots in a row, small circles: nothing that is measured."""
    rng = scene.rng
    spacing = float(rng.uniform(0.1, 0.4))

    def anywhere(low: float, high: float) -> Ellipse:
        x, y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        b = rng.uniform(low, high)
        return Ellipse(x, y, b * rng.uniform(1.05, 3), b, rng.uniform(-1.5, 1.5))

    for _ in range(rng.integers(1, 4)):
        scene.fill(anywhere(30, 90), float(rng.choice([0.004, 0.05, 0.3])))
    for _ in range(rng.integers(0, 4)):  # walls: arcs of circles that leave the frame
        x, y, radius = rng.uniform(0, WIDTH), rng.choice([-1, 1]) * rng.uniform(400, 900), rng.uniform(300, 800)
        scene.rim(Ellipse(x, HEIGHT / 2 + y, radius, radius * 0.9, 0.0), rng.uniform(2, 8), 0.4, 3)
    if rng.random() < 0.5:  # a spine: dots in a row, each with its shadow
        start, step = rng.uniform([60, 80], [200, 280]), rng.uniform(14, 26)
        for i in range(rng.integers(5, 12)):
            x, y = start + i * step * np.array([1, rng.uniform(-0.05, 0.15)])
            scene.fill(Ellipse(x, y, 6, 4, 0.0), 1.0)
            scene.rim(Ellipse(x, y, 6, 4, 0.0), 3, 0.0, 1, loss=1.0)
    if rng.random() < 0.4:  # a thorax: four dark chambers
        middle = rng.uniform([160, 120], [320, 240])
        for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            scene.fill(Ellipse(middle[0] + 24 * x, middle[1] + 20 * y, 20, 15, 0.4 * x), 0.01)
    return None, spacing, {}
