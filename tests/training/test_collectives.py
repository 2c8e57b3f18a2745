"""What the compiled training step sends between devices: gradients, scalars, the gathers of fsdp, and nothing else."""

from __future__ import annotations

import copy
from collections import Counter

import jax
import pytest

from fetal_jax import config as recipe
from fetal_jax.model import unet
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import initial_state, optimiser
from tests.support.collectives import Collective, collectives, compile_step

FEW = 64  # elements: counts, norms, means of the loss


@pytest.fixture(scope="module")
def config():
    config = recipe.defaults()
    config.update({"input_shape": (64, 64), "batch_size": 16, "planes": ("other", "head")})
    config.model.update({"width": 8, "multipliers": (1, 2, 4), "depths": (1, 1, 1), "stem": 1, "groups": 4})
    return config


@pytest.fixture(scope="module")
def parameters(config):
    network = unet.from_config(config.model, len(config.planes))
    state = jax.eval_shape(lambda: initial_state(network, optimiser(config), config))
    return [leaf.size for leaf in jax.tree.leaves(state.params)]


def sent_by(config, data, fsdp):
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        return collectives(compile_step(config, Sharding.create(data, fsdp).mesh).as_text())


def test_collectives_are_read_from_a_program():
    program = """
      %x = f32[8,3]{1,0} all-reduce(%a), replica_groups={{0,1}}
      %y = (bf16[2,4]{1,0}, f32[]) all-reduce-start(%b, %c), replica_groups={}
      %z = f32[8]{0} add(%x, %y), metadata={op_name="all-gather"}
    """
    assert collectives(program) == [
        Collective("all-reduce", 24, 96),
        Collective("all-reduce", 8, 16),
        Collective("all-reduce", 1, 4),
    ]


def test_without_fsdp_each_gradient_is_sent_once_and_nothing_else(config, parameters):
    sent = sent_by(config, 8, 1)
    assert {c.kind for c in sent} == {"all-reduce"}
    large = [n for n in parameters if n > FEW]
    assert Counter(c.size for c in sent if c.size > FEW) == Counter(large)


def test_with_fsdp_nothing_as_large_as_an_activation_is_sent(config, parameters):
    sent = sent_by(config, 2, 4)
    assert "all-gather" in {c.kind for c in sent}
    assert max(c.size for c in sent) <= max(parameters) < 64 * 64 * config.model.width


def test_a_batch_in_parts_sends_nothing_as_large_as_an_activation(config, parameters):
    whole = sum(c.size for c in sent_by(config, 8, 1))
    in_parts = copy.deepcopy(config)
    in_parts.accumulate = 2
    sent = sent_by(in_parts, 8, 1)
    assert {c.kind for c in sent} == {"all-reduce"}
    assert max(c.size for c in sent) <= max(parameters)
    assert sum(c.size for c in sent) < whole + 2 * FEW
