"""Points of an outline -> ellipse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.biometry import direct_fit, fit_ellipse, residuals
from fetal_jax.geometry import Ellipse


def test_outliers_do_not_pull_the_fit():
    rng = np.random.default_rng(2)
    head = Ellipse(128, 88, 75, 60, 0.4)
    points = head.points(400) + rng.normal(0, 1, (400, 2))
    points[:20] += 12  # 5 % of them
    assert fit_ellipse(points).perimeter == pytest.approx(head.perimeter, abs=0.8)


@given(st.floats(20, 90), st.floats(0.4, 0.99), st.floats(-1.5, 1.5), st.floats(0.3, 1))
def test_exact_points_give_the_exact_ellipse(a, ratio, theta, part):
    ellipse = Ellipse(10, -20, a, a * ratio, theta)
    points = ellipse.points(200)[: int(200 * part)]
    for fit in (direct_fit, fit_ellipse):
        np.testing.assert_allclose(np.asarray(fit(points))[:4], np.asarray(ellipse)[:4], atol=1e-2)


@pytest.mark.parametrize("seed", range(10))
def test_refinement_of_a_short_noisy_arc_falls_back_to_the_direct_fit(seed):
    """Without the guard the perimeter grows to 8 to 60 times the direct fit's."""
    rng = np.random.default_rng(seed)
    arc = Ellipse(0, 0, 60, 45, 0.3).points(360)[:90] + rng.normal(0, 0.5, (90, 2))
    assert fit_ellipse(arc) == direct_fit(arc)


def test_residuals_are_distances():
    circle = Ellipse(0, 0, 10, 10, 0)
    np.testing.assert_allclose(residuals(circle, np.array([[13.0, 0], [0, 9]])), [3, -1], atol=1e-9)


def test_residuals_of_a_tilted_ellipse_are_distances_at_the_ends_of_its_axes():
    ellipse = Ellipse(3, -2, 10, 6, 0.7)
    outwards = 1 + np.array([[0.1], [0.1], [0.1], [0.1]])
    ends = (ellipse.ends - (3, -2)) * outwards + (3, -2)
    np.testing.assert_allclose(residuals(ellipse, ends), [1, 1, 0.6, 0.6], atol=1e-9)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.zeros((50, 2)), np.column_stack([np.arange(50.0)] * 2)])
def test_points_that_determine_no_ellipse_give_none(points):
    assert direct_fit(points) is None
    assert fit_ellipse(points) is None


def test_points_on_two_parallel_lines_give_a_flat_ellipse():
    """Eigenvalues of such points may be complex: scikit-image raises TypeError."""
    found = direct_fit(np.array([[0, 1], [0, -1], [1, 1], [0, 1], [0, 0], [0, 0], [0, 1], [0, -1], [0, 0]], float))
    assert found is None or found.b < 1e-3 * found.a


def test_six_points_are_enough_and_five_are_not():
    points = Ellipse(5, 4, 9, 7, 0.2).points(6)
    assert direct_fit(points).perimeter == pytest.approx(Ellipse(5, 4, 9, 7, 0.2).perimeter, rel=1e-6)
    assert direct_fit(points[:5]) is None


def test_points_may_be_whole_numbers_or_a_list():
    points = np.round(Ellipse(128, 88, 75, 60, 0.4).points(100)).astype(int)
    for fit in (direct_fit, fit_ellipse):
        assert fit(points) == fit(points.tolist()) == fit(points.astype(float))


@pytest.mark.parametrize("shape", [(12,), (12, 3), (2, 12), (4, 3, 2)])
def test_an_array_that_is_no_list_of_points_is_refused_in_words(shape):
    with pytest.raises(ValueError, match=r"points is an array \(N, 2\), each row \(x, y\), not of shape"):
        fit_ellipse(np.zeros(shape))
