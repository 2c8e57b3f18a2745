"""Who holds what, on eight host devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import model, recipe, train
from fetal_jax.errors import UserError
from fetal_jax.sharding import Sharding


def test_a_batch_is_split_over_all_devices():
    placed = Sharding.create(4, 2).put(np.arange(16.0).reshape(16, 1))
    pieces = {s.device.id: np.asarray(s.data).ravel().tolist() for s in placed.addressable_shards}
    assert len(pieces) == 8
    assert sorted(n for piece in pieces.values() for n in piece) == list(range(16))
    assert all(len(p) == 2 for p in pieces.values())


def test_parameters_fall_by_the_fsdp_factor():
    sharding = Sharding.create(2, 4)
    tree = {
        "kernel": jax.ShapeDtypeStruct((3, 3, 64, 64), jnp.float32),
        "bias": jax.ShapeDtypeStruct((64,), jnp.float32),
    }
    placed = sharding.parameters(tree)
    assert placed["kernel"].shard_shape((3, 3, 64, 64)) == (3, 3, 64, 16)
    assert placed["bias"].shard_shape((64,)) == (64,)


@pytest.mark.parametrize(("data", "fsdp", "shape"), [(-1, 1, (8, 1)), (-1, 4, (2, 4)), (2, -1, (2, 4)), (8, 1, (8, 1))])
def test_one_size_may_be_left_open(data, fsdp, shape):
    assert tuple(Sharding.create(data, fsdp).mesh.shape.values()) == shape


@pytest.mark.parametrize(("data", "fsdp"), [(3, 1), (8, 8), (-1, 3), (0, 1)])
def test_a_mesh_that_does_not_fit_is_refused(data, fsdp):
    with pytest.raises(UserError, match="8 devices"):
        Sharding.create(data, fsdp)


def test_a_step_does_not_depend_on_the_mesh():
    config = recipe.defaults()
    config.update({"input_shape": (32, 32), "total_steps": 10, "planes": ("other", "head")})
    config.model.update({"width": 8, "multipliers": (1, 8), "depths": (1, 1), "groups": 4})
    net, tx = model.from_config(config.model, 2), train.optimiser(config)
    rng = np.random.default_rng(0)
    batch = {
        "frames": rng.integers(0, 255, (8, 32, 32, 1)).astype(np.uint8),
        "geometry": np.array([2, 2, 1, 2, 0, 2, 3, 2], np.int32),
        "numbers": np.tile(np.float32([16, 16, 10, 8, 0.3]), (8, 1)),
        "plane": np.array([1, 1, 0, -1, 0, 1, 0, 1], np.int32),
    }

    def run(data, fsdp):
        sharding = Sharding.create(data, fsdp)
        placement = sharding.parameters(jax.eval_shape(lambda: train.initial_state(net, tx, config)))
        state = jax.jit(lambda: train.initial_state(net, tx, config), out_shardings=placement)()
        step = jax.jit(
            lambda s, b: train.train_step(s, b, net, tx, config),
            in_shardings=(placement, sharding.batch),
            out_shardings=(placement, sharding.replicated),
        )
        losses = []
        with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction in optax raises a float to an int
            for _ in range(3):
                state, logs = step(state, sharding.put(batch))
                losses.append(float(logs["loss"]))
        return losses

    one = run(8, 1)
    assert one[-1] < one[0]
    np.testing.assert_allclose(run(2, 4), one, rtol=1e-4)
