"""Points of an outline -> ellipse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eig

from fetal_jax.geometry import Ellipse

Array = NDArray[Any]

_CONSTRAINT = np.array([[0.0, 0.0, 2.0], [0.0, -1.0, 0.0], [2.0, 0.0, 0.0]])


def direct_fit(points: Array, weights: Array | None = None) -> Ellipse | None:
    """Direct least-squares ellipse (Fitzgibbon 1999, in the stable form of Halíř & Flusser 1998).

    Args:
      points: (N, 2), N >= 6.
      weights: (N,) of the squared algebraic residuals.

    Returns:
      The ellipse, or None where the points do not determine one.
    """
    if len(points) < 6:
        return None
    centre, scale = points.mean(0), points.std() + 1e-12
    x, y = ((points - centre) / scale).T
    w = np.ones(len(x)) if weights is None else weights
    quadratic, linear = np.stack([x * x, x * y, y * y], 1), np.stack([x, y, np.ones_like(x)], 1)
    s1, s2 = quadratic.T @ (w[:, None] * quadratic), quadratic.T @ (w[:, None] * linear)
    s3 = linear.T @ (w[:, None] * linear)
    if np.linalg.cond(s3) > 1e12:
        return None
    back = -np.linalg.solve(s3, s2.T)
    values, vectors = eig(np.linalg.solve(_CONSTRAINT, s1 + s2 @ back))
    vectors = vectors.real
    valid = (4 * vectors[0] * vectors[2] - vectors[1] ** 2 > 0) & np.isfinite(values.real)
    if not valid.any():
        return None
    first = vectors[:, np.flatnonzero(valid)[np.abs(values.real[valid]).argmin()]]
    return _from_conic(np.concatenate([first, back @ first]), centre, scale)


def _from_conic(conic: Array, centre: Array, scale: float) -> Ellipse | None:
    """The ellipse A x² + B xy + C y² + D x + E y + F = 0, taken back from centred and scaled coordinates."""
    a, b, c, d, e, f = conic
    form = np.array([[a, b / 2], [b / 2, c]])
    middle = -np.linalg.solve(form, [d / 2, e / 2])
    form = form / -(f + middle @ [d / 2, e / 2])  # now (p - middle)' form (p - middle) = 1
    sizes, axes = np.linalg.eigh(form)
    if not (sizes > 0).all():
        return None
    return Ellipse.from_matrix(centre + scale * middle, axes * (scale / np.sqrt(sizes)))


def residuals(ellipse: Ellipse, points: Array) -> Array:
    """Signed distance (N,) of each point from the outline, to first order: positive outside."""
    return _residuals_and_jacobian(ellipse, points)[0]


def fit_ellipse(points: Array, rounds: int = 10, settled: float = 1e-4) -> Ellipse | None:
    """Robust geometric fit: a direct fit, then Gauss-Newton on the distances with Tukey's biweight.

    Args:
      points: (N, 2) of an outline, in any unit; gaps and outliers are allowed.
      rounds: of re-weighting, at most.
      settled: a change of centre and axes, relative to the long axis, below which the fit stops.

    Returns:
      The ellipse in the points' unit, or None where they do not determine one.
    """
    start = ellipse = direct_fit(points)
    if start is None or ellipse is None:
        return None
    for _ in range(rounds):
        distance, jacobian = _residuals_and_jacobian(ellipse, points)
        spread = max(1.4826 * float(np.median(np.abs(distance))), 1e-6 * ellipse.a)
        weights = np.maximum(1 - (distance / (4.685 * spread)) ** 2, 0) ** 2
        weighted = jacobian * weights
        normal = weighted @ jacobian.T
        # a circle's angle is undetermined: the small ridge leaves it where it is
        ridge = (1e-9 * np.trace(normal) + 1e-12) * np.eye(5)
        step = -np.linalg.solve(normal + ridge, weighted @ distance)
        cx, cy, a, b, theta = np.asarray(ellipse) + step
        if not (np.isfinite(step).all() and a > 0 and b > 0):
            break
        turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        ellipse = Ellipse.from_matrix((cx, cy), turn * [a, b])
        if not 0.5 < ellipse.perimeter / start.perimeter < 2:
            return start  # a short or ragged arc does not hold the refinement, which then runs away
        if np.abs(step[:4]).max() < settled * ellipse.a:
            break
    return ellipse


def _residuals_and_jacobian(ellipse: Ellipse, points: Array) -> tuple[Array, Array]:
    """Signed distances (N,), and their change (5, N) with cx, cy, a, b, theta."""
    c, s = np.cos(ellipse.theta), np.sin(ellipse.theta)
    dx, dy = points[:, 0] - ellipse.cx, points[:, 1] - ellipse.cy
    p, q = c * dx + s * dy, c * dy - s * dx
    u, v = p / ellipse.a, q / ellipse.b
    r = np.sqrt(u * u + v * v) + 1e-12
    gp, gq = u / (ellipse.a * r), v / (ellipse.b * r)
    steep = np.sqrt(gp * gp + gq * gq) + 1e-12
    gp, gq = gp / steep, gq / steep  # the outline's normal
    jacobian = np.stack([s * gq - c * gp, -s * gp - c * gq, -gp * u, -gq * v, gp * q - gq * p])
    return (r - 1) / steep, jacobian
