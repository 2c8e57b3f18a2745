"""Targets drawn on the device: geometry -> coverage map, the fraction of each pixel inside the structure."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fetal_jax.geometry import HALF_PIXEL, LEAST_SHAFT_WIDTH, SHAFT_WIDTHS
from fetal_jax.planes import GEOMETRIES

ELLIPSE, SHAFT = (GEOMETRIES.index(g) for g in ("ellipse", "shaft"))


def half_plane_coverage(distance: jax.Array, nx: jax.Array, ny: jax.Array) -> jax.Array:
    """Exact fraction of a unit square inside a half plane.

    The points of a square, projected on the normal, are distributed as the sum of two uniform variables of widths
    |nx| and |ny|. The fraction is the cumulative distribution of that sum.

    Args:
      distance: signed, from the square's centre to the edge, positive if the centre is inside.
      nx, ny: the edge's unit normal.
    """
    # of a unit normal the larger part is at least 0.7; the centre of an ellipse has none, and 0/0 would be a hole there
    long = jnp.maximum(jnp.maximum(jnp.abs(nx), jnp.abs(ny)), 0.5)
    short = jnp.maximum(jnp.minimum(jnp.abs(nx), jnp.abs(ny)), 1e-3)
    d = jnp.clip(distance, -1.0, 1.0)

    def ramp(x: jax.Array) -> jax.Array:
        return jnp.square(jnp.maximum(x, 0))

    p, m = (long + short) / 2, (long - short) / 2
    return jnp.clip((ramp(d + p) - ramp(d + m) - ramp(d - m) + ramp(d - p)) / (2 * long * short), 0.0, 1.0)


def ellipse_coverage(ellipse: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Coverage (H, W) of an ellipse (cx, cy, a, b, theta) at pixel centres x (1, W) and y (H, 1)."""
    cx, cy, a, b, theta = ellipse
    c, s = jnp.cos(theta), jnp.sin(theta)
    dx, dy = x - cx, y - cy
    u, v = (c * dx + s * dy) / a, (c * dy - s * dx) / b
    r = jnp.sqrt(u * u + v * v + 1e-12)
    gx, gy = (c * u / a - s * v / b) / r, (s * u / a + c * v / b) / r  # the gradient of r, along the outline's normal
    steep = jnp.sqrt(gx * gx + gy * gy) + 1e-12
    return half_plane_coverage((1 - r) / steep, gx / steep, gy / steep)


def shaft_coverage(shaft: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Coverage (H, W) of a shaft (x1, y1, x2, y2, width); a width of NaN follows `geometry.default_shaft_width`."""
    x1, y1, x2, y2, width = shaft
    length = jnp.hypot(x2 - x1, y2 - y1) + 1e-6
    width = jnp.where(jnp.isnan(width), jnp.maximum(length / SHAFT_WIDTHS, LEAST_SHAFT_WIDTH), width)
    nx, ny = (x2 - x1) / length, (y2 - y1) / length
    dx, dy = x - (x1 + x2) / 2, y - (y1 + y2) / 2

    def slab(position: jax.Array, extent: jax.Array, nx: jax.Array, ny: jax.Array) -> jax.Array:
        sides = [half_plane_coverage(extent / 2 + sign * position, nx, ny) for sign in (1, -1)]
        return jnp.clip(sides[0] + sides[1] - 1, 0.0, 1.0)

    along = slab(dx * nx + dy * ny, length, nx, ny)
    across = slab(dy * nx - dx * ny, width, -ny, nx)
    return along * across


def coverage(kind: jax.Array, shape_params: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Coverage maps (B, H, W) in [0, 1], of the type of `shape_params`.

    Args:
      kind: (B,) indices into `planes.GEOMETRIES`; `none` and `unknown` give an empty map.
      shape_params: (B, 5) an ellipse or a shaft in network pixels; NaN if there is none.
      shape: (H, W) of the network's canvas. The structure is drawn on all of it, also beyond the frame's own pixels.
    """
    x = jnp.arange(shape[1], dtype=shape_params.dtype)[None] + HALF_PIXEL
    y = jnp.arange(shape[0], dtype=shape_params.dtype)[:, None] + HALF_PIXEL

    def draw(kind: jax.Array, shape_params: jax.Array) -> jax.Array:
        # a stand-in keeps NaN out of the branch that is not selected
        unit = jnp.asarray([0.0, 0.0, 1.0, 1.0, 0.0], shape_params.dtype)
        ellipse = ellipse_coverage(jnp.where(kind == ELLIPSE, shape_params, unit), x, y)
        shaft = shaft_coverage(jnp.where(kind == SHAFT, shape_params, unit), x, y)
        return jnp.where(kind == ELLIPSE, ellipse, jnp.where(kind == SHAFT, shaft, 0.0))

    return jax.vmap(draw)(kind, shape_params)


def binary(coverage: jax.Array) -> jax.Array:
    """Binary mask, which most published work trains on: 1 for pixels that are at least half covered, else 0."""
    return (coverage >= 0.5).astype(coverage.dtype)
