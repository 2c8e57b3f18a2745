"""What lies in the scene: heads, abdomens, femurs, and frames of none of them. Millimetres, by gestational age."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.growth import size_for_age
from tfds_builders.fetal_phantom.acoustics import Machine, View
from tfds_builders.fetal_phantom.scene import BONE_LOSS, FLUID, FLUID_GAIN, Scene, grown, segment, turned, within

Array = NDArray[Any]
Rng = np.random.Generator
Drawn = tuple[Scene, Ellipse | Shaft | None, dict[str, float]]

ALL_SEEN = 0.97  # share of an outline that is shown, but in one frame of ten
CUT_SEEN = 0.80
LEAST_DEPTH, CLEAR_DEPTH = 48.0, 70.0  # mm down the frame: machines zoom no further


def head(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """A transverse section of the head; the shape is the skull's outer border."""
    hc, ratio = _size(rng, "hc", weeks), rng.uniform(0.70, 0.80 if machine.clear else 0.88)
    a = hc / float(geometry.perimeter(1.0, ratio))
    angle = np.deg2rad(
        rng.normal(0, 25 if machine.clear else 17) if machine.clear or rng.random() < 0.9 else rng.uniform(-90, 90)
    )
    view, skull = _place(rng, machine, a, ratio * a, angle, fill=(0.42 if machine.clear else 0.5, 0.92))
    scene, size = Scene(rng, view), a / 50
    early = weeks < 18
    _surroundings(scene, skull, fluid=0.9 if early else 0.45)
    scene.fill(grown(skull, rng.uniform(1.0, 2.6)), 0.05 * rng.uniform(0.4, 1.6))  # scalp
    scene.rim(grown(skull, rng.uniform(1.2, 2.8)), 0.8, rng.uniform(0.03, 0.25), 4, gaps=0.8)
    brain = rng.uniform(0.006, 0.035) * (1 if machine.clear else 0.75)
    scene.fill(skull, brain, exact=True)
    scene.texture(rng.uniform(0.3, 0.7), 14, skull)
    scene.texture(rng.uniform(0.2, 0.5), 40, skull)
    near = -1 if skull.axes_matrix[1, 1] > 0 else 1  # which side of the midline is nearer to the probe
    for side in (-1, 1):
        seen = 1.0 if side != near else rng.uniform(0.1, 0.8)  # the near half is hazy
        for _ in range(rng.integers(1, 5)):  # gyri, Sylvian fissure, borders of the thalami
            x, y = rng.uniform(-0.55, 0.55), side * rng.uniform(0.12, 0.75)
            scene.rim(within(skull, x, y, rng.uniform(0.08, 0.3), rng.uniform(0.04, 0.2), rng.normal(0, 0.4)),
                      1.2 * size, seen * rng.uniform(0.03, 0.15), 3, gaps=0.7)  # fmt: skip
        thalamus = within(skull, rng.uniform(-0.1, 0.1), side * 0.14, rng.uniform(0.12, 0.2), 0.12)
        scene.fill(thalamus, brain * rng.uniform(0.3, 0.9), keep=0.3, soft=2 * size)
        if scene.shows(0.7):  # lateral ventricle with its plexus
            x, y = rng.choice([-1, 1]) * rng.uniform(0.25, 0.45), side * rng.uniform(0.25, 0.42)
            wide = (0.3 if early else rng.uniform(0.08, 0.15), rng.uniform(0.25, 0.42))
            scene.fill(within(skull, x, y, wide[1], wide[0], side * 0.2), 2 * FLUID, soft=size)
            plexus = within(skull, x * rng.uniform(0.7, 1.1), y, 0.8 * wide[1], 0.7 * wide[0], side * 0.2)
            if machine.clear:
                scene.fill(plexus, seen * rng.uniform(0.1, 0.35), soft=1.5 * size)
            else:
                scene.fill(plexus, seen * rng.uniform(0.03, 0.12), soft=6 * size, keep=0.3)
                scene.curves(plexus, 3, seen * rng.uniform(0.05, 0.2), 0.6, 1, 0.8)
    for low, high in ((-0.92, -0.3), (0.3, 0.92)) if rng.random() < 0.7 else ((-0.9, 0.9),):  # the falx, broken
        if scene.shows(0.85):
            ends = np.sort(rng.uniform(low, high, 2))
            if ends[1] - ends[0] > 0.08:
                wobble = rng.normal(0, 0.012, 2)
                scene.bar(segment(skull, (ends[0], wobble[0]), (ends[1], wobble[1]), rng.uniform(0.7, 1.8) * size),
                          rng.uniform(0.1, 0.7))  # fmt: skip
    if scene.shows(0.7):  # cavum: a dark box between two lines
        x = rng.choice([-1, 1]) * rng.uniform(0.32, 0.5)
        scene.fill(within(skull, x, 0, 0.09, 0.055), FLUID)
        for y in (-0.06, 0.06):
            scene.bar(segment(skull, (x - 0.09, y), (x + 0.09, y), size), rng.uniform(0.1, 0.5))
    if rng.random() < 0.25:  # cerebellum
        for y in (-0.16, 0.16):
            scene.fill(within(skull, -0.62, y, 0.13, 0.17), 2 * brain, soft=size)
            scene.rim(within(skull, -0.62, y, 0.13, 0.17), size, 0.15, 2)
    if not machine.clear:
        _sulci(scene, skull, brain, near)
    _skull(scene, skull)
    return scene, skull, {"hc_mm": hc, "ofd_mm": 2 * a, "bpd_mm": 2 * a * ratio}


