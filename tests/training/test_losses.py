"""The joint loss against values worked out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax.training.losses import joint_loss, label_counts, segmentation_loss


def test_segmentation_loss_by_hand():
    # p = 1/2 everywhere, target one pixel of four: cross-entropy ln 2; Dice 1 - (2 * 0.5 + 1) / (4 * 0.25 + 1 + 1)
    target = jnp.asarray([[[1.0, 0.0], [0.0, 0.0]]])
    got = segmentation_loss(jnp.zeros((1, 2, 2)), target)
    np.testing.assert_allclose(got, [np.log(2) + 1 - 2 / 3], rtol=1e-6)


def test_soft_target_is_the_minimum():
    target = jnp.asarray([[[0.3, 0.7], [0.9, 0.1]]])
    at = jnp.log(target / (1 - target))
    gradient = jax.grad(lambda logits: segmentation_loss(logits, target).sum())(at)
    # only the one pixel of smoothing keeps Dice from its minimum there
    np.testing.assert_allclose(gradient, 0, atol=0.05)
    assert segmentation_loss(at, target) < segmentation_loss(at + 0.5, target)


@pytest.mark.parametrize("jitted", [False, True])
def test_lambda_weighs_the_terms(jitted):
    fn = jax.jit(joint_loss, static_argnums=5) if jitted else joint_loss
    maps, planes = jnp.zeros((2, 2, 2)), jnp.asarray([[2.0, 0.0], [0.0, 0.0]])
    target = jnp.zeros((2, 2, 2))
    # only the first frame has a map, only the second a class
    loss, parts = fn(maps, planes, target, jnp.asarray([True, False]), jnp.asarray([-1, 1]), 0.25)
    seg, cls = np.log(2) + 1 - 1 / 2, np.log(2)
    np.testing.assert_allclose(parts["loss_seg"], seg, rtol=1e-6)
    np.testing.assert_allclose(parts["loss_cls"], cls, rtol=1e-6)
    np.testing.assert_allclose(loss, 0.25 * cls + 0.75 * seg, rtol=1e-6)


def test_every_class_counts_in_the_class_loss():
    planes, plane = jnp.asarray([[2.0, 0.0], [0.0, 0.0], [9.0, 0.0]]), jnp.asarray([0, 1, -1])
    _, parts = joint_loss(jnp.zeros((3, 2, 2)), planes, jnp.zeros((3, 2, 2)), jnp.zeros(3, bool), plane, 0.25)
    np.testing.assert_allclose(parts["loss_cls"], (np.log(1 + np.exp(-2)) + np.log(2)) / 2, rtol=1e-6)
    np.testing.assert_array_equal(label_counts(jnp.zeros(3, bool), plane)[1], 2)


def test_batch_without_labels_has_no_loss_and_no_gradient():
    def loss(maps, planes):
        none = jnp.asarray([False, False]), jnp.asarray([-1, -1])
        return joint_loss(maps, planes, jnp.zeros((2, 4, 4)), *none, 0.5)[0]

    arguments = jnp.ones((2, 4, 4)), jnp.ones((2, 3))
    assert loss(*arguments) == 0
    for gradient in jax.grad(loss, argnums=(0, 1))(*arguments):
        np.testing.assert_array_equal(gradient, 0)


def test_correct_empty_map_costs_nothing():
    empty = segmentation_loss(jnp.full((1, 8, 8), -30.0), jnp.zeros((1, 8, 8)))
    np.testing.assert_allclose(empty, [0], atol=1e-6)


def test_losses_of_parts_sum_to_the_loss_of_the_batch():
    rng = np.random.default_rng(0)
    maps, planes = jnp.asarray(rng.normal(size=(6, 4, 4))), jnp.asarray(rng.normal(size=(6, 3)))
    target, plane = jnp.asarray(rng.uniform(size=(6, 4, 4))), jnp.asarray([0, -1, 2, -1, -1, -1])
    has_map = jnp.asarray([True, True, False, False, False, True])
    whole = (maps, planes, target, has_map, plane)
    expected, expected_parts = joint_loss(*whole, 0.3)
    counts = label_counts(has_map, plane)
    parts = [joint_loss(*(x[part] for x in whole), 0.3, counts) for part in (slice(0, 2), slice(2, 5), slice(5, 6))]
    np.testing.assert_allclose(sum(loss for loss, _ in parts), expected, rtol=1e-6)
    for key, value in expected_parts.items():
        np.testing.assert_allclose(sum(logs[key] for _, logs in parts), value, rtol=1e-6)
