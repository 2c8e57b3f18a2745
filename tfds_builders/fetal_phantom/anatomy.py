"""Sections that are measured: head, abdomen, femur. In millimetres, by gestational age."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.scene import BONE_LOSS, FLUID, FLUID_GAIN, Scene, grown, segment, turned, within
from tfds_builders.fetal_phantom.surroundings import place, place_shaft, random_size, surround

Array = NDArray[Any]
Rng = np.random.Generator
Section = tuple[Scene, Ellipse | Shaft | None, dict[str, float]]
"""A scene, the measured shape in it and its sizes in mm."""


def head(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw a transverse section of the head; the shape is the skull's outer border."""
    hc, ratio = random_size(rng, "hc", weeks), rng.uniform(0.70, 0.80 if machine.clear else 0.88)
    a = hc / float(geometry.perimeter(1.0, ratio))
    angle = np.deg2rad(
        rng.normal(0, 25 if machine.clear else 17) if machine.clear or rng.random() < 0.9 else rng.uniform(-90, 90)
    )
    view, skull = place(rng, machine, a, ratio * a, angle, fill=(0.42 if machine.clear else 0.5, 0.92))
    scene, size = Scene(rng, view), a / 50
    early = weeks < 18
    surround(scene, skull, fluid=0.9 if early else 0.45)
    scene.fill(grown(skull, rng.uniform(1.0, 2.6)), 0.05 * rng.uniform(0.4, 1.6))  # scalp
    scene.rim(grown(skull, rng.uniform(1.2, 2.8)), 0.8, rng.uniform(0.03, 0.25), 4, gaps=0.8)
    brain = rng.uniform(0.006, 0.035) * (1 if machine.clear else 0.75)
    scene.fill(skull, brain, exact=True)
    scene.texture(rng.uniform(0.3, 0.7), 14, skull)
    scene.texture(rng.uniform(0.2, 0.5), 40, skull)
    near = -1 if skull.axes_matrix[1, 1] > 0 else 1  # the side of the midline nearer to the probe
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
    skull_wall(scene, skull)
    return scene, skull, {"hc_mm": hc, "ofd_mm": 2 * a, "bpd_mm": 2 * a * ratio}


def _sulci(scene: Scene, skull: Ellipse, brain: float, near: int) -> None:
    """Draw short bright lines across the beams, most of them in the far half, and haze over the near half."""
    rng = scene.rng
    for side in (-near, near):
        half = within(skull, 0, 0.45 * side, 0.85, 0.5)
        seen = 1.0 if side != near else rng.uniform(0, 0.7)
        for cells in rng.uniform((5, 12), (9, 20)):
            scene.curves(half, cells, seen * rng.uniform(0.03, 0.25), rng.uniform(0.4, 0.9), rng.uniform(1, 4), 0.6)
    haze = within(skull, 0, 0.6 * near, 0.8, rng.uniform(0.2, 0.45))
    scene.fill(haze, brain * rng.uniform(0.6, 2.5), soft=0.25 * skull.b, keep=0.6)


def skull_wall(scene: Scene, skull: Ellipse) -> None:
    """Draw two bright lines, weak where the beam grazes them, thicker on the far side, with sutures."""
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


def abdomen(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw a transverse section of the abdomen; the shape is the outer skin."""
    ac, ratio = random_size(rng, "ac", weeks), rng.uniform(0.92 if machine.clear else 0.85, 0.995)
    a = ac / float(geometry.perimeter(1.0, ratio))
    view, skin = place(rng, machine, a, ratio * a, rng.uniform(-np.pi / 2, np.pi / 2), fill=(0.5, 0.95))
    scene, size = Scene(rng, view), a / 50
    surround(scene, skin, fluid=0.55 if machine.clear else 0.8)
    trunk(scene, skin, liver := rng.uniform(0.03, 0.13) + (0 if machine.clear else 0.03))
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
    for side in (-0.08, 0.08):  # aorta, vena cava
        scene.fill(within(inner, -0.42, side + rng.normal(0, 0.03), 0.055, 0.055), FLUID)
    spine_and_ribs(scene, inner, size)
    scene.rim(grown(skin, -rng.uniform(2, 5) * size), 1.2 * size, rng.uniform(0.05, 0.3), 3, gaps=0.9)
    dull = 1.0 if machine.clear else rng.uniform(0.4, 1)
    scene.wall(skin, rng.uniform(1.2, 2.6), dull * rng.uniform(0.25, 1.1), rng.uniform(1.5, 5), 0.05,
               rng.uniform(0.02, 0.2), gaps=rng.uniform(0.2, 1.4))  # fmt: skip
    return scene, skin, {"ac_mm": ac}


def trunk(scene: Scene, skin: Ellipse, echo: float) -> None:
    """Draw coarse and fine tissue inside the skin."""
    scene.fill(skin, echo, exact=True)
    even = 1.0 if scene.view.machine.clear else 0.5
    scene.texture(even * scene.rng.uniform(0.15, 0.45), 10, skin)
    scene.texture(even * scene.rng.uniform(0.15, 0.4), 45, skin)


def spine_and_ribs(scene: Scene, inner: Ellipse, size: float) -> None:
    """Draw three bright dots with shadows at one edge, and symmetrical arcs."""
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


def femur(rng: Rng, machine: Machine, weeks: float) -> Section:
    """Draw the thigh along its bone; the shape is the shaft between its two ends, without the epiphyses."""
    fl = random_size(rng, "fl", weeks)
    angle = np.deg2rad(
        rng.normal(0, 20 if machine.clear else 16) if machine.clear or rng.random() < 0.92 else rng.uniform(-90, 90)
    )
    width = float(np.clip(rng.uniform(0.05, 0.085) * fl, 1.6, 5.0)) * (1 if machine.clear else 0.85)
    view, middle = place_shaft(rng, machine, fl, angle)
    scene = Scene(rng, view)
    half = fl / 2 * np.array([np.cos(angle), np.sin(angle)])
    bone = Shaft.from_ends([middle - half, middle + half], width)
    along, across = half / (fl / 2), np.array([-np.sin(angle), np.cos(angle)])
    across *= np.sign(across[1]) or 1.0  # away from the probe
    thick = rng.uniform(0.22, 0.4) * fl
    x, y = middle + along * rng.normal(0, 0.25) * fl + across * rng.uniform(0, 0.7) * thick
    thigh = Ellipse(x, y, rng.uniform(0.8, 1.4) * fl, thick, geometry.wrap(angle + rng.normal(0, 0.08)))
    surround(scene, thigh, fluid=0.7 if machine.clear else 0.3)
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
    """Draw pelvis and belly, or knee and lower leg: an uneven body beyond one end."""
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
