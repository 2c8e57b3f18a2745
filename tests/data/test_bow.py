"""The bow of a bone, found in a drawn frame, and the target that follows it."""

from __future__ import annotations

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.biometry.shaft import fit_shaft
from fetal_jax.data.bow import bow
from fetal_jax.geometry import Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training.targets import coverage

SIZE = (128, 192)
KIND = jnp.asarray([GEOMETRIES.index("shaft")])


def shaft_of(length: float, angle: float, width: float = 6.0) -> Shaft:
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([SIZE[1], SIZE[0]]) / 2
    return Shaft.from_ends([middle - half, middle + half], width)


def bent(shaft: Shaft, share: float) -> np.ndarray:
    """Points on the middle line of a bone with a bow, from its definition."""
    first, second = shaft.ends
    u = np.linspace(-1, 1, 101)[:, None]
    along = second - first
    return (first + second) / 2 + u * along / 2 + share * (1 - u**2) * np.array([-along[1], along[0]])


def target(shaft: Shaft, share: float) -> np.ndarray:
    params = jnp.asarray(np.asarray(shaft, np.float32))[None]
    return np.asarray(coverage(KIND, params, SIZE, jnp.asarray([share], jnp.float32))[0])


@given(st.floats(30, 100), st.floats(-3.1, 3.1), st.floats(-0.08, 0.08))
def test_the_bow_of_a_bright_bone_is_found(length, angle, share):
    shaft, image = shaft_of(length, angle), np.full(SIZE, 40, np.uint8)
    line = np.round((bent(shaft, share) - 0.5) * 16).astype(np.int32)
    cv2.polylines(image, [line], False, 220, 3, cv2.LINE_AA, 4)
    assert bow(image, shaft) == pytest.approx(share, abs=max(0.012, 1 / length))


@pytest.mark.parametrize("image", [np.full(SIZE, 90, np.uint8), np.zeros(SIZE, np.uint8)])
def test_without_a_bone_in_sight_it_is_straight(image):
    assert bow(image, shaft_of(80, 0.4)) == 0


def test_a_bone_of_few_pixels_is_straight():
    image = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    assert bow(image, shaft_of(7, 0.0)) == 0
    assert bow(image, shaft_of(70, 0.0)) != 0


@given(st.floats(40, 100), st.floats(-3.1, 3.1), st.floats(-0.08, 0.08))
def test_the_target_follows_the_bow_and_keeps_the_chord(length, angle, share):
    shaft = shaft_of(length, angle)
    drawn = target(shaft, share)
    assert drawn.sum() == pytest.approx(length * 6, rel=0.02)
    columns, rows = np.floor(bent(shaft, share)[5:-5]).astype(int).T
    assert drawn[rows, columns].min() > 0.99
    found = fit_shaft(drawn).shaft
    ends = min(np.abs(found.ends - order).max() for order in (shaft.ends, shaft.ends[::-1]))
    assert ends < 1.0 + 0.03 * length * abs(share)
    assert found.length == pytest.approx(length, abs=0.6 + 6 * abs(share))
