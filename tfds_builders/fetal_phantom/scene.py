"""A scene of tissue in beam coordinates, with the methods that draw anatomy into it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_phantom import acoustics
from tfds_builders.fetal_phantom.acoustics import View, smooth_noise

Array = NDArray[Any]

FLUID = 0.0015  # amplitude of amniotic fluid beside 1 of a bright skull: -56 dB
FLUID_GAIN = -0.06  # dB per mm: tissue behind fluid is brighter
BONE_LOSS = 4.0  # dB per mm


class Scene:
    """Echo, mirror reflection and loss of every sample of a view. Shapes are in the view's millimetres."""

    def __init__(self, rng: np.random.Generator, view: View):
        self.rng, self.view = rng, view
        self.echo = np.full(view.x.shape, rng.uniform(0.012, 0.06), np.float32)
        self.mirror = np.zeros_like(self.echo)
        self.loss = np.full_like(self.echo, rng.uniform(-0.01, 0.05) * view.step)
        self.texture(0.7, 6)
        self.texture(0.35, 24)
        self.bend = 0.0  # mm (SD) of the displacement (dx, dy) that bends shapes
        if not view.machine.clear:
            self.streaks(rng.uniform(0.15, 0.5))
            self.bend = rng.uniform(0.004, 0.016) * float(view.depth[-1, 0])
            self.dx, self.dy = (smooth_noise(rng, self.echo.shape, 9, 7) * np.float32(self.bend) for _ in range(2))

    def shows(self, probability: float) -> bool:
        """Draw whether a part is shown, with the given probability; a clear machine shows every part."""
        return bool(self.rng.random() < probability) or self.view.machine.clear

    def texture(self, strength: float, cells: int, within: Ellipse | None = None) -> None:
        """Make tissue uneven: echo times exp(noise), `cells` cells down the view; inside an ellipse or everywhere."""
        noise = cv2.exp(smooth_noise(self.rng, self.echo.shape, cells, int(0.7 * cells) + 1) * np.float32(strength))
        if within is None:
            self.echo *= noise
        else:
            window, d, _ = self._distance(within, 1.0)
            self.echo[window] *= np.where(d < 0, noise[window], 1)

    def streaks(self, strength: float) -> None:
        """Draw layers of tissue across the beams: fine in depth, long from beam to beam."""
        self.echo *= cv2.exp(smooth_noise(self.rng, self.echo.shape, 75, 9) * np.float32(strength))

    def curves(
        self, shape: Ellipse | None, cells: float, echo: float, width: float, sharpness: float, contrast: float
    ) -> None:
        """Draw irregular borders inside an ellipse (None: everywhere): lines along the zeros of smooth
        noise of `cells` cells across, `width` mm wide, bright where the beam meets them square, broken here and there.
        Tissue on their two sides differs by exp(`contrast`)."""
        window: tuple[slice, slice]
        inside: Array
        if shape is None:
            window, inside = (slice(0, None), slice(0, None)), np.ones_like(self.echo)
            size = float(self.view.depth[-1, 0])
        else:
            window, d, _ = self._distance(shape, 0.0)
            inside, size = np.clip(-d / 2, 0, 1), 2 * shape.a
        rows, columns = inside.shape
        if min(rows, columns) < 4:
            return
        down, across = (max(int(cells * mm / size), 2) for mm in (rows * self.view.step, columns * self.view.pitch))
        noise = smooth_noise(self.rng, inside.shape, down, across)
        dy = cv2.Sobel(noise, -1, 0, 1, scale=0.125) / np.float32(self.view.step)
        dx = cv2.Sobel(noise, -1, 1, 0, scale=0.125) / np.float32(self.view.pitch)
        steep = cv2.magnitude(dx, dy) + np.float32(1e-6)
        line = cv2.exp(-((noise / (steep * np.float32(width))) ** 2)) * cv2.pow(np.abs(dy) / steep, sharpness)
        line *= np.clip(1.2 * np.roll(noise, (rows // 3, columns // 3), (0, 1)), 0, 1)
        if contrast:
            self.echo[window] *= cv2.exp(np.clip(3 * noise, -1, 1) * inside * np.float32(contrast / 2))
        line *= inside * np.float32(echo)
        self.echo[window] += line
        self.mirror[window] += 0.5 * line

    def fill(
        self, shape: Ellipse, echo: float, loss: float = 0.0, soft: float = 0.6, keep: float = 0.0, exact: bool = False
    ) -> None:
        """Fill an ellipse with one echo and loss (dB per mm), its border `soft` mm wide; the share `keep` of the old
        echo shows through. Only an `exact` ellipse is not bent."""
        window, d, _ = self._distance(shape, soft, exact)
        inside = np.clip(0.5 - d / soft, 0, 1) * np.float32(1 - keep)
        self.echo[window] += inside * (np.float32(echo) - self.echo[window])
        self.mirror[window] *= 1 - inside
        self.loss[window] += inside * (np.float32(loss * self.view.step) - self.loss[window])

    def rim(
        self, shape: Ellipse, thickness: float, echo: float, sharpness: float, loss: float = 0.0, base: float = 0.05,
        gaps: float = 0.0, exact: bool = False,
    ) -> None:  # fmt: skip
        """Draw a reflecting wall with this outer border: `thickness` in mm, brightness `base` + cos^sharpness of
        the angle between beam and normal, broken where smooth noise falls below `gaps` (0: whole)."""
        window, d, normal = self._distance(shape, 2 * thickness, exact)
        if not d.size:  # outside the view
            return
        band = np.exp(-(((d + thickness / 2) / (0.42 * thickness)) ** 2))
        if gaps:
            holes = smooth_noise(self.rng, band.shape, 6, 6)
            band *= np.clip((holes + 1.6 - gaps) * 2, 0.04, 1)
        bright = band * np.float32(echo) * (base + cv2.pow(self._facing(window, normal), sharpness))
        self.mirror[window] += bright
        self.echo[window] += bright
        if loss:
            self.loss[window] += band * np.float32(loss * self.view.step)

    def wall(
        self, shape: Ellipse, thickness: float, echo: float, sharpness: float, loss: float, base: float, gaps: float
    ) -> None:
        """Draw the measured rim, exactly on the shape. A clear machine shows all of it."""
        base, gaps = (max(base, 0.35), 0.0) if self.view.machine.clear else (base, gaps)
        self.rim(shape, thickness, echo, sharpness, loss, base, gaps, exact=True)

    def bar(self, shaft: Shaft, echo: float, loss: float = 0.0, bow: float = 0.0, soft: float = 0.5) -> None:
        """Draw a reflecting bar: sharp towards the probe, fading away from it, bent by `bow` of its length.

        The chord between the shaft's two ends joins the middles of the bar's ends, however much it is bent.
        """
        s, t, window = self._along(shaft)
        t = t - np.float32(bow * shaft.length) * (1 - (2 * s / np.float32(shaft.length)) ** 2)
        ends = np.clip(0.5 + (shaft.length / 2 - np.abs(s)) / soft, 0, 1)
        side = np.clip(0.5 + (shaft.width / 2 - np.abs(t)) / soft, 0, 1)
        inside = ends * side
        fade = 1 - 0.6 * np.clip(t / shaft.width + 0.5, 0, 1) if shaft.x2 > shaft.x1 else 1
        bright = inside * fade * np.float32(echo)
        self.mirror[window] += bright
        self.echo[window] += bright
        self.loss[window] += inside * np.float32(loss * self.view.step)

    def bone(self, shaft: Shaft, echo: float, loss: float, bow: float) -> None:
        """Draw the measured bar as bones usually look: uneven along the length, weaker where the beam grazes it, with a
        sharp near edge, fading towards the far one, a little wider at the ends."""
        rng = self.rng
        s, t, window = self._along(shaft)
        u, width = 2 * s / np.float32(shaft.length), np.float32(shaft.width)
        t = (t - np.float32(bow * shaft.length) * (1 - u * u)) * (1 if shaft.x2 >= shaft.x1 else -1)
        half = width / 2 * (1 + np.float32(rng.uniform(0, 0.3)) * np.minimum(u * u, 1) ** 2)
        inside = np.clip(0.5 + (shaft.length / 2 - np.abs(s)) / rng.uniform(0.5, 1.0), 0, 1)
        inside *= np.clip(0.5 + (half + t) / 0.4, 0, 1) * np.clip(0.5 + (half - t) / rng.uniform(0.4, 1.6), 0, 1)
        fade = 1 - np.float32(rng.uniform(0.3, 0.85)) * np.clip(0.3 + t / width, 0, 1)
        uneven = np.interp(u, np.linspace(-1, 1, 7), rng.uniform(0.6, 1.1, 7)).astype(np.float32)
        beam, normal = self.view.beam[:, :, window[1]], (shaft.ends[1] - shaft.ends[0])[::-1] / shaft.length
        facing = np.abs(beam[1] * np.float32(normal[1]) - beam[0] * np.float32(normal[0]))
        bright = inside * fade * uneven * (0.3 + 0.7 * facing ** np.float32(rng.uniform(1, 5))) * np.float32(echo)
        self.mirror[window] += bright
        self.echo[window] += bright
        self.loss[window] += inside * np.float32(loss * self.view.step)

    def lines(self, shaft: Shaft, period: float, strength: float) -> None:
        """Draw muscle fibres: stripes along a shaft, within its width."""
        s, t, window = self._along(shaft)
        inside = (np.abs(t) < shaft.width / 2) & (np.abs(s) < shaft.length / 2)
        wave = np.sin(2 * np.pi * t / period + np.float32(self.rng.uniform(0, 6)) + 0.25 * s / period)
        self.echo[window] *= np.where(inside, np.exp(np.float32(strength) * wave), 1)

    def image(self) -> Array:
        """Form the frame (height, width) uint8 of the scene."""
        return acoustics.image(self.rng, self.view, self.echo, self.mirror, self.loss)

    def _along(self, shaft: Shaft) -> tuple[Array, Array, tuple[slice, slice]]:
        """Coordinates along and across a shaft, in mm, and the window that contains it."""
        middle = shaft.ends.mean(0)
        along = ((shaft.ends[1] - shaft.ends[0]) / shaft.length).astype(np.float32)
        window = self.view.window(middle[0], middle[1], 0.55 * shaft.length + shaft.width)
        x, y = self.view.x[window] - np.float32(middle[0]), self.view.y[window] - np.float32(middle[1])
        return x * along[0] + y * along[1], y * along[0] - x * along[1], window

    def _distance(
        self, shape: Ellipse, margin: float, exact: bool = False
    ) -> tuple[tuple[slice, slice], Array, tuple[Array, Array]]:
        """The window that contains an ellipse and a margin; in it, the distance to the outline in mm (to first order,
        negative inside) and a normal of the outline (of arbitrary length). All but `exact` ellipses are bent, because
        no organ is an exact ellipse."""
        bent = 0.0 if exact else min(1, 0.1 * shape.b)  # small ones less
        window = self.view.window(shape.cx, shape.cy, shape.a + margin + 2.5 * bent * self.bend)
        x, y = self.view.x[window] - np.float32(shape.cx), self.view.y[window] - np.float32(shape.cy)
        if bent and self.bend:
            x += self.dx[window] * np.float32(bent)
            y += self.dy[window] * np.float32(bent)
        inverse = np.linalg.inv(shape.axes_matrix)
        form = (inverse.T @ inverse).astype(np.float32)
        nx, ny = form[0, 0] * x + form[0, 1] * y, form[0, 1] * x + form[1, 1] * y
        x *= nx
        y *= ny
        x += y  # square of the distance from the centre, in units of the outline's there
        d = x - cv2.sqrt(x) if x.size else x
        d /= _length(nx, ny)
        return window, d, (nx, ny)

    def _facing(self, window: tuple[slice, slice], normal: tuple[Array, Array]) -> Array:
        """|cos| of the angle between beam and normal."""
        beam, (nx, ny) = self.view.beam[:, :, window[1]], normal
        facing: Array = np.abs(nx * beam[0] + ny * beam[1])
        facing /= _length(nx, ny)
        return facing


def _length(x: Array, y: Array) -> Array:
    return (cv2.magnitude(x, y) if x.size else x) + np.float32(1e-9)


def within(outer: Ellipse, x: float, y: float, a: float, b: float, turn: float = 0.0) -> Ellipse:
    """Place an ellipse, given in units of another one's axes."""
    c, s = np.cos(turn), np.sin(turn)
    matrix = outer.axes_matrix @ np.array([[c, -s], [s, c]]) @ np.diag([a, b])
    return Ellipse.from_matrix(outer.axes_matrix @ [x, y] + (outer.cx, outer.cy), matrix)


def grown(shape: Ellipse, by: float) -> Ellipse:
    """Lengthen both semi-axes of an ellipse by `by` mm."""
    return Ellipse(shape.cx, shape.cy, shape.a + by, shape.b + by, shape.theta)


def segment(shape: Ellipse, start: ArrayLike, end: ArrayLike, width: float) -> Shaft:
    """Place a bar between two points, given in units of an ellipse's axes; `width` in mm."""
    return Shaft.from_ends(np.array([start, end], float) @ shape.axes_matrix.T + (shape.cx, shape.cy), width)


def turned(shape: Ellipse, angle: float) -> Ellipse:
    """Turn an ellipse about its centre."""
    return Ellipse(shape.cx, shape.cy, shape.a, shape.b, geometry.wrap(shape.theta + angle))
