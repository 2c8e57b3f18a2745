"""The joint loss of arXiv 2311.09607, λ·L_cls + (1-λ)·L_seg. λ is `loss.cls_weight`; `joint_loss` applies it.

L_cls is the cross-entropy of the plane; L_seg is binary cross-entropy plus soft Dice of the map. Each is a mean over
the examples of the batch that have the label it needs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def label_counts(has_map: jax.Array, plane: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Numbers of examples of a batch with a known map and with a known class."""
    return has_map.sum(), (plane >= 0).sum()


def masked_share(values: jax.Array, counted: jax.Array, count: jax.Array) -> jax.Array:
    """Sum of the values (B,) whose `counted` (B,) is true, over `count`; 0 if there are none."""
    total = jnp.where(counted, values, 0.0).sum()
    return total / jnp.maximum(count.astype(total.dtype), 1)


def segmentation_loss(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Segmentation loss (B,) of maps (B, H, W): mean binary cross-entropy against the coverage, plus soft Dice loss.

    Dice has squares in its denominator, 1 - 2Σpt / (Σp² + Σt²) (Milletari et al. 2016), so that both terms are minimal
    at p = t even if a border pixel's t is a fraction. Smoothing by one pixel keeps it finite for an empty target.
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
    counts: tuple[jax.Array, jax.Array] | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Compute the joint loss λ·L_cls + (1-λ)·L_seg, each term a mean over the examples that have its label.

    Args:
      map_logits: (B, H, W) float32 or wider.
      plane_logits: (B, P) float32 or wider.
      target: (B, H, W) coverage.
      has_map: (B,) whether the geometry is known; `none` is known (an empty map).
      plane: (B,) class in [0, P), -1 if unknown.
      cls_weight: λ in [0, 1].
      counts: `label_counts` of the whole batch, if these examples are only a part of it: the losses of the parts then
        sum to the loss of the batch.

    Returns:
      The loss, and the scalars `loss`, `loss_seg` and `loss_cls`.
    """
    maps, classes = counts or label_counts(has_map, plane)
    seg = masked_share(segmentation_loss(map_logits, target), has_map, maps)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(plane_logits, jnp.maximum(plane, 0))
    cls = masked_share(cross_entropy, plane >= 0, classes)
    loss = cls_weight * cls + (1 - cls_weight) * seg
    return loss, {"loss": loss, "loss_seg": seg, "loss_cls": cls}
