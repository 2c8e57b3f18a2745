"""Ellipses, shafts and affine maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft

sizes = st.floats(5, 200)
angles = st.floats(-1.5, 1.5)
places = st.floats(-100, 100)


@st.composite
def ellipses(draw):
    a = draw(sizes)
    return Ellipse(draw(places), draw(places), a, a * draw(st.floats(0.3, 0.95)), draw(angles))


@st.composite
def affine_maps(draw):
    turn = geometry.affine(draw(st.floats(0.2, 5)), draw(st.floats(-3, 3)), (draw(places), draw(places)))
    return geometry.compose(turn, geometry.stretch(draw(st.floats(0.5, 2)), draw(st.floats(0.5, 2))))


@pytest.mark.parametrize(("a", "b", "expected"), [(50, 40, 283.616679), (60, 45, 331.552382), (50, 25, 242.211206)])
def test_perimeter_is_exact(a, b, expected):
    assert geometry.perimeter(a, b) == pytest.approx(expected, abs=5e-7)


def test_perimeter_of_a_circle():
    assert geometry.perimeter(3.0, 3.0) == pytest.approx(6 * np.pi)


@given(ellipses(), affine_maps())
def test_transformed_ellipse_holds_the_transformed_points(ellipse, m):
    image = ellipse.transform(m)
    points = geometry.apply(m, ellipse.points(50))
    local = (points - (image.cx, image.cy)) @ np.linalg.inv(image.axes_matrix).T
    np.testing.assert_allclose((local**2).sum(1), 1, atol=1e-6)
    assert image.a >= image.b
    assert -np.pi / 2 <= image.theta < np.pi / 2


@given(ellipses(), affine_maps())
def test_inverse_map_brings_the_ellipse_back(ellipse, m):
    back = ellipse.transform(m).transform(geometry.invert(m))
    np.testing.assert_allclose(np.asarray(back)[:4], np.asarray(ellipse)[:4], atol=1e-6)
    assert np.sin(back.theta - ellipse.theta) == pytest.approx(0, abs=1e-5)


@given(affine_maps(), affine_maps(), places, places)
def test_compose_runs_from_right_to_left(m, n, x, y):
    together = geometry.apply(geometry.compose(m, n), (x, y))
    np.testing.assert_allclose(together, geometry.apply(m, geometry.apply(n, (x, y))), rtol=1e-9, atol=1e-6)


def test_mirror_takes_the_first_pixels_centre_to_the_last():
    np.testing.assert_allclose(geometry.apply(geometry.mirror(10), (0.5, 3)), (9.5, 3))


def test_mask_counts_pixels_by_their_centres():
    # a disc of radius 1 about (2, 2) holds the four centres at distance sqrt(1/2), and no other
    mask = geometry.mask(Ellipse(2, 2, 1, 1, 0), 4, 4)
    np.testing.assert_array_equal(np.argwhere(mask), [[1, 1], [1, 2], [2, 1], [2, 2]])


def test_shaft_ends_exactly_at_its_points():
    mask = geometry.mask(Shaft(2, 3, 7, 3, 2), 6, 10)
    np.testing.assert_array_equal(np.argwhere(mask)[[0, -1]], [[2, 2], [3, 6]])
    assert mask.sum() == 10


@given(st.floats(0.2, 5), st.floats(-3, 3))
def test_shaft_scales_its_length_and_width(scale, angle):
    image = Shaft(1, 2, 31, 42, 6).transform(geometry.affine(scale, angle, (3, -4)))
    assert image.length == pytest.approx(50 * scale)
    assert image.width == pytest.approx(6 * scale)


@pytest.mark.parametrize(("length", "width"), [(120, 10), (36, 3), (10, 3)])
def test_unknown_width_is_a_twelfth_and_at_least_three_pixels(length, width):
    assert Shaft(0, 0, length, 0, np.nan).drawn_width == pytest.approx(width)
