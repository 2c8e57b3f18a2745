"""Who holds what, on eight host devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from fetal_jax import config as recipe
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training import cost, targets
from fetal_jax.training.losses import segmentation_loss
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import compiled_step, initial_state, optimiser, train_step


def test_a_batch_is_split_over_all_devices():
    placed = Sharding.create(4, 2).put(np.arange(16.0).reshape(16, 1))
    pieces = {s.device.id: np.asarray(s.data).ravel().tolist() for s in placed.addressable_shards}
    assert len(pieces) == 8
    assert sorted(n for piece in pieces.values() for n in piece) == list(range(16))
    assert all(len(p) == 2 for p in pieces.values())


def test_each_leaf_is_placed_by_the_table():
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
def test_bytes_a_device_fall_by_the_fsdp_factor(fsdp):  # 1.98 and 7.54: what is small is whole everywhere
    config = recipe.defaults()
    net, tx = unet.from_config(config.model, 4), optimiser(config)
    shapes = jax.eval_shape(lambda: initial_state(net, tx, config))
    place = Sharding.create(-1, fsdp).parameters(shapes)
    state = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), shapes, place)
    for tree in (state.params, state):
        assert 0.94 * fsdp < cost.bytes_of(tree) / cost.bytes_a_device(tree) <= fsdp


@pytest.mark.parametrize(("data", "fsdp", "shape"), [(-1, 1, (8, 1)), (-1, 4, (2, 4)), (2, -1, (2, 4)), (8, 1, (8, 1))])
def test_one_size_may_be_left_open(data, fsdp, shape):
    assert tuple(Sharding.create(data, fsdp).mesh.shape.values()) == shape


@pytest.mark.parametrize(("data", "fsdp"), [(3, 1), (8, 8), (-1, 3), (0, 1)])
def test_a_mesh_that_does_not_fit_is_refused(data, fsdp):
    with pytest.raises(UserError, match="8 devices"):
        Sharding.create(data, fsdp)


# ------------------------------------------------------------------------------------------------ the same steps


BATCH = 16


def small(dtype: str, steps: int, **keys):
    """A recipe whose convolutions are large enough to be split."""
    config = recipe.defaults()
    config.update({"input_shape": (16, 16), "batch_size": BATCH, "total_steps": steps, "planes": ("other", "head")})
    config.optim.warmup_steps = 5
    config.model.update({"width": 8, "multipliers": (1, 4), "depths": (1, 1), "groups": 4, "dtype": dtype})
    config.update(keys)
    return config


def batches(steps: int):
    """Frames with and without a map and a class, others at each step."""
    for step in range(steps):
        rng = np.random.default_rng(step)
        yield {
            "frames": rng.integers(0, 255, (BATCH, 16, 16, 1)).astype(np.uint8),
            "geometry": rng.choice(4, BATCH, p=[0.4, 0.1, 0.4, 0.1]).astype(np.int32),
            "shape_params": rng.uniform(4, 12, (BATCH, 5)).astype(np.float32),
            "plane": rng.choice([-1, 0, 1], BATCH).astype(np.int32),
            "stop": np.zeros(BATCH, bool),
        }


def trained(sharding: Sharding, config):
    """(state, losses) after all steps of a recipe."""
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction in optax raises a float to an int
        net, tx = unet.from_config(config.model, 2), optimiser(config)
        shapes = jax.eval_shape(lambda: initial_state(net, tx, config))
        place = sharding.parameters(shapes)
        abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), shapes, place)
        state = jax.jit(lambda: initial_state(net, tx, config), out_shardings=place)()
        step = compiled_step(net, tx, config, sharding, abstract)
        losses = []
        for batch in batches(config.total_steps):
            state, logs = step(state, sharding.put(batch))
            losses.append(float(logs["loss"]))
        return jax.device_get(state), losses


def alone() -> Sharding:
    mesh = jax.make_mesh((1, 1), ("data", "fsdp"), devices=jax.devices()[:1], axis_types=(AxisType.Auto,) * 2)
    return Sharding(mesh)


def apart(one, other) -> float:
    """The largest difference of any number of two trees."""
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_twenty_steps_in_float64_do_not_depend_on_the_mesh():
    with jax.enable_x64(True):
        config = small("float64", 20)
        due, losses = trained(alone(), config)
        assert {x.dtype.name for x in jax.tree.leaves(due.params)} == {"float64"}
        assert losses[-1] < losses[0]
        for data, fsdp in [(8, 1), (4, 2), (1, 8)]:
            state, _ = trained(Sharding.create(data, fsdp), config)
            assert apart(due, state) < 1e-9, (data, fsdp)


@pytest.mark.slow
def test_twenty_losses_in_float32_do_not_depend_on_the_mesh():
    config = small("float32", 20)
    _, due = trained(alone(), config)
    for data, fsdp in [(8, 1), (4, 2), (1, 8)]:
        np.testing.assert_allclose(trained(Sharding.create(data, fsdp), config)[1], due, atol=1e-3)


def test_a_batch_in_parts_is_the_batch():
    with jax.enable_x64(True):
        due, losses = trained(alone(), small("float64", 3))
        for sharding, parts in [(alone(), 4), (Sharding.create(4, 2), 2)]:
            state, logged = trained(sharding, small("float64", 3, accumulate=parts))
            assert apart(due, state) < 1e-12
            np.testing.assert_allclose(logged, losses, rtol=1e-12)


def test_a_block_computed_twice_is_the_same_step():
    with jax.enable_x64(True):
        config = small("float64", 3)
        due, _ = trained(alone(), config)
        config.model.remat = True
        assert apart(due, trained(alone(), config)[0]) < 1e-12


def test_in_bfloat16_what_is_kept_is_float32():
    state, losses = trained(alone(), small("bfloat16", 2))
    assert {x.dtype.name for x in jax.tree.leaves((state.params, state.ema))} == {"float32"}
    assert losses == pytest.approx(trained(alone(), small("float32", 2))[1], rel=0.02)


def test_a_loss_that_is_no_number_changes_nothing():
    config = small("float32", 2)
    net, tx = unet.from_config(config.model, 2), optimiser(config)
    with jax.numpy_dtype_promotion("standard"):
        before = initial_state(net, tx, config)
        batch = next(batches(1)) | {"geometry": np.full(BATCH, GEOMETRIES.index("ellipse"), np.int32)}
        del batch["stop"]
        step = jax.jit(lambda s, b: train_step(s, b, net, tx, config))
        good, logs = step(before, batch)
        assert int(logs["skipped"]) == 0
        assert apart(good.opt_state, before.opt_state) > 0  # the rate of the first step is 0
        batch["shape_params"] = np.where(np.arange(BATCH)[:, None] == 3, np.float32(np.nan), batch["shape_params"])
        bad, logs = step(good, batch)
    assert int(logs["skipped"]) == 1
    assert not np.isfinite(logs["loss"])
    assert int(bad.step) == int(good.step) + 1
    assert apart(bad.replace(step=good.step), good) == 0


def test_a_recipe_may_learn_binary_masks():
    config = small("float32", 1)
    net, tx = unet.from_config(config.model, 2), optimiser(config)
    batch = next(batches(1)) | {"geometry": np.full(BATCH, GEOMETRIES.index("ellipse"), np.int32)}
    del batch["stop"]
    coverage = targets.coverage(batch["geometry"], batch["shape_params"], config.input_shape)
    with jax.numpy_dtype_promotion("standard"):
        state = initial_state(net, tx, config)
        logits = net.apply({"params": state.params}, batch["frames"])[0]
        for binary, due in [(True, targets.binary(coverage)), (False, coverage)]:
            config.loss.binary = binary
            _, logs = train_step(state, batch, net, tx, config)
            assert float(logs["loss_seg"]) == pytest.approx(float(segmentation_loss(logits, due).mean()), rel=1e-5)
    assert np.abs(targets.binary(coverage) - coverage).max() > 0.1