def _sulci(scene: Scene, skull: Ellipse, brain: float, near: int) -> None:
    """Short bright lines across the beams, most of them in the far half; the near half under a haze."""
    rng = scene.rng
    for side in (-near, near):
        half = within(skull, 0, 0.45 * side, 0.85, 0.5)
        seen = 1.0 if side != near else rng.uniform(0, 0.7)
        for cells in rng.uniform((5, 12), (9, 20)):
            scene.curves(half, cells, seen * rng.uniform(0.03, 0.25), rng.uniform(0.4, 0.9), rng.uniform(1, 4), 0.6)
    haze = within(skull, 0, 0.6 * near, 0.8, rng.uniform(0.2, 0.45))
    scene.fill(haze, brain * rng.uniform(0.6, 2.5), soft=0.25 * skull.b, keep=0.6)


def _skull(scene: Scene, skull: Ellipse) -> None:
    """Two bright lines, weak where the beam grazes them, thicker on the far side, with sutures."""
    rng = scene.rng
    thickness = rng.uniform(0.03, 0.06) * skull.a
    bright, sharp = rng.uniform(0.5, 1.6), rng.uniform(1.5, 4.5)
    loss = rng.uniform(0.1, 1) * BONE_LOSS / 4
    gaps, base = rng.uniform(0, 1.3), rng.uniform(0.02, 0.2)
    if not scene.view.machine.clear:
        thickness *= rng.uniform(1, 1.7)
        bright *= rng.uniform(0.4, 1)
        gaps *= 0.8
    scene.wall(skull, thickness, bright, sharp, loss, base, gaps)
    if rng.random() < (0.7 if scene.view.machine.clear else 0.25):  # the inner table
        scene.rim(grown(skull, -thickness * rng.uniform(1.2, 1.9)), 0.6 * thickness, 0.5 * bright, sharp, 0, base, gaps)


