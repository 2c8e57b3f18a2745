"""Cutting one structure out of a map."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.biometry import contour


def soft_disc(cx: float, cy: float, radius: float) -> np.ndarray:
    """A disc in a map of 60 x 80 pixels whose edge falls from 1 to 0 over one pixel."""
    y, x = np.mgrid[:60, :80] + 0.5
    return np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1).astype(np.float32)


def in_place(region: contour.Region) -> np.ndarray:
    """The region's map, back in the whole map."""
    whole = np.zeros((60, 80), np.float32)
    (x, y), (height, width) = region.origin, region.map.shape
    whole[y : y + height, x : x + width] = region.map
    return whole


def test_neighbour_and_its_soft_edge_are_cut_away():
    large, small = soft_disc(30, 30, 20), soft_disc(60, 30, 6)
    region = contour.largest_region(np.maximum(large, small))
    np.testing.assert_array_equal(in_place(region), large)
    assert region.share == pytest.approx((large > 0.5).sum() / ((large > 0.5) | (small > 0.5)).sum())


def test_wide_halo_of_a_distant_neighbour_is_left_out():
    large, halo = soft_disc(30, 30, 20), np.zeros_like(soft_disc(30, 30, 20))
    halo[20:40, 58:75], halo[29:31, 65:68] = 0.3, 0.9  # soft pixels far from any above 0.5
    region = contour.largest_region(np.maximum(large, halo))
    np.testing.assert_array_equal(in_place(region), large)


def test_region_keeps_its_own_soft_edge_and_origin():
    disc = soft_disc(41, 22, 12)
    region = contour.largest_region(disc)
    np.testing.assert_array_equal(in_place(region), disc)
    assert region.origin == (29 - contour.BORDER, 10 - contour.BORDER)
    assert (region.share, region.solid) == (1, 1)


def test_holes_are_filled_and_counted():
    disc = soft_disc(40, 30, 20)
    holed = disc * (1 - soft_disc(40, 30, 5))
    region = contour.largest_region(holed)
    inside = disc > 0.5
    assert (in_place(region)[holed <= 0.5] == disc[holed <= 0.5]).all()
    assert region.solid == pytest.approx((holed > 0.5).sum() / inside.sum())


def test_transition_width_is_the_length_of_the_ramp():
    y, x = np.mgrid[:60, :80] + 0.5
    for pixels in (4.0, 9.0):
        region = contour.largest_region(np.clip(0.5 + (20 - np.hypot(x - 40, y - 30)) / pixels, 0, 1))
        assert contour.transition_width(region, contour.outline(region)) == pytest.approx(pixels, rel=0.02)


def test_points_within_a_pixel_of_the_frames_edge_are_dropped():
    inside = np.array([(1.2, 5), (5, 1.2), (8.8, 5), (5, 8.8), (1.2, 8.8)])
    points = np.concatenate([inside, [(1, 5), (5, 1), (9, 5), (5, 9), (0.2, 0.2), (9.8, 5)]])
    np.testing.assert_array_equal(contour.within(points, (0, 0, 10, 10)), inside)
    shift = np.array([20, 30])
    np.testing.assert_array_equal(contour.within(points + shift, (20, 30, 30, 40)), inside + shift)


def test_map_at_exactly_one_half_has_no_region():
    assert contour.largest_region(np.full((20, 20), 0.5, np.float32)) is None


def test_transition_width_is_at_most_50_pixels():
    flat = contour.Region(np.full((9, 9), 0.6), (0, 0), 1, 1)
    assert contour.transition_width(flat, np.array([[4.5, 4.5]])) == 50
