"""A small network to train, and random batches for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from fetal_jax.config import Config, from_values
from fetal_jax.model import unet
from fetal_jax.training import step as training_step
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import optimiser

BATCH = 16


def small_config(dtype: str = "float32", steps: int = 20, **keys: Any) -> Config:
    """A configuration whose convolutions are large enough to be sharded; dotted keys with `__` for the dot."""
    return from_values(
        {
            "input_shape": (16, 16),
            "batch_size": BATCH,
            "total_steps": steps,
            "planes": ("other", "head"),
            "optim.warmup_steps": 5,
            "model.width": 8,
            "model.multipliers": (1, 4),
            "model.depths": (1, 1),
            "model.groups": 4,
            "model.dtype": dtype,
            **{name.replace("__", "."): value for name, value in keys.items()},
        }
    )


def batches(steps: int) -> Iterator[dict[str, Any]]:
    """Frames with and without a map and a class, different in each step."""
    for step in range(steps):
        rng = np.random.default_rng(step)
        yield {
            "frames": rng.integers(0, 255, (BATCH, 16, 16, 1)).astype(np.uint8),
            "geometry": rng.choice(4, BATCH, p=[0.4, 0.1, 0.4, 0.1]).astype(np.int32),
            "shape_params": rng.uniform(4, 12, (BATCH, 5)).astype(np.float32),
            "plane": rng.choice([-1, 0, 1], BATCH).astype(np.int32),
            "stop": np.zeros(BATCH, bool),
        }


def abstract_state(config: Config, sharding: Sharding) -> Any:
    """Shapes of the state with their shardings on a mesh."""
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    return training_step.abstract_state(network, tx, config, sharding)


def largest_difference(one: Any, other: Any) -> float:
    """Largest absolute difference of two trees."""
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