def abdomen(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """A transverse section of the abdomen; the shape is the outer skin."""
    ac, ratio = _size(rng, "ac", weeks), rng.uniform(0.92 if machine.clear else 0.85, 0.995)
    a = ac / float(geometry.perimeter(1.0, ratio))
    view, skin = _place(rng, machine, a, ratio * a, rng.uniform(-np.pi / 2, np.pi / 2), fill=(0.5, 0.95))
    scene, size = Scene(rng, view), a / 50
    _surroundings(scene, skin, fluid=0.55 if machine.clear else 0.8)
    _trunk(scene, skin, liver := rng.uniform(0.03, 0.13) + (0 if machine.clear else 0.03))
    if not machine.clear:  # the wall's muscle, darker; vessels in the liver
        scene.rim(skin, rng.uniform(0.06, 0.14) * skin.b, -rng.uniform(0.0, 0.5) * liver, 1, base=0.0, exact=True)
        scene.curves(grown(skin, -0.1 * skin.b), rng.uniform(5, 12), rng.uniform(0.01, 0.06), 0.6, 2, 0.25)
    inner = turned(skin, rng.uniform(0, 2 * np.pi) - skin.theta)
    flip, big = rng.choice([-1, 1]), 1.0 if machine.clear else 1.25
    if scene.shows(0.9):  # stomach
        x, y = rng.uniform(-0.2, 0.25), flip * rng.uniform(0.35, 0.58)
        scene.fill(within(inner, x, y, rng.uniform(0.1, 0.28) * big, rng.uniform(0.08, 0.17) * big, rng.normal(0, 0.4)),
                   FLUID, FLUID_GAIN, soft=size)  # fmt: skip
    if scene.shows(0.9):  # umbilical vein: a short dark comma a third of the way in
        x, y = rng.uniform(0.2, 0.5), -flip * rng.uniform(-0.05, 0.2)
        scene.fill(
            within(
                inner, x, y, rng.uniform(0.12, 0.25) * big, rng.uniform(0.03, 0.06) * big, flip * rng.uniform(0, 0.8)
            ),
            FLUID,
        )
        scene.fill(within(inner, x - 0.2, y - flip * 0.08, 0.1, 0.045, flip * 1.0), 2 * FLUID)
    for _ in range(rng.integers(0, 7)):  # vessels, gall bladder
        x, y = rng.uniform(-0.6, 0.7, 2)
        scene.fill(
            within(inner, x, y, rng.uniform(0.02, 0.1), rng.uniform(0.015, 0.03), rng.uniform(-2, 2)), 0.2 * liver
        )
    for y in (-0.08, 0.08):  # aorta, vena cava
        scene.fill(within(inner, -0.42, y + rng.normal(0, 0.03), 0.055, 0.055), FLUID)
    _spine_and_ribs(scene, inner, size)
    scene.rim(grown(skin, -rng.uniform(2, 5) * size), 1.2 * size, rng.uniform(0.05, 0.3), 3, gaps=0.9)
    dull = 1.0 if machine.clear else rng.uniform(0.4, 1)
    scene.wall(skin, rng.uniform(1.2, 2.6), dull * rng.uniform(0.25, 1.1), rng.uniform(1.5, 5), 0.05,
               rng.uniform(0.02, 0.2), gaps=rng.uniform(0.2, 1.4))  # fmt: skip
    return scene, skin, {"ac_mm": ac}


def _trunk(scene: Scene, skin: Ellipse, echo: float) -> None:
    scene.fill(skin, echo, exact=True)
    even = 1.0 if scene.view.machine.clear else 0.5
    scene.texture(even * scene.rng.uniform(0.15, 0.45), 10, skin)
    scene.texture(even * scene.rng.uniform(0.15, 0.4), 45, skin)


def _spine_and_ribs(scene: Scene, inner: Ellipse, size: float) -> None:
    """Three bright dots with their shadow at one edge, and symmetrical arcs."""
    rng = scene.rng
    for x, y in ((-0.72, 0.0), (-0.64, 0.11), (-0.64, -0.11)):
        dot = within(inner, x, y, rng.uniform(0.035, 0.07), rng.uniform(0.035, 0.07))
        scene.fill(dot, rng.uniform(0.3, 1.0), BONE_LOSS / 3, soft=1.5 * size)
        scene.rim(dot, 1.5 * size, 0.6, 2)
    if rng.random() < 0.7:
        for side in (-1, 1):
            for x in rng.uniform(-0.55, 0.3, rng.integers(1, 3)):
                y = side * 0.93 * np.sqrt(1 - x * x)
                rib = Shaft.from_ends(
                    segment(inner, (x - 0.12, y), (x + 0.12, y), 2 * size).ends, rng.uniform(1.5, 3) * size
                )
                scene.bar(rib, rng.uniform(0.15, 0.7), BONE_LOSS / 2, soft=1.5 * size)


def femur(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """The thigh along its bone; the shape is the shaft between its two ends, the epiphyses not counted."""
    fl = _size(rng, "fl", weeks)
    angle = np.deg2rad(
        rng.normal(0, 20 if machine.clear else 16) if machine.clear or rng.random() < 0.92 else rng.uniform(-90, 90)
    )
    width = float(np.clip(rng.uniform(0.05, 0.085) * fl, 1.6, 5.0)) * (1 if machine.clear else 0.85)
    view, middle = _place_shaft(rng, machine, fl, angle)
    scene = Scene(rng, view)
    half = fl / 2 * np.array([np.cos(angle), np.sin(angle)])
    bone = Shaft.from_ends([middle - half, middle + half], width)
    along, across = half / (fl / 2), np.array([-np.sin(angle), np.cos(angle)])
    across *= np.sign(across[1]) or 1.0  # away from the probe
    thick = rng.uniform(0.22, 0.4) * fl
    x, y = middle + along * rng.normal(0, 0.25) * fl + across * rng.uniform(0, 0.7) * thick
    thigh = Ellipse(x, y, rng.uniform(0.8, 1.4) * fl, thick, geometry.wrap(angle + rng.normal(0, 0.08)))
    _surroundings(scene, thigh, fluid=0.7 if machine.clear else 0.3)
    if not machine.clear:
        _trunk_beside(scene, bone, across)
    scene.fill(thigh, rng.uniform(0.012, 0.06), 0.02)
    scene.texture(rng.uniform(0.3, 0.7), 9, thigh)
    scene.texture(rng.uniform(0.2, 0.5), 25, thigh)
    scene.lines(Shaft.from_ends(bone.ends + across * rng.normal(0, 0.1) * fl, 1.1 * thigh.b),
                rng.uniform(1.5, 4), rng.uniform(0.1, 0.4) * (1 if machine.clear else 0.6))  # fmt: skip
    if not machine.clear:
        for cells in rng.uniform((5, 9), (9, 18)):
            scene.curves(thigh, cells, rng.uniform(0.02, 0.12), rng.uniform(0.3, 0.8), 2, rng.uniform(0, 0.8))
    scene.rim(thigh, rng.uniform(0.6, 1.5), rng.uniform(0.03, 0.3), 5, 0, 0.0, gaps=rng.uniform(0.8, 1.8))
    for end in bone.ends:  # pelvis, knee, lower leg: bright patches beyond the ends
        for _ in range(rng.integers(0, 5 if machine.clear else 3)):
            x, y = end + np.sign((end - middle) @ along) * along * rng.uniform(5, 25) + across * rng.normal(3, 8)
            patch = Ellipse(x, y, rng.uniform(2, 9), rng.uniform(1, 2), geometry.wrap(rng.uniform(-1.5, 1.5)))
            scene.fill(patch, rng.uniform(0.05, 0.4), rng.uniform(0, 1), soft=rng.uniform(0.5, 2.5))
    for end in bone.ends:  # cartilage: dark, round, not measured
        if rng.random() < 0.75:
            out = (end - middle) / np.linalg.norm(end - middle)
            knob = end + out * width * rng.uniform(0.9, 1.3)
            size = width * rng.uniform(0.9, 1.5)
            scene.fill(Ellipse(knob[0], knob[1], 1.1 * size, size, 0.0), rng.uniform(0.004, 0.015), soft=0.8)
    if rng.random() < 0.4:  # the other femur or the tibia: deeper, weaker, parallel
        shift = np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.28, 0.5)]) * fl
        ends = (bone.ends - middle) * rng.uniform(0.6, 1.0) + middle + shift
        scene.bar(Shaft.from_ends(ends, rng.uniform(0.5, 0.9) * width), rng.uniform(0.08, 0.3), 0.5, 0, 1.0)
    bow = rng.normal(0, 0.025)
    bright, loss, bow = rng.uniform(0.6, 1.6), rng.uniform(0.3, 1) * BONE_LOSS, float(np.clip(bow, -0.06, 0.06))
    if machine.clear:
        scene.bar(bone, bright, loss, bow)
    else:
        scene.bone(bone, bright * rng.uniform(0.3, 1.3), 0.8 * loss, bow)
    return scene, bone, {"fl_mm": fl}


