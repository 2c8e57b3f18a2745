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


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize(("gap", "cut"), [(3.9, True), (4.1, False)])
def test_shaft_is_cut_within_half_its_width_and_a_pixel_of_the_edge(side, gap, cut):
    """6 pixels wide: up to 4 pixels from any side of the box."""
    ends = np.array([[50.0, 50.0], [50.0, 60.0]])
    ends[0, side % 2] = 20 + gap if side < 2 else 80 - gap
    assert Shaft.from_ends(ends, 6).is_cut_by((20, 20, 80, 80)) == cut


def test_shaft_of_unknown_width_is_cut_by_its_drawn_width():
    shaft = Shaft(30, 50, 66, 50, np.nan)  # drawn 3 pixels wide
    assert shaft.is_cut_by((27.6, 0, 100, 100))
    assert not shaft.is_cut_by((27.4, 0, 100, 100))


def test_ellipse_points_and_ends_are_on_the_outline():
    ellipse = Ellipse(10, 20, 8, 5, np.pi / 2 - 0.1)
    np.testing.assert_allclose(np.hypot(*(ellipse.ends - (10, 20)).T), [8, 8, 5, 5])
    np.testing.assert_allclose(ellipse.ends[:2].mean(0), (10, 20))
    direction = ellipse.ends[1] - ellipse.ends[0]
    assert np.arctan2(direction[1], direction[0]) == pytest.approx(np.pi / 2 - 0.1)
    lengths = np.hypot(*np.diff(ellipse.points(4000), axis=0, append=ellipse.points(1)).T)
    assert lengths.sum() == pytest.approx(ellipse.perimeter, rel=1e-5)


@given(ellipses(), st.floats(0.05, 1), st.floats(0.5, 2))
def test_diameters_are_the_axes_in_millimetres(ellipse, row, ratio):
    column = row * ratio
    ends = ellipse.diameters((row, column)) * (column, row)
    in_mm = ellipse.transform(geometry.stretch(column, row))
    long, short = ends[1] - ends[0], ends[3] - ends[2]
    assert np.hypot(*long) == pytest.approx(2 * in_mm.a)
    assert np.hypot(*short) == pytest.approx(2 * in_mm.b)
    assert abs(long @ short) <= 1e-9 * in_mm.a**2
    np.testing.assert_allclose(ellipse.diameters(row), ellipse.ends, atol=1e-9 * ellipse.a)


@given(ellipses(), st.integers(0, 3))
def test_ellipse_of_its_own_diameters_in_any_order_is_itself(ellipse, flips):
    long, short = ellipse.ends.reshape(2, 2, 2)
    diameters = [long[:: -1 if flips & 1 else 1], short]
    found = geometry.ellipse_of_diameters(np.array(diameters[:: -1 if flips & 2 else 1]))
    np.testing.assert_allclose(np.asarray(found)[:4], np.asarray(ellipse)[:4], rtol=1e-9, atol=1e-9)
    assert np.sin(found.theta - ellipse.theta) == pytest.approx(0, abs=1e-6)


def crossed(degrees_off: float, apart: float) -> np.ndarray:
    """Diameters of 100 and 80 pixels, off square by degrees, with their midpoints apart."""
    angle = np.radians(90 + degrees_off)
    half = 40 * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([apart, 0])
    return np.array([[[-50.0, 0], [50, 0]], [middle - half, middle + half]])


def test_diameters_off_square_are_each_turned_half_way():
    for degrees in (-10, 10):
        found = geometry.ellipse_of_diameters(crossed(degrees, 4))
        assert (found.a, found.b) == pytest.approx((50, 40))
        assert (found.cx, found.cy) == pytest.approx((2, 0), abs=1e-9)
        assert np.degrees(found.theta) == pytest.approx(degrees / 2)


def test_diameters_over_15_degrees_off_square_or_10_percent_apart_are_none():
    for degrees, apart in ((14.9, 0), (-14.9, 0), (0, 9.9), (0, -9.9)):
        assert geometry.ellipse_of_diameters(crossed(degrees, apart)) is not None
    for degrees, apart in ((15.1, 0), (-15.1, 0), (0, 10.1), (0, -10.1)):
        assert geometry.ellipse_of_diameters(crossed(degrees, apart)) is None


def test_corners_are_the_rectangle_of_ends_and_width():
    corners = Shaft(10, 10, 40, 50, 6).corners()
    sides = np.roll(corners, -1, axis=0) - corners
    np.testing.assert_allclose(np.hypot(*sides.T), [50, 6, 50, 6])
    np.testing.assert_allclose(corners.mean(0), (25, 30))
    np.testing.assert_allclose(corners[[0, 3]].mean(0), (10, 10))
    assert np.abs((sides * np.roll(sides, -1, axis=0)).sum(1)).max() < 1e-9


def test_shaft_contains_its_rectangle_and_no_more():
    shaft = Shaft(10, 10, 40, 50, 6)
    along, side = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    ends = shaft.ends
    inside = [ends[0] + 0.1 * along + 2.9 * side, ends[1] - 0.1 * along - 2.9 * side]
    outside = [ends[0] - 0.1 * along, ends[1] + 0.1 * along, ends[0] + along + 3.1 * side, ends[1] - along - 3.1 * side]
    assert shaft.contains(np.array(inside)).all()
    assert not shaft.contains(np.array(outside)).any()


@pytest.mark.parametrize(("angle", "wrapped"), [(0, 0), (np.pi / 2, -np.pi / 2), (2, 2 - np.pi), (-4, np.pi - 4)])
def test_wrap_brings_an_axis_into_half_a_turn(angle, wrapped):
    assert geometry.wrap(angle) == pytest.approx(wrapped)


def test_affine_turns_from_x_towards_y_then_scales_then_shifts():
    m = geometry.affine(2, np.pi / 2, (10, 20))
    np.testing.assert_allclose(geometry.apply(m, [(1, 0), (0, 1)]), [(10, 22), (8, 20)], atol=1e-12)
    np.testing.assert_allclose(geometry.apply(geometry.stretch(2, 3), (5, 7)), (10, 21))
    np.testing.assert_array_equal(geometry.pixel_centres(2, 3)[1, 2], (2.5, 1.5))


def test_spacing_is_one_number_or_row_and_column():
    assert geometry.row_column_mm(0.3) == (0.3, 0.3)
    assert geometry.row_column_mm([0.3, 0.2]) == (0.3, 0.2)
    masked = np.ma.masked_array([0.3, 0.2], mask=[False, True])
    assert geometry.row_column_mm(np.ma.masked_array([0.3, 0.2])) == (0.3, 0.2)
    wrongs = (0, -1, np.nan, np.inf, (0.3, np.inf), (0.3, 0), (0.1, 0.2, 0.3), "x", [], True, np.True_, [True, True])
    for wrong in (*wrongs, {0.3, 0.2}, {"row": 0.3}, 0.3j, np.timedelta64(1, "s"), masked):
        with pytest.raises(ValueError, match="spacing_mm is one positive number"):
            geometry.row_column_mm(wrong)
