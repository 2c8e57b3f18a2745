"""What a run will cost, told before it starts: from the compiled step, not from estimates."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from fetal_jax.training.sharding import Sharding


def bytes_of(tree: Any) -> int:
    """Bytes of all leaves of a tree of shapes, each counted once however many devices hold it."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def bytes_a_device(abstract: Any) -> int:
    """Bytes that each device holds of a tree of shapes with their shardings."""
    parts = [jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves(abstract)]
    return bytes_of(parts)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe(compiled: Any, state: Any, sharding: Sharding, config: Any) -> str:
    """The plan, a line a subject. FLOPs are XLA's count of the whole step, all devices together.

    Args:
      compiled: the training step.
      state: its shapes with their shardings; what a checkpoint holds.
      sharding: the mesh that it was compiled for.
      config: a recipe.
    """
    mesh, held = sharding.mesh, compiled.memory_analysis()
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(state.params))
    flops = compiled.cost_analysis().get("flops", float("nan")) * mesh.size
    flops *= config.accumulate  # XLA counts what a loop does once
    step = held.argument_size_in_bytes + held.output_size_in_bytes - held.alias_size_in_bytes
    step += held.temp_size_in_bytes
    device = mesh.devices.flat[0].device_kind
    parts = f", in {config.accumulate} parts" if config.accumulate > 1 else ""
    return "\n".join(
        [
            f"mesh        {' x '.join(f'{k} {v}' for k, v in mesh.shape.items())}: "
            f"{mesh.size} {device}, processes {jax.process_count()}",
            f"batch       {config.batch_size} frames of {config.input_shape[0]}x{config.input_shape[1]}{parts}; "
            f"computed in {config.model.dtype}, precision {config.model.precision}",
            f"parameters  {count:,}, {_figure(bytes_a_device(state.params) / 1e6)} MB a device",
            f"a step      {_figure(flops / 1e9)} GFLOP, {_figure(step / 1e6)} MB a device",
            f"checkpoint  {_figure(bytes_of(state) / 1e6)} MB",
        ]
    )
