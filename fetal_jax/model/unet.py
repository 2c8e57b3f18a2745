"""The U-Net with a classification head: a pure function of (parameters, frames)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fetal_jax.config import ModelConfig
from fetal_jax.model import ops

HE = nn.initializers.he_normal()


class Convolution(nn.Module):
    """3x3 convolution without a bias."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) -> (B, H, W, features)."""
        kernel = self.param("kernel", HE, (3, 3, x.shape[-1], self.features), ops.wide(self.dtype))
        return ops.conv3x3(x.astype(self.dtype), kernel.astype(self.dtype))


class Conv3x3(nn.Module):
    """3x3 convolution, group norm (no batch statistics: they would change with the sharding) or none, ReLU."""

    features: int
    groups: int  # 0: no norm, a bias alone
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) -> (B, H, W, features)."""
        x = Convolution(self.features, self.dtype, name="conv")(x)
        param_dtype = ops.wide(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), param_dtype)
        if not self.groups:
            return nn.relu(x + bias[None, None, None].astype(x.dtype))
        scale = self.param("scale", nn.initializers.ones, (self.features,), param_dtype)
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
        project = nn.Dense(4 * self.features, dtype=self.dtype, param_dtype=ops.wide(self.dtype), name="project")
        return ops.depth_to_space(project(x), 2)


class UNet(nn.Module):
    """U-Net after the figure of arXiv 2311.09607, with a classification head on the bottleneck.

    Attributes:
      planes: number of classes.
      width: channels of the first level.
      multipliers: channels of each level, in units of `width`; one for each level.
      depths: 3x3 convolutions of each level.
      decoder: channels of each decoder level, in units of `width`; one fewer than levels.
      stem: 2 for a first level at half the resolution (2x2 space-to-depth in, depth-to-space out), 1 for full.
      groups: groups of the norm.
      encoder_norm: whether the encoder has a norm; the decoder always has.
      standardise: normalise a frame by its own mean and standard deviation, not by `mean` and `std`.
      mean, std: for the normalisation of grey values (0-255).
      classifier_width: channels of a 1x1 convolution before the pooling of the classification head; 0: none.
      subclasses: logits of each plane; the plane's own logit is their logsumexp.
      dtype: of the computation; parameters, norms and logits are float32, or wider.
      precision: of matrix products, as XLA names it: `default` (bfloat16 passes on a TPU, TF32 on some GPUs), `high`,
        or `highest` (float32 throughout).
      remat: compute each block again in the backward pass instead of keeping its activations: less memory, more work.
    """

    planes: int
    width: int
    multipliers: Sequence[int]
    depths: Sequence[int]
    decoder: Sequence[float]
    stem: int
    groups: int
    encoder_norm: bool
    standardise: bool
    mean: float
    std: float
    classifier_width: int
    subclasses: int
    dtype: Any
    precision: str = "default"
    remat: bool = False

    def __call__(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Grey frames (B, H, W, 1), uint8 or floats 0-255 -> logits of the map (B, H, W) and the planes (B, P)."""
        with jax.default_matmul_precision(self.precision):
            return self._logits(frames)

    @nn.compact
    def _logits(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        param_dtype = ops.wide(self.dtype)
        block = nn.remat(Block) if self.remat else Block
        x = frames.astype(param_dtype)
        x = ops.standardise(x) if self.standardise else (x - self.mean) / self.std
        x = x.astype(self.dtype)
        x = ops.space_to_depth(x, self.stem) if self.stem > 1 else x
        levels = [self.width * m for m in self.multipliers]

        skips = []
        for i, (features, depth) in enumerate(zip(levels, self.depths, strict=True)):
            x = ops.max_pool2(x) if i else x
            x = block(features, depth, self.groups * self.encoder_norm, self.dtype, name=f"down{i}")(x)
            skips.append(x)

        c = x.astype(param_dtype)
        if self.classifier_width:
            c = nn.relu(nn.Dense(self.classifier_width, param_dtype=param_dtype, name="head")(c))
        c = nn.Dense(self.planes * self.subclasses, param_dtype=param_dtype, name="plane")(c.mean(axis=(1, 2)))
        plane_logits = jax.nn.logsumexp(c.reshape(-1, self.planes, self.subclasses), axis=-1)

        for i in reversed(range(len(levels) - 1)):
            features = int(self.width * self.decoder[i])
            x = Upsample(features, self.dtype, name=f"upsample{i}")(x)
            x = jnp.concatenate([skips[i], x], axis=-1)
            x = block(features, 2, self.groups, self.dtype, name=f"up{i}")(x)

        x = nn.Dense(self.stem**2, param_dtype=param_dtype, name="map")(x.astype(param_dtype))
        x = ops.depth_to_space(x, self.stem) if self.stem > 1 else x
        return x[..., 0], plane_logits


def from_config(config: ModelConfig, planes: int) -> UNet:
    """The network of a configuration, for `planes` classes."""
    return UNet(
        planes=planes,
        width=config.width,
        multipliers=config.multipliers,
        depths=config.depths,
        decoder=config.decoder or config.multipliers[:-1],
        stem=config.stem,
        groups=config.groups,
        encoder_norm=config.encoder_norm,
        standardise=config.standardise,
        mean=config.mean,
        std=config.std,
        classifier_width=config.classifier_width,
        subclasses=config.subclasses,
        dtype=jnp.dtype(config.dtype),
        precision=config.precision,
        remat=config.remat,
    )
