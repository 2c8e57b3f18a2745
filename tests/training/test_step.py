"""The training step: skipped updates, the running mean, weight decay and learning rates."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fetal_jax.model import unet
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training import targets
from fetal_jax.training.losses import segmentation_loss
from fetal_jax.training.step import State, ema_decay, initial_state, learning_rate, optimiser, train_step
from tests.support.training import BATCH, batches, largest_difference, small_config

ELLIPSES = np.full(BATCH, GEOMETRIES.index("ellipse"), np.int32)


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def ellipses(step: int = 0):
    batch = list(batches(step + 1))[step] | {"geometry": ELLIPSES}
    return {key: value for key, value in batch.items() if key != "stop"}


def start(config):
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    state = jax.jit(lambda: initial_state(network, tx, config))()
    return state, jax.jit(lambda s, b: train_step(s, b, network, tx, config))


def assert_skipped(before, after, logs):
    assert int(logs["skipped"]) == 1
    assert int(after.step) == int(before.step) + 1
    assert largest_difference(after.replace(step=before.step), before) == 0


def test_nonfinite_loss_skips_the_update():
    before, step = start(small_config())
    good, logs = step(before, ellipses())
    assert int(logs["skipped"]) == 0
    assert largest_difference(good.opt_state, before.opt_state) > 0  # the learning rate of the first step is 0
    batch = ellipses()
    batch["shape_params"] = np.where(np.arange(BATCH)[:, None] == 3, np.float32(np.nan), batch["shape_params"])
    bad, logs = step(good, batch)
    assert not np.isfinite(logs["loss"])
    assert_skipped(good, bad, logs)


def test_infinite_gradient_of_a_finite_loss_skips_the_update():
    def apply(variables, frames):
        root = jnp.sqrt(variables["params"]["down0"]["kernel"]).sum()  # at 0 its gradient is infinite
        return jnp.zeros(frames.shape[:3]) + root, jnp.zeros((len(frames), 2))

    config = small_config()
    params, tx = {"down0": {"kernel": jnp.zeros((1, 1))}}, optimiser(config)
    before = State(jnp.zeros((), jnp.int32), params, params, tx.init(params))
    after, logs = train_step(before, ellipses(), SimpleNamespace(dtype=jnp.float32, apply=apply), tx, config)
    assert np.isfinite(logs["loss"])
    assert_skipped(before, after, logs)


def test_running_mean_forgets_the_random_start():
    before, step = start(small_config(optim__warmup_steps=0))
    after, _ = step(before, ellipses())
    assert largest_difference(after.params, before.params) > 1e-4
    expected = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, before.params, after.params)
    assert largest_difference(after.ema, expected) < 1e-6


def test_running_mean_decay_by_hand():
    decay = [float(ema_decay(small_config(), jnp.int32(step))) for step in (0, 100, 10_000)]
    np.testing.assert_allclose(decay, [0.1, 101 / 110, 0.995], rtol=1e-6)


def test_weight_decay_leaves_biases_and_norms():
    before, step = start(small_config(optim__warmup_steps=0, optim__weight_decay=0.1))
    filled = jax.tree.map(lambda p: p + 1.0, before.params)
    batch = ellipses() | {"geometry": np.zeros(BATCH, np.int32), "plane": np.full(BATCH, -1, np.int32)}  # no label
    after, logs = step(before.replace(params=filled), batch)
    assert float(logs["loss"]) == 0
    lr = float(learning_rate(small_config(optim__warmup_steps=0))(0))
    for path, old in jax.tree.leaves_with_path(filled):
        new = after.params
        for key in path:
            new = new[key.key]
        kept = 1.0 if path[-1].key in ("bias", "scale") else 1 - 0.1 * lr
        np.testing.assert_allclose(new, kept * old, rtol=1e-6, err_msg=str(path))


def test_encoder_rate_scales_the_encoder_and_the_classification_head():
    keys = {"model__head": 4, "optim__warmup_steps": 0}
    state, _ = start(small_config(**keys))
    grads = jax.tree.map(jnp.ones_like, state.params)
    updates = {}
    for rate in (1.0, 0.25):
        tx = optimiser(small_config(optim__encoder_lr=rate, **keys))
        updates[rate], _ = tx.update(grads, tx.init(state.params), state.params)
    ratios = jax.tree.map(lambda slow, fast: float((slow / fast).mean()), updates[0.25], updates[1.0])
    assert set(ratios) == {"down0", "down1", "head", "plane", "upsample0", "up0", "map"}
    for name, tree in ratios.items():
        expected = 0.25 if name in ("down0", "down1", "head", "plane") else 1.0
        np.testing.assert_allclose(jax.tree.leaves(tree), expected, rtol=1e-5, err_msg=name)


def test_gradient_is_clipped_by_its_global_norm():
    config = small_config(optim__warmup_steps=0, optim__clip=1.0)
    params = {"map": jnp.zeros((4, 4))}
    tx = optimiser(config)
    _, state = tx.update({"map": jnp.full((4, 4), 100.0)}, tx.init(params), params)
    np.testing.assert_allclose(optax.tree.get(state, "mu")["map"], 0.1 / 4, rtol=1e-5)  # 0.1 of a gradient of norm 1


@pytest.mark.parametrize("binary", [True, False])
def test_target_is_binary_or_coverage(binary):
    config = small_config(loss__binary=binary)
    state, step = start(config)
    batch = ellipses()
    coverage = targets.coverage(batch["geometry"], batch["shape_params"], config.input_shape)
    assert np.abs(targets.binary(coverage) - coverage).max() > 0.1
    network = unet.from_config(config.model, 2)
    logits = jax.jit(network.apply)({"params": state.params}, batch["frames"])[0]
    expected = segmentation_loss(logits, targets.binary(coverage) if binary else coverage).mean()
    assert float(step(state, batch)[1]["loss_seg"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_precision_of_products_holds_for_the_gradients_too(platform):
    """On a GPU float32 with `highest` would else be TF32 in the backward pass."""
    config = small_config()
    config = replace(config, model=replace(config.model, precision="highest"))
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    state = jax.eval_shape(lambda: initial_state(network, tx, config))
    traced = jax.jit(lambda s, b: train_step(s, b, network, tx, config)).trace(state, ellipses())
    lines = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
    products = [line for line in lines if "stablehlo.convolution" in line or "stablehlo.dot_general" in line]
    assert len(products) > 10
    assert [line for line in products if "HIGHEST" not in line] == []
