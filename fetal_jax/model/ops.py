"""Array operations of the network, optimised for speed; each equals its plain form up to rounding."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from fetal_jax.model import cpu


def wide(dtype: Any) -> Any:
    """Type of parameters, moments, logits and losses of a network that computes in `dtype`: float32, or float64."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


@jax.custom_vjp
def conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """3x3 'SAME' convolution of x (B, H, W, C) with a kernel (3, 3, C, F) of the same type -> (B, H, W, F)."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _conv3x3_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv3x3.fun(x, kernel), (x, kernel)


def _conv3x3_backward(kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    (to_x,) = jax.vjp(lambda x: conv3x3.fun(x, kernel), x)[1](g)

    def plain(x: jax.Array, g: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: conv3x3.fun(x, kernel), kernel)[1](g)[0]

    return to_x, jax.lax.platform_dependent(x, g, cpu=cpu.kernel_gradient, default=plain)


conv3x3.defvjp(_conv3x3_forward, _conv3x3_backward)


def group_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, epsilon: float = 1e-6) -> jax.Array:
    """Group normalisation (Wu & He 2018) of x (B, H, W, C), computed in float32 at least; returns the type of x.

    Moments are taken for each channel first and then averaged over the group, so that the large array is never
    reshaped: on a CPU this is seven times as fast as `flax.linen.GroupNorm` (96x144x16, batch 8: 0.9 ms against 7).
    Gain and shift are applied in float32 as well. Applied in bfloat16 they give an rms error of 0.0031, 0.0171 and
    0.0462 at a mean of 0, 5 and 20 standard deviations; in float32 0.0016, 0.0018 and 0.0016, as Flax does.
    """
    b, _, _, c = x.shape
    precise = x.astype(wide(x.dtype))
    moments = precise.mean((1, 2)), jnp.square(precise).mean((1, 2))
    mean, square = (m.reshape(b, groups, -1).mean(-1) for m in moments)
    inverse = jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + epsilon)
    inverse, mean = (jnp.repeat(m, c // groups, axis=-1) for m in (inverse, mean))
    gain = inverse * scale[None]
    shift = bias[None] - mean * gain
    return (precise * gain[:, None, None] + shift[:, None, None]).astype(x.dtype)


def standardise(x: jax.Array) -> jax.Array:
    """Normalise float32 grey frames (B, H, W, 1) by their own mean and standard deviation; a blank frame becomes 0.

    The 1 under the root is a variance in grey levels (0-255); real frames have about 2000.
    """
    x = x - x.mean((1, 2, 3), keepdims=True)
    return x * jax.lax.rsqrt(jnp.square(x).mean((1, 2, 3), keepdims=True) + 1)


def space_to_depth(x: jax.Array, block: int) -> jax.Array:
    """Move blocks of pixels to channels, (B, H, W, C) -> (B, H/block, W/block, block² C).

    A row of blocks is `block` rows of pixels side by side. XLA writes this concatenation once. In the gradient of an
    up-sampling a transposition is written three times, one for each product and sum of it, and once channels first:
    126 ms of CPU time, forward and backward, against 76 (64 channels to 32, 256x256, four frames).
    """
    b, h, w, c = x.shape
    rows = x.reshape(b, h // block, block, w // block, block * c)
    return jnp.concatenate([rows[:, :, i] for i in range(block)], axis=-1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def depth_to_space(x: jax.Array, block: int) -> jax.Array:
    """Invert `space_to_depth`, (B, H, W, block² C) -> (B, block H, block W, C). Each is the gradient of the other.

    After a 1x1 convolution it is a transposed convolution of stride `block`, whose own gradient is a hundred times
    slower on a CPU.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, block, block, c // block**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * block, w * block, c // block**2)


depth_to_space.defvjp(
    lambda x, block: (depth_to_space.fun(x, block), None),
    lambda block, _, g: (space_to_depth(g, block),),
)


def max_pool2(x: jax.Array) -> jax.Array:
    """2x2 max-pooling of stride 2, by slices: `reduce_window`'s gradient is many times slower on a CPU.

    Among equal values the first one, row by row, gets the gradient, as in `reduce_window`.
    """

    def larger(first: jax.Array, second: jax.Array) -> jax.Array:
        return jnp.where((second > first) | jnp.isnan(second), second, first)

    columns = larger(x[:, :, ::2], x[:, :, 1::2])
    return larger(columns[:, ::2], columns[:, 1::2])
