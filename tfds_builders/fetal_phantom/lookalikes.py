"""Sections that are not measured: thorax, cervix, and others that look like measured ones. In millimetres."""

from __future__ import annotations

import numpy as np

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.anatomy import Rng, Section, skull_wall, spine_and_ribs, trunk
from tfds_builders.fetal_phantom.scene import BONE_LOSS, FLUID, FLUID_GAIN, Scene, grown, segment, turned, within
from tfds_builders.fetal_phantom.surroundings import layers, place, random_size, surround, zoomed


def thorax(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw a transverse section of the chest: like an abdomen, but with four dark chambers between two lungs."""
    ac = 0.85 * random_size(rng, "ac", weeks)
    ratio = rng.uniform(0.85, 0.99)
    a = ac / float(geometry.perimeter(1.0, ratio))
    view, skin = place(rng, machine, a, ratio * a, rng.uniform(-np.pi / 2, np.pi / 2), fill=(0.5, 0.95))
    scene, size = Scene(rng, view), a / 50
    surround(scene, skin, fluid=0.55)
    trunk(scene, skin, lung := rng.uniform(0.04, 0.13))
    inner = turned(skin, rng.uniform(0, 2 * np.pi) - skin.theta)
    axis, middle = rng.uniform(0.4, 1.0) * rng.choice([-1, 1]), rng.uniform(0, 0.15)
    heart = within(inner, middle + 0.1, 0.1, rng.uniform(0.4, 0.5), rng.uniform(0.3, 0.38), axis)
    scene.fill(heart, 0.7 * lung)
    for x, y in ((-0.45, -0.4), (-0.45, 0.4), (0.4, -0.36), (0.4, 0.36)):
        scene.fill(within(heart, x, y, rng.uniform(0.28, 0.42), rng.uniform(0.2, 0.32), rng.normal(0, 0.2)),
                   FLUID, FLUID_GAIN, soft=size)  # fmt: skip
    scene.rim(heart, 1.5 * size, rng.uniform(0.05, 0.3), 2)
    if rng.random() < 0.8:  # the septum
        scene.bar(segment(heart, (-0.8, 0), (0.85, 0), 1.6 * size), rng.uniform(0.05, 0.3), 0, 0, size)
    spine_and_ribs(scene, inner, size)
    scene.rim(
        skin, rng.uniform(1.2, 2.6), rng.uniform(0.25, 1.1), rng.uniform(1.5, 5), 0.05, gaps=rng.uniform(0.2, 1.4)
    )
    return scene, None, {}


def cervix(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw the cervical canal between its two lips, the bladder above, an arc of the head at the side."""
    scene = Scene(rng, view := zoomed(rng, machine, rng.uniform(60, 110)))
    tall, wide = view.tall, view.wide
    bladder = Ellipse(wide * rng.uniform(0.3, 0.7), tall * rng.uniform(0.05, 0.2), rng.uniform(20, 40),
                      rng.uniform(6, 12), rng.normal(0, 0.2))  # fmt: skip
    scene.fill(bladder, FLUID, FLUID_GAIN)
    side = rng.choice([-1, 1])
    angle = rng.normal(0, 0.3)
    middle = np.array([wide, tall]) * rng.uniform(0.4, 0.6, 2)
    lip = Ellipse(middle[0], middle[1], rng.uniform(20, 32), rng.uniform(9, 15), geometry.wrap(angle))
    scene.fill(lip, rng.uniform(0.03, 0.09))
    scene.texture(0.3, 16, lip)
    scene.bar(
        segment(lip, (-0.95, 0), (0.95, 0), rng.uniform(1, 4)), rng.uniform(0.02, 0.2), 0, rng.normal(0, 0.06), 1.2
    )
    scene.rim(lip, 2, rng.uniform(0.05, 0.2), 2, gaps=0.8)
    radius = rng.uniform(35, 50)
    x = middle[0] + side * (lip.a + radius * rng.uniform(0.8, 1.0))
    skull = Ellipse(x, middle[1] + rng.normal(0, 10), radius, 0.8 * radius, rng.uniform(-1.5, 1.5))
    scene.fill(grown(skull, rng.uniform(2, 8)), FLUID, FLUID_GAIN)
    scene.fill(skull, 0.02)
    skull_wall(scene, skull)
    return scene, None, {}


def other(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw fluid with limbs, a spine, kidneys, a face, the placenta, or nothing: none of it is to be measured."""
    scene = Scene(rng, view := zoomed(rng, machine, rng.uniform(60, 160)))
    tall, wide = view.tall, view.wide
    kind = rng.choice(["fluid", "spine", "face", "placenta", "blank"], p=[0.3, 0.25, 0.15, 0.22, 0.08])

    def anywhere(low: float, high: float, longest: float = 3.0) -> Ellipse:
        x, y = rng.uniform(0.1, 0.9, 2) * (wide, tall)
        b = rng.uniform(low, high)
        return Ellipse(x, y, b * rng.uniform(1.05, longest), b, rng.uniform(-1.5, 1.5))

    layers(scene)
    if kind == "blank":
        scene.echo *= rng.uniform(0.05, 0.4)
        return scene, None, {}
    for _ in range(rng.integers(1, 4)):
        scene.fill(anywhere(8, 30), float(rng.choice([FLUID, 0.02, 0.12])), soft=rng.uniform(0.5, 4))
    if kind in ("fluid", "placenta"):
        if kind == "fluid":
            scene.fill(Ellipse(wide / 2, tall / 2, rng.uniform(0.3, 0.6) * wide, rng.uniform(0.25, 0.5) * tall,
                               rng.normal(0, 0.3)), FLUID, FLUID_GAIN)  # fmt: skip
        for _ in range(rng.integers(1, 6)):  # limbs, cord: small sections with a wall, some with a dot of bone
            limb = anywhere(3, 11, 2.2)
            scene.fill(limb, rng.uniform(0.02, 0.12))
            scene.rim(limb, rng.uniform(0.8, 2), rng.uniform(0.1, 0.6), 2, gaps=0.6)
            if rng.random() < 0.5:
                scene.fill(within(limb, 0, 0, 0.2, 0.2), 0.6, BONE_LOSS / 2)
    if kind == "placenta":  # edges of walls: long and bright, but not bone
        for _ in range(rng.integers(1, 4)):
            radius = rng.uniform(0.6, 3) * wide
            y = tall * rng.uniform(0.2, 0.8) + rng.choice([-1, 1]) * radius
            wall = Ellipse(wide * rng.uniform(0.2, 0.8), y, radius, radius * 0.98, 0.0)
            scene.rim(wall, rng.uniform(1, 4), rng.uniform(0.1, 0.8), 3, gaps=rng.uniform(0.2, 1.5))
    if kind == "spine":  # dots in two rows, each with its shadow
        start, angle = rng.uniform(0.1, 0.35, 2) * (wide, tall), rng.normal(0, 0.35)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        step, gap, curve = rng.uniform(3.5, 7), rng.uniform(4, 11), rng.normal(0, 0.01)
        for i in range(rng.integers(8, 20)):
            for row in (0, gap) if rng.random() < 0.95 else (0,):
                x, y = start + i * step * along + (row + curve * (i * step - 40) ** 2 / 10) * across
                dot = Ellipse(x, y, rng.uniform(0.3, 0.42) * step, 1.2, geometry.wrap(angle))
                scene.fill(dot, rng.uniform(0.2, 0.9), BONE_LOSS / 2)
    if kind == "face":  # a profile or orbits: arcs that are not part of an ellipse
        for _ in range(rng.integers(3, 7)):
            part = anywhere(4, 16, 1.8)
            scene.fill(part, float(rng.choice([0.01, 0.05])))
            scene.rim(part, rng.uniform(1, 2.5), rng.uniform(0.2, 0.8), rng.uniform(1, 4), 0.5, 0.0, gaps=1.8)
    return scene, None, {}
