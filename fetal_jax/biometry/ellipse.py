"""Points of an outline -> ellipse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_jax.geometry import Ellipse

Array = NDArray[Any]

ROUNDS = 10
"""Most rounds of re-weighting."""
SETTLED = 1e-4
"""Change of centre and axes, relative to the long axis, below which the fit stops."""


def direct_fit(points: ArrayLike) -> Ellipse | None:
    """Direct least-squares ellipse (Fitzgibbon 1999, in the stable form of Halíř & Flusser 1998).

    scikit-image 0.26 has the same fit, but raises TypeError for every outline with NumPy 2.5, whose eigenvalues are
    always complex, and with older ones where points on a line have complex eigenvalues.

    Args:
      points: (N, 2), each (x, y), N >= 6.

    Returns:
      The ellipse, or None if the points do not determine one.
    """
    points = np.asarray(points, float)
    if len(points) < 6:
        return None
    origin, scale = points.mean(axis=0), float(points.std())
    if not 0 < scale < np.inf:
        return None
    x, y = ((points - origin) / scale).T
    quadratic, linear = np.stack([x * x, x * y, y * y]), np.stack([x, y, np.ones_like(x)])
    try:
        to_linear = -np.linalg.solve(linear @ linear.T, linear @ quadratic.T)
    except np.linalg.LinAlgError:
        return None  # points on a line
    scatter = quadratic @ (quadratic.T + linear.T @ to_linear)
    _, vectors = np.linalg.eig(np.stack([scatter[2] / 2, -scatter[1], scatter[0] / 2]))
    ellipses = [v.real for v in vectors.T if not v.imag.any() and (4 * v[0] * v[2] - v[1] ** 2).real > 0]
    if len(ellipses) != 1:
        return None
    a, b, c = ellipses[0]
    d, e, f = to_linear @ ellipses[0]
    form = np.array([[a, b / 2], [b / 2, c]])  # p' form p + (d, e) p + f = 0
    centre = -np.linalg.solve(form, [d, e]) / 2
    inverse_squares, axes = np.linalg.eigh(form / -(f + np.dot([d, e], centre) / 2))
    if not (inverse_squares.min() > 0 and np.sqrt(inverse_squares.min() / inverse_squares.max()) > 1e-6):
        return None  # points on a line, or an imaginary ellipse
    return Ellipse.from_matrix(origin + scale * centre, scale * axes / np.sqrt(inverse_squares))


def residuals(ellipse: Ellipse, points: Array) -> Array:
    """Signed distance (N,) of each point from the outline, to first order: positive outside."""
    return _residuals_and_jacobian(ellipse, points)[0]


def fit_ellipse(points: ArrayLike) -> Ellipse | None:
    """Robust geometric fit: a direct fit, then Gauss-Newton on the distances with Tukey's biweight.

    Args:
      points: (N, 2) of an outline, each (x, y), in any unit, at least six; gaps and outliers are allowed. A pixel's
        index plus 0.5 is its centre.

    Returns:
      The ellipse in the points' unit, or None if they do not determine one.

    Raises:
      ValueError: an array of another shape.
    """
    points = np.asarray(points, float)
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise ValueError(f"points is an array (N, 2), each row (x, y), not of shape {points.shape}")
    start = direct_fit(points)
    if start is None:
        return None
    ellipse = start
    for _ in range(ROUNDS):
        distance, jacobian = _residuals_and_jacobian(ellipse, points)
        spread = max(1.4826 * float(np.median(np.abs(distance))), 1e-6 * ellipse.a)
        weights = np.maximum(1 - (distance / (4.685 * spread)) ** 2, 0) ** 2
        weighted = jacobian * weights
        normal = weighted @ jacobian.T
        # a circle's angle is undetermined: the small ridge leaves it unchanged
        ridge = (1e-9 * np.trace(normal) + 1e-12) * np.eye(5)
        step = -np.linalg.solve(normal + ridge, weighted @ distance)
        cx, cy, a, b, theta = np.asarray(ellipse) + step
        if not (np.isfinite(step).all() and a > 0 and b > 0):
            break
        turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        ellipse = Ellipse.from_matrix((cx, cy), turn * [a, b])
        if not 0.5 < ellipse.perimeter / start.perimeter < 2:
            return start  # on a short or ragged arc the refinement runs away
        if np.abs(step[:4]).max() < SETTLED * ellipse.a:
            break
    return ellipse


def _residuals_and_jacobian(ellipse: Ellipse, points: Array) -> tuple[Array, Array]:
    """Signed distances (N,), and their derivatives (5, N) by cx, cy, a, b, theta."""
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