def _trunk_beside(scene: Scene, bone: Shaft, across: Array) -> None:
    """Pelvis and belly, or the knee and lower leg: an uneven body beyond one end."""
    rng = scene.rng
    if rng.random() < 0.65:
        end, other = bone.ends if rng.random() < 0.5 else bone.ends[::-1]
        radius = bone.length * rng.uniform(0.35, 0.75)
        x, y = (
            end + (end - other) / bone.length * radius * rng.uniform(0.7, 1.0) + across * radius * rng.normal(0.2, 0.3)
        )
        body = Ellipse(x, y, radius, radius * rng.uniform(0.6, 0.95), rng.uniform(-1.5, 1.5))
        scene.fill(body, rng.uniform(0.015, 0.07), soft=2)
        scene.rim(body, 1.5, rng.uniform(0.02, 0.2), 3, gaps=1.0)
        for cells in rng.uniform((4, 7), (7, 15)):
            scene.curves(body, cells, rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.5), 1, rng.uniform(0.3, 1.2))


def thorax(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """A transverse section of the chest: like an abdomen, but with four dark chambers between two lungs."""
    ac = 0.85 * _size(rng, "ac", weeks)
    ratio = rng.uniform(0.85, 0.99)
    a = ac / float(geometry.perimeter(1.0, ratio))
    view, skin = _place(rng, machine, a, ratio * a, rng.uniform(-np.pi / 2, np.pi / 2), fill=(0.5, 0.95))
    scene, size = Scene(rng, view), a / 50
    _surroundings(scene, skin, fluid=0.55)
    _trunk(scene, skin, lung := rng.uniform(0.04, 0.13))
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
    _spine_and_ribs(scene, inner, size)
    scene.rim(
        skin, rng.uniform(1.2, 2.6), rng.uniform(0.25, 1.1), rng.uniform(1.5, 5), 0.05, gaps=rng.uniform(0.2, 1.4)
    )
    return scene, None, {}


def cervix(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """The cervical canal between its two lips, the bladder above, an arc of the head at the side."""
    scene = Scene(rng, view := _zoomed(rng, machine, rng.uniform(60, 110)))
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
    _skull(scene, skull)
    return scene, None, {}


def other(rng: Rng, machine: Machine, weeks: float) -> Drawn:
    """Fluid with limbs, a spine, kidneys, a face, the placenta, or nothing: lookalikes that must not be measured."""
    scene = Scene(rng, view := _zoomed(rng, machine, rng.uniform(60, 160)))
    tall, wide = view.tall, view.wide
    kind = rng.choice(["fluid", "spine", "face", "placenta", "blank"], p=[0.3, 0.25, 0.15, 0.22, 0.08])

    def anywhere(low: float, high: float, longest: float = 3.0) -> Ellipse:
        x, y = rng.uniform(0.1, 0.9, 2) * (wide, tall)
        b = rng.uniform(low, high)
        return Ellipse(x, y, b * rng.uniform(1.05, longest), b, rng.uniform(-1.5, 1.5))

    _layers(scene)
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
    if kind == "placenta":  # edges of walls, long and bright, that are no bone
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
    if kind == "face":  # a profile or orbits: arcs that no ellipse completes
        for _ in range(rng.integers(3, 7)):
            part = anywhere(4, 16, 1.8)
            scene.fill(part, float(rng.choice([0.01, 0.05])))
            scene.rim(part, rng.uniform(1, 2.5), rng.uniform(0.2, 0.8), rng.uniform(1, 4), 0.5, 0.0, gaps=1.8)
    return scene, None, {}


ANATOMIES = {"head": head, "abdomen": abdomen, "femur": femur, "thorax": thorax, "cervix": cervix, "other": other}


def _surroundings(scene: Scene, shape: Ellipse, fluid: float) -> None:
    """Layers of the mother above, then with a probability of `fluid` a pool around the structure, neighbours in it."""
    rng = scene.rng
    _layers(scene)
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
    """Organs, fat and muscle of the mother, without a form of their own."""
    rng = scene.rng
    for cells in rng.uniform((3, 7), (7, 18)):
        scene.curves(None, cells, rng.uniform(0.02, 0.2), rng.uniform(0.5, 1.5), rng.uniform(1, 4), rng.uniform(0, 1.1))


def _layers(scene: Scene) -> None:
    """Skin, fat and muscle of the mother: bright lines square to the beam in the first centimetres."""
    rng, depth = scene.rng, scene.view.depth
    for _ in range(rng.integers(0, 6)):
        at, thickness = rng.uniform(0, 0.22) * depth[-1, 0], rng.uniform(0.5, 2.5)
        near = np.abs(depth[:, 0] - at) < 2 + 4 * thickness
        wave = scene.view.x[near] / rng.uniform(15, 60) + rng.uniform(0, 6)
        line = np.exp(-(((depth[near] - at - rng.uniform(0, 2) * np.sin(wave)) / thickness) ** 2))
        scene.echo[near] += np.float32(rng.uniform(0.03, 0.2)) * line


def _size(rng: Rng, measure: str, weeks: float) -> float:
    mean, sd = size_for_age(measure, weeks)
    return float(mean + sd * np.clip(rng.standard_normal(), -2.5, 2.5))


def _place(
    rng: Rng, machine: Machine, a: float, b: float, angle: float, fill: tuple[float, float]
) -> tuple[View, Ellipse]:
    """A view in which an ellipse (mm) fills a share of the frame, and the ellipse in it. One frame of ten cuts it."""
    height, width, clear = machine
    tall = 2 * np.hypot(a * np.sin(angle), b * np.cos(angle))
    wide = 2 * np.hypot(a * np.cos(angle), b * np.sin(angle))
    least = CLEAR_DEPTH if clear else LEAST_DEPTH
    seen = 1.0 if clear else CUT_SEEN if rng.random() < 0.1 else ALL_SEEN
    while True:  # a view or a place that hides too much is drawn anew
        spacing = max(max(tall / height, wide / width) / rng.uniform(*fill), least / height)
        view = View(rng, machine, spacing)
        for _ in range(4):
            shift = rng.normal(0, [0.1, 0.07]) * (view.wide, view.tall)
            cx, cy = np.array([view.wide, view.tall]) / 2 + shift
            shape = Ellipse(float(cx), float(cy), a, b, geometry.wrap(angle))
            x, y = grown(shape, 1.5).points(60).T
            if view.inside(x, y).mean() >= seen:
                return view, shape


def _place_shaft(rng: Rng, machine: Machine, length: float, angle: float) -> tuple[View, Array]:
    """A view in which a bone (mm) fills a share of the frame, and where its middle is. Both ends are shown."""
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


def _zoomed(rng: Rng, machine: Machine, depth_mm: float) -> View:
    return View(rng, machine, depth_mm / machine.height)
