"""Coverage drawn on the device, against a mask sampled eight times finer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import geometry
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training.targets import binary, coverage, ellipse_coverage

SHAPE = (96, 128)


def drawn(kind: str, shape: Ellipse | Shaft | None) -> np.ndarray:
    shape_params = np.full(5, np.nan, np.float32) if shape is None else np.asarray(shape, np.float32)
    return np.asarray(coverage(jnp.asarray([GEOMETRIES.index(kind)]), jnp.asarray(shape_params)[None], SHAPE))[0]


def supersampled(shape: Ellipse | Shaft, factor: int = 8) -> np.ndarray:
    fine = geometry.mask(shape.transform(geometry.stretch(factor, factor)), SHAPE[0] * factor, SHAPE[1] * factor)
    return fine.reshape(SHAPE[0], factor, SHAPE[1], factor).mean((1, 3))


@pytest.mark.parametrize("seed", range(12))
def test_ellipse_matches_a_finer_mask(seed):
    rng = np.random.default_rng(seed)
    a = rng.uniform(15, 45)
    ellipse = Ellipse(*rng.uniform(40, 60, 2), a, a * rng.uniform(0.6, 1), rng.uniform(-1.5, 1.5))
    error = drawn("ellipse", ellipse) - (fine := supersampled(ellipse))
    edge = (fine > 0) & (fine < 1)
    assert np.abs(error[edge]).mean() < 0.015
    assert abs(error[edge].mean()) < 0.005  # the mask itself is sampled; half a pixel off costs ten times that
    assert np.abs(error[~edge]).max() < 0.05


@pytest.mark.parametrize("seed", range(12))
def test_shaft_matches_a_finer_mask(seed):
    rng = np.random.default_rng(seed)
    angle, half = rng.uniform(-3, 3), rng.uniform(10, 40)
    along = half * np.array([np.cos(angle), np.sin(angle)])
    shaft = Shaft(*(np.array([60, 48]) - along), *(np.array([60, 48]) + along), rng.uniform(3, 7))
    error = drawn("shaft", shaft) - (fine := supersampled(shaft))
    edge = (fine > 0) & (fine < 1)
    assert np.abs(error[edge]).mean() < 0.03
    assert abs(error.sum()) / fine.sum() < 0.01


def test_unknown_width_follows_the_default_of_geometry():
    shaft = Shaft(20, 40, 100, 40, np.nan)
    assert drawn("shaft", shaft).sum() == pytest.approx(80 * shaft.drawn_width, rel=1e-3)


@pytest.mark.parametrize("kind", ["none", "unknown"])
def test_no_shape_is_an_empty_map(kind):
    np.testing.assert_array_equal(drawn(kind, None), 0)


def test_head_beyond_the_canvas_keeps_its_ellipse():
    ellipse = Ellipse(5, 48, 40, 30, 0)
    whole = np.abs(drawn("ellipse", ellipse) - supersampled(ellipse)).max()
    assert whole < 0.1


@pytest.mark.parametrize("compiled", [False, True])
def test_pixel_at_the_centre_of_an_ellipse_is_covered(compiled):
    """Its normal is 0/0; eagerly that was NaN, and a hole in float64."""
    x, y = jnp.arange(0.5, 64)[None], jnp.arange(0.5, 48)[:, None]
    cover = jax.jit(ellipse_coverage) if compiled else ellipse_coverage
    found = cover(jnp.array([32.5, 24.5, 15.0, 10.0, 0.3]), x, y)
    np.testing.assert_allclose(found[23:26, 31:34], 1.0, atol=1e-3)


def test_no_pixel_is_covered_by_more_than_all_of_it():
    # inside an upright outline single precision gives up to 1.0002 before the clip
    head = drawn("ellipse", Ellipse(60, 48, 40, 30, 0))
    assert head.min() == 0
    assert head.max() == 1


def test_binary_target_is_the_mask_of_pixel_centres():
    ellipse = Ellipse(61.3, 47.8, 40.2, 30.7, 0.4)
    target = np.asarray(binary(jnp.asarray(drawn("ellipse", ellipse))))
    assert set(np.unique(target)) == {0, 1}
    mask = geometry.mask(ellipse, *SHAPE)
    assert (target != mask).sum() <= 2  # of about 220 on the outline: half covered, centre just outside
    assert target.dtype == np.float32
