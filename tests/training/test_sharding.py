"""Shardings on eight host devices, and the same training on any mesh."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from fetal_jax.config import Config
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.training import cost
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import compiled_step, initial_state, optimiser
from tests.support.training import abstract_state, batches, largest_difference, small_config


def test_batch_is_split_over_all_devices():
    placed = Sharding.create(4, 2).put(np.arange(16.0).reshape(16, 1))
    pieces = {s.device.id: np.asarray(s.data).ravel().tolist() for s in placed.addressable_shards}
    assert len(pieces) == 8
    assert sorted(n for piece in pieces.values() for n in piece) == list(range(16))
    assert all(len(p) == 2 for p in pieces.values())


def test_rules_place_each_leaf():
    sharding = Sharding.create(2, 4)
    tree = {
        "down": {"conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 64, 64), jnp.float32)}},
        "up": {"project": {"kernel": jax.ShapeDtypeStruct((64, 128), jnp.float32)}},
        "odd": {"conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 64, 66), jnp.float32)}},
        "first": {"conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 1, 64), jnp.float32)}},
        "plane": {"kernel": jax.ShapeDtypeStruct((2048, 4), jnp.float32)},
    }
    held = jax.tree.map(lambda x, s: s.shard_shape(x.shape), tree, sharding.parameters(tree))
    assert held["down"]["conv"]["kernel"] == (3, 3, 64, 16)
    assert held["up"]["project"]["kernel"] == (64, 32)
    assert held["odd"]["conv"]["kernel"] == (3, 3, 64, 66)  # 4 does not divide it
    assert held["first"]["conv"]["kernel"] == (3, 3, 1, 64)  # small
    assert held["plane"]["kernel"] == (2048, 4)


@pytest.mark.parametrize("fsdp", [2, 8])
def test_bytes_per_device_fall_by_the_fsdp_factor(fsdp):  # 1.98 and 7.54: small leaves are replicated
    state = abstract_state(Config(), Sharding.create(-1, fsdp))
    for tree in (state.params, state):
        assert 0.94 * fsdp < cost.bytes_of(tree) / cost.bytes_per_device(tree) <= fsdp


@pytest.mark.parametrize(("data", "fsdp", "shape"), [(-1, 1, (8, 1)), (-1, 4, (2, 4)), (2, -1, (2, 4)), (8, 1, (8, 1))])
def test_one_mesh_axis_may_be_left_open(data, fsdp, shape):
    assert tuple(Sharding.create(data, fsdp).mesh.shape.values()) == shape


@pytest.mark.parametrize(("data", "fsdp"), [(3, 1), (8, 8), (-1, 3), (0, 1)])
def test_mesh_of_another_size_is_refused(data, fsdp):
    with pytest.raises(UserError, match="8 devices"):
        Sharding.create(data, fsdp)


# ------------------------------------------------------------------------------------------ the same training


def trained(sharding: Sharding, config: Config):
    """(state, losses) after all steps of a configuration."""
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction in optax raises a float to an int
        net, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
        abstract = abstract_state(config, sharding)
        placement = jax.tree.map(lambda a: a.sharding, abstract)
        state = jax.jit(lambda: initial_state(net, tx, config), out_shardings=placement)()
        step = compiled_step(net, tx, config, sharding, abstract)
        losses = []
        for batch in batches(config.total_steps):
            state, logs = step(state, sharding.put(batch))
            losses.append(float(logs["loss"]))
        return jax.device_get(state), losses


def one_device() -> Sharding:
    mesh = jax.make_mesh((1, 1), ("data", "fsdp"), devices=jax.devices()[:1], axis_types=(AxisType.Auto,) * 2)
    return Sharding(mesh)


def test_twenty_steps_in_float64_do_not_depend_on_the_mesh():
    with jax.enable_x64(True):
        config = small_config("float64", 20)
        expected, losses = trained(one_device(), config)
        assert {x.dtype.name for x in jax.tree.leaves(expected.params)} == {"float64"}
        assert losses[-1] < losses[0]
        for data, fsdp in [(8, 1), (4, 2), (1, 8)]:
            state, _ = trained(Sharding.create(data, fsdp), config)
            assert largest_difference(expected, state) < 1e-9, (data, fsdp)


@pytest.mark.slow
def test_twenty_losses_in_float32_do_not_depend_on_the_mesh():
    config = small_config("float32", 20)
    _, expected = trained(one_device(), config)
    for data, fsdp in [(8, 1), (4, 2), (1, 8)]:
        np.testing.assert_allclose(trained(Sharding.create(data, fsdp), config)[1], expected, atol=1e-3)


def test_gradient_accumulation_equals_the_whole_batch():
    with jax.enable_x64(True):
        expected, losses = trained(one_device(), small_config("float64", 3))
        for sharding, parts in [(one_device(), 4), (Sharding.create(4, 2), 2)]:
            state, logged = trained(sharding, small_config("float64", 3, accumulate=parts))
            assert largest_difference(expected, state) < 1e-12
            np.testing.assert_allclose(logged, losses, rtol=1e-12)


def test_rematerialised_blocks_give_the_same_step():
    with jax.enable_x64(True):
        expected, _ = trained(one_device(), small_config("float64", 3))
        state, _ = trained(one_device(), small_config("float64", 3, model__remat=True))
        assert largest_difference(expected, state) < 1e-12


def test_bfloat16_keeps_the_state_in_float32():
    state, losses = trained(one_device(), small_config("bfloat16", 2))
    assert {x.dtype.name for x in jax.tree.leaves((state.params, state.ema))} == {"float32"}
    assert losses == pytest.approx(trained(one_device(), small_config("float32", 2))[1], rel=0.02)
