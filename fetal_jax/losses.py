"""The joint loss of arXiv 2311.09607: λ·L_cls + (1-λ)·L_seg."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def masked_mean(values: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean of values (B,) over the examples whose `counts` (B,) is true; 0 where there is none."""
    total = jnp.where(counts, values, 0.0).sum()
    return total / jnp.maximum(counts.sum().astype(total.dtype), 1)


def segmentation_loss(logits: jax.Array, target: jax.Array) -> jax.Array:
    """(B,): mean binary cross-entropy of a map (B, H, W) against its coverage, plus a soft Dice loss.

    Dice is taken with squares, 1 - 2Σpt / (Σp² + Σt²) (Milletari et al. 2016), so that both terms have their minimum
    at p = t also where a border pixel's t is a fraction. An empty target is smoothed by one pixel.
    """
    cross_entropy = optax.sigmoid_binary_cross_entropy(logits, target).mean(axis=(1, 2))
    p = jax.nn.sigmoid(logits)
    overlap = (p * target).sum(axis=(1, 2))
    size = (jnp.square(p) + jnp.square(target)).sum(axis=(1, 2))
    return cross_entropy + 1 - (2 * overlap + 1) / (size + 1)


def joint_loss(
    map_logits: jax.Array,
    plane_logits: jax.Array,
    target: jax.Array,
    has_map: jax.Array,
    plane: jax.Array,
    cls_weight: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`λ·L_cls + (1-λ)·L_seg`, each a mean over the examples that carry its label.

    Args:
      map_logits: (B, H, W) float32.
      plane_logits: (B, P) float32.
      target: (B, H, W) coverage.
      has_map: (B,) whether the geometry is known (`none` is: an empty map).
      plane: (B,) class in [0, P), -1 where there is none.
      cls_weight: λ in [0, 1].

    Returns:
      The loss, and the parts that it is made of.
    """
    seg = masked_mean(segmentation_loss(map_logits, target), has_map)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(plane_logits, jnp.maximum(plane, 0))
    cls = masked_mean(cross_entropy, plane >= 0)
    loss = cls_weight * cls + (1 - cls_weight) * seg
    return loss, {"loss": loss, "loss_seg": seg, "loss_cls": cls}
