"""The compiled training step sends gradients, scalars and the gathers of fsdp between devices, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest

from fetal_jax.model import cpu
from fetal_jax.training.sharding import Sharding
from tests.support.collectives import Collective, collectives, compile_step
from tests.support.training import abstract_state, small_config

FEW = 64  # elements: counts, norms, means of the loss


@pytest.fixture(scope="module")
def config():
    return small_config(input_shape=(64, 64), model__multipliers=(1, 2, 4), model__depths=(1, 1, 1), model__stem=1)


@pytest.fixture(scope="module")
def parameters(config):
    return [leaf.size for leaf in jax.tree.leaves(abstract_state(config, Sharding.create(8, 1)).params)]


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


@pytest.mark.parametrize(("data", "fsdp"), [(8, 1), (2, 4)])
def test_kernel_gradient_of_a_split_batch_is_sent_once_after_its_loop(data, fsdp):
    sharding = Sharding.create(data, fsdp)
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((8, 64, 64, channels), np.float32) for channels in (3, 5))
    compiled = jax.jit(cpu.kernel_gradient, out_shardings=sharding.replicated).lower(*sharding.put((x, g))).compile()
    expected = np.asarray(jax.jit(cpu.kernel_gradient)(x, g))
    np.testing.assert_allclose(compiled(*sharding.put((x, g))), expected, atol=1e-5 * np.abs(expected).max())
    program = compiled.as_text()
    assert " while(" in program
    assert [(c.kind, c.size) for c in collectives(program)] == [("all-reduce", 9 * 3 * 5)]
    assert collectives(program[program.index("\nENTRY") :]) == collectives(program)


def test_with_fsdp_nothing_as_large_as_an_activation_is_sent(config, parameters):
    sent = sent_by(config, 2, 4)
    assert "all-gather" in {c.kind for c in sent}
    assert max(c.size for c in sent) <= max(parameters) < 64 * 64 * config.model.width


def test_gradient_accumulation_sends_nothing_as_large_as_an_activation(config, parameters):
    whole = sum(c.size for c in sent_by(config, 8, 1))
    sent = sent_by(replace(config, accumulate=2), 8, 1)
    assert {c.kind for c in sent} == {"all-reduce"}
    assert max(c.size for c in sent) <= max(parameters)
    assert sum(c.size for c in sent) < whole + 2 * FEW
