"""The view that a structure is placed in, and the mother's tissue around it. In millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse
from fetal_jax.growth import size_for_age
from tfds_builders.fetal_phantom.acoustics import Machine, View
from tfds_builders.fetal_phantom.scene import FLUID, FLUID_GAIN, Scene, grown

Array = NDArray[Any]
Rng = np.random.Generator

ALL_SEEN = 0.97  # share of an outline inside the view, in nine frames of ten
CUT_SEEN = 0.80
LEAST_DEPTH, CLEAR_DEPTH = 48.0, 70.0  # mm down the frame: machines zoom no further


def random_size(rng: Rng, measure: str, weeks: float) -> float:
    """Draw a size in mm of a fetus of this age, within 2.5 SD of INTERGROWTH-21st's mean."""
    mean, sd = size_for_age(measure, weeks)
    return float(mean + sd * np.clip(rng.standard_normal(), -2.5, 2.5))


def place(
    rng: Rng, machine: Machine, a: float, b: float, angle: float, fill: tuple[float, float]
) -> tuple[View, Ellipse]:
    """Draw a view in which an ellipse (mm) fills a share of the frame, and place it. One frame in ten cuts it."""
    height, width, clear = machine
    tall = 2 * np.hypot(a * np.sin(angle), b * np.cos(angle))
    wide = 2 * np.hypot(a * np.cos(angle), b * np.sin(angle))
    least = CLEAR_DEPTH if clear else LEAST_DEPTH
    seen = 1.0 if clear else CUT_SEEN if rng.random() < 0.1 else ALL_SEEN
    while True:  # draw again if too much is hidden
        spacing = max(max(tall / height, wide / width) / rng.uniform(*fill), least / height)
        view = View(rng, machine, spacing)
        for _ in range(4):
            shift = rng.normal(0, [0.1, 0.07]) * (view.wide, view.tall)
            cx, cy = np.array([view.wide, view.tall]) / 2 + shift
            shape = Ellipse(float(cx), float(cy), a, b, geometry.wrap(angle))
            x, y = grown(shape, 1.5).points(60).T
            if view.inside(x, y).mean() >= seen:
                return view, shape


def place_shaft(rng: Rng, machine: Machine, length: float, angle: float) -> tuple[View, Array]:
    """Draw a view in which a bone (mm) fills a share of the frame, and its middle. Both ends are inside the view."""
    height, width = machine.height, machine.width
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    least = CLEAR_DEPTH if machine.clear else LEAST_DEPTH
    while True:
        share = rng.uniform(0.28 if machine.clear else 0.32, 0.58)
        spacing = max(length / (share * width), 1.1 * abs(2 * half[1]) / height, least / height)
        view = View(rng, machine, spacing)
        for _ in range(4):
            middle = np.array([view.wide, view.tall]) * rng.normal(0.5, 0.11, 2)
            x, y = np.array([middle - half, middle, middle + half]).T
            if view.inside(x, y, 3.0).all():
                return view, middle


def zoomed(rng: Rng, machine: Machine, depth_mm: float) -> View:
    """Make a view of depth `depth_mm`."""
    return View(rng, machine, depth_mm / machine.height)


def surround(scene: Scene, shape: Ellipse, fluid: float) -> None:
    """Draw the mother's layers above and, with the probability `fluid`, a pool around the structure with limbs."""
    rng = scene.rng
    layers(scene)
    if not scene.view.machine.clear:
        _patches(scene)
    if rng.random() < fluid:
        shift = rng.normal(0, 0.2, 2) * shape.a
        pool = Ellipse(shape.cx + shift[0], shape.cy + shift[1], shape.a * rng.uniform(1.05, 1.7),
                       shape.a * rng.uniform(0.8, 1.05), geometry.wrap(shape.theta + rng.normal(0, 0.4)))  # fmt: skip
        scene.fill(pool, FLUID * rng.uniform(0.5, 4), FLUID_GAIN, soft=rng.uniform(0.5, 3))
    if rng.random() < 0.5:  # the uterus' wall or a placenta above
        radius = rng.uniform(80, 400)
        low = shape.cy - np.hypot(*shape.axes_matrix[1]) - rng.uniform(0, 8)
        wall = Ellipse(shape.cx + rng.normal(0, 30), low - radius, 1.05 * radius, radius, 0.0)
        scene.fill(wall, rng.uniform(0.02, 0.1), 0.03, soft=rng.uniform(0.5, 3), keep=0.5)
        scene.rim(wall, rng.uniform(0.6, 1.8), rng.uniform(0.0, 0.3), 6, 0, 0.0, gaps=0.9)
    if rng.random() < 0.35:  # a placenta or the uterine wall close by
        angle = rng.uniform(0, 2 * np.pi)
        away = (shape.a + rng.uniform(15, 40)) * np.array([np.cos(angle), np.sin(angle)])
        scene.fill(Ellipse(shape.cx + away[0], shape.cy + away[1], rng.uniform(25, 60), rng.uniform(12, 25),
                           geometry.wrap(angle + np.pi / 2)), rng.uniform(0.04, 0.15), soft=2)  # fmt: skip
    for _ in range(rng.integers(0, 5 if scene.view.machine.clear else 4)):  # limbs, cord
        angle = rng.uniform(0, 2 * np.pi)
        away = (shape.a + rng.uniform(4, 18)) * np.array([np.cos(angle), np.sin(angle)])
        limb = Ellipse(
            shape.cx + away[0], shape.cy + away[1], rng.uniform(4, 14), rng.uniform(2.5, 4), rng.uniform(-1.5, 1.5)
        )
        scene.fill(limb, rng.uniform(0.04, 0.2), soft=1)
        scene.rim(limb, 1.2, rng.uniform(0.1, 0.6), 2, gaps=0.6)


def _patches(scene: Scene) -> None:
    """Draw organs, fat and muscle of the mother, without a definite shape."""
    rng = scene.rng
    for cells in rng.uniform((3, 7), (7, 18)):
        scene.curves(None, cells, rng.uniform(0.02, 0.2), rng.uniform(0.5, 1.5), rng.uniform(1, 4), rng.uniform(0, 1.1))


def layers(scene: Scene) -> None:
    """Draw skin, fat and muscle of the mother: bright lines perpendicular to the beam in the first centimetres."""
    rng, depth = scene.rng, scene.view.depth
    for _ in range(rng.integers(0, 6)):
        at, thickness = rng.uniform(0, 0.22) * depth[-1, 0], rng.uniform(0.5, 2.5)
        near = np.abs(depth[:, 0] - at) < 2 + 4 * thickness
        wave = scene.view.x[near] / rng.uniform(15, 60) + rng.uniform(0, 6)
        line = np.exp(-(((depth[near] - at - rng.uniform(0, 2) * np.sin(wave)) / thickness) ** 2))
        scene.echo[near] += np.float32(rng.uniform(0.03, 0.2)) * line
