"""Cost of a run, printed before it starts: taken from the compiled step, not estimated."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from fetal_jax.config import Config
from fetal_jax.errors import amount
from fetal_jax.training.sharding import Sharding


def bytes_of(tree: Any) -> int:
    """Bytes of all leaves of a tree of shapes, each counted once, whatever its sharding."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def bytes_per_device(abstract: Any) -> int:
    """Bytes that each device holds of a tree of shapes with shardings."""
    parts = [jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves(abstract)]
    return bytes_of(parts)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe(compiled: Any, state: Any, sharding: Sharding, config: Config) -> str:
    """Mesh, batch, parameters, FLOPs, memory and checkpoint size, one line each.

    FLOPs are XLA's count for the whole step, summed over all devices. XLA counts the body of a loop once, so on CPUs,
    where `cpu.kernel_gradient` loops over strips, some of the kernels' gradient is missing: 8 % of the step of `demo`.

    Args:
      compiled: the training step.
      state: shapes of the state with their shardings.
      sharding: the mesh that the step was compiled for.
      config: the configuration of the run.
    """
    mesh, held = sharding.mesh, compiled.memory_analysis()
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(state.params))
    flops = compiled.cost_analysis().get("flops", float("nan")) * mesh.size
    flops *= config.accumulate  # XLA counts the body of a loop once
    step = held.argument_size_in_bytes + held.output_size_in_bytes - held.alias_size_in_bytes
    step += held.temp_size_in_bytes
    device = mesh.devices.flat[0].device_kind
    parts = f", in {config.accumulate} parts" if config.accumulate > 1 else ""
    return "\n".join(
        [
            f"mesh        {' x '.join(f'{k} {v}' for k, v in mesh.shape.items())}: "
            f"{mesh.size} {device}, processes {jax.process_count()}",
            f"batch       {amount(config.batch_size, 'frame')} of {config.input_shape[0]}x{config.input_shape[1]}"
            f"{parts}; computed in {config.model.dtype}, precision {config.model.precision}",
            f"parameters  {count:,}, {_rounded(bytes_per_device(state.params) / 1e6)} MB per device",
            f"a step      {_rounded(flops / 1e9)} GFLOP, {_rounded(step / 1e6)} MB per device",
            f"checkpoint  {_rounded(bytes_of(state) / 1e6)} MB",
        ]
    )
