"""The U-Net with a class head: a pure function of (parameters, frames)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fetal_jax import ops

HE = nn.initializers.he_normal()


def wide(dtype: Any) -> Any:
    """What parameters, moments, logits and losses are kept in where the network computes in `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


class Conv3x3(nn.Module):
    """3x3 convolution, group norm (no batch statistics: they would change with the sharding), ReLU."""

    features: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) -> (B, H, W, features)."""
        kept = wide(self.dtype)
        conv = nn.Conv(
            self.features, (3, 3), use_bias=False, kernel_init=HE, dtype=self.dtype, param_dtype=kept, name="conv"
        )
        x = conv(x)
        scale = self.param("scale", nn.initializers.ones, (self.features,), kept)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), kept)
        return nn.relu(ops.group_norm(x, scale, bias, min(self.groups, self.features)))


class Block(nn.Module):
    """`depth` convolutions of one level."""

    features: int
    depth: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) -> (B, H, W, features)."""
        for i in range(self.depth):
            x = Conv3x3(self.features, self.groups, self.dtype, name=f"conv{i}")(x)
        return x


class Upsample(nn.Module):
    """2x2 up-convolution of stride 2, as a 1x1 convolution and depth-to-space."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) -> (B, 2H, 2W, features)."""
        project = nn.Dense(4 * self.features, dtype=self.dtype, param_dtype=wide(self.dtype), name="project")
        return ops.depth_to_space(project(x), 2)


class UNet(nn.Module):
    """U-Net after the figure of arXiv 2311.09607, with a class head on the bottleneck.

    Attributes:
      planes: number of classes.
      width: channels of the first level.
      multipliers: channels of each level, in units of `width`; their number is the number of levels.
      depths: 3x3 convolutions of each level.
      stem: 1, or 2 for a first level at half the resolution (2x2 space-to-depth in, depth-to-space out).
      groups: groups of the norm.
      mean, std: what grey values (0-255) are normalised by.
      dtype: of the computation; parameters, the norm's moments and the logits are float32, or wider.
      precision: of its products, as XLA names them: `default` (bfloat16 passes on a TPU, TF32 on some GPUs), `high`, or
        `highest` (float32 throughout).
      remat: compute each block again for the gradient in place of keeping what it made: less memory, more work.
    """

    planes: int
    width: int
    multipliers: Sequence[int]
    depths: Sequence[int]
    stem: int
    groups: int
    mean: float
    std: float
    dtype: Any
    precision: str = "default"
    remat: bool = False

    def __call__(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Grey frames (B, H, W, 1), uint8 or floats 0-255 -> logits of the map (B, H, W) and the planes (B, P)."""
        with jax.default_matmul_precision(self.precision):  # their gradients' products take it over
            return self._logits(frames)

    @nn.compact
    def _logits(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept = wide(self.dtype)
        block = nn.remat(Block) if self.remat else Block
        x = ((frames.astype(kept) - self.mean) / self.std).astype(self.dtype)
        x = ops.space_to_depth(x, self.stem) if self.stem > 1 else x
        levels = [self.width * m for m in self.multipliers]

        skips = []
        for i, (features, depth) in enumerate(zip(levels, self.depths, strict=True)):
            x = ops.max_pool2(x) if i else x
            x = block(features, depth, self.groups, self.dtype, name=f"down{i}")(x)
            skips.append(x)

        pooled = x.astype(kept).mean(axis=(1, 2))
        plane_logits = nn.Dense(self.planes, param_dtype=kept, name="plane")(pooled)

        for i in reversed(range(len(levels) - 1)):
            x = Upsample(levels[i], self.dtype, name=f"upsample{i}")(x)
            x = jnp.concatenate([skips[i], x], axis=-1)
            x = block(levels[i], 2, self.groups, self.dtype, name=f"up{i}")(x)

        x = nn.Dense(self.stem**2, param_dtype=kept, name="map")(x.astype(kept))
        x = ops.depth_to_space(x, self.stem) if self.stem > 1 else x
        return x[..., 0], plane_logits


def downscale(config: Any) -> int:
    """What height and width of the input must be divisible by, for a recipe's `model` part."""
    return int(config.stem * 2 ** (len(config.multipliers) - 1))


def from_config(config: Any, planes: int) -> UNet:
    """The network of a recipe's `model` part, for `planes` classes."""
    return UNet(
        planes=planes,
        width=config.width,
        multipliers=tuple(config.multipliers),
        depths=tuple(config.depths),
        stem=config.stem,
        groups=config.groups,
        mean=config.mean,
        std=config.std,
        dtype=jnp.dtype(config.dtype),
        precision=config.precision,
        remat=config.remat,
    )
