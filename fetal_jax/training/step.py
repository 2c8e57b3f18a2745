"""The training step: state, optimiser, gradient of the joint loss and update, compiled for a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fetal_jax.config import Config
from fetal_jax.model import ops
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training import losses, targets
from fetal_jax.training.sharding import Sharding, spread

ENCODER = ("down", "head", "plane")
"""Prefixes of the parameter names that `optim.encoder_lr` scales: the encoder's levels and the class head's layers."""


@flax.struct.dataclass
class State:
    """Everything a step changes. `ema` is the running mean of the parameters; it is evaluated and exported."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any


def learning_rate(config: Config) -> optax.Schedule:
    """Linear warm-up, then a cosine to zero at the last step, as a function of the number of earlier updates."""
    warmup = min(config.optim.warmup_steps, config.total_steps // 2)
    return optax.warmup_cosine_decay_schedule(0.0, config.optim.lr, warmup, config.total_steps)


def optimiser(config: Config) -> optax.GradientTransformation:
    """AdamW after clipping by the global norm. Biases and norms have no weight decay."""

    def encoder(params: Any) -> Any:
        return jax.tree.map_with_path(lambda path, _: path[0].key.startswith(ENCODER), params)

    return optax.chain(
        optax.clip_by_global_norm(config.optim.clip),
        optax.adamw(
            learning_rate(config),
            weight_decay=config.optim.weight_decay,
            mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
        ),
        optax.masked(optax.scale(config.optim.encoder_lr), encoder),
    )


def ema_decay(config: Config, step: jax.Array) -> jax.Array:
    """Decay of the running mean after `step` steps, at most `optim.ema`.

    (1 + step) / (10 + step) at first, so that the mean never remembers the random start.
    """
    step = step.astype(jnp.float32)
    return jnp.minimum(config.optim.ema, (1 + step) / (10 + step))


def train_step(
    state: State, batch: dict[str, jax.Array], network: Any, tx: optax.GradientTransformation, config: Config
) -> tuple[State, dict[str, jax.Array]]:
    """Do one step: draw the targets, take the gradient of the joint loss, update parameters and their running mean.

    If the loss or its gradient is not finite, the update is skipped: only the step counter advances, and `skipped` is
    1. `optax.apply_if_finite` is not used because it applies the bad update after `max_consecutive_errors`, does not
    cover the running mean, and adds three leaves to the state, which old checkpoints lack.

    Args:
      state: before the step.
      batch: from `data.pipeline.training_batches`, without `index`.
      network: a `model.unet.UNet`.
      tx: from `optimiser`.
      config: the configuration of the run.

    Returns:
      The state after the step, and the scalars `loss`, `loss_seg`, `loss_cls` and `skipped`.
    """

    def has_map(part: dict[str, jax.Array]) -> jax.Array:
        return part["geometry"] != GEOMETRIES.index("unknown")

    counts = losses.label_counts(has_map(batch), batch["plane"])

    def loss(params: Any, part: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        shape_params = part["shape_params"].astype(ops.wide(network.dtype))
        target = targets.coverage(part["geometry"], shape_params, config.input_shape)
        target = targets.binary(target) if config.loss.binary else target
        map_logits, plane_logits = network.apply({"params": params}, part["frames"])
        weight = config.loss.cls_weight
        return losses.joint_loss(map_logits, plane_logits, target, has_map(part), part["plane"], weight, counts)

    with jax.default_matmul_precision(config.model.precision):  # JAX traces our own gradients after the network's block
        grads, logs = accumulated(jax.grad(loss, has_aux=True), state.params, batch, config.accumulate)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = optax.incremental_update(params, state.ema, 1 - ema_decay(config, state.step))
    finite = jnp.isfinite(logs["loss"]) & jnp.isfinite(optax.tree.norm(grads))
    new, old = (params, ema, opt_state), (state.params, state.ema, state.opt_state)
    return State(state.step + 1, *optax.tree.where(finite, new, old)), logs | {"skipped": 1 - finite.astype(jnp.int32)}


def accumulated(gradient: Callable[[Any, Any], Any], params: Any, batch: dict[str, jax.Array], parts: int) -> Any:
    """Accumulate gradients: the sum of `gradient(params, part)` over the parts of a batch, one part at a time.

    A part is every `parts`-th example, so that each device keeps its own examples. The losses of the parts must sum
    to the loss of the batch (`losses.joint_loss` with `counts`).
    """
    if parts == 1:
        return gradient(params, batch)
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), batch)
    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], split))
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradient(params, part)), None

    return jax.lax.scan(add, zero, split)[0]


def initial_state(network: Any, tx: optax.GradientTransformation, config: Config) -> State:
    """The state before the first step: random parameters from `config.seed`, the same on any mesh."""
    frames = jnp.zeros((1, *config.input_shape, 1), jnp.uint8)
    params = network.init(jax.random.key(config.seed), frames)["params"]
    return State(jnp.zeros((), jnp.int32), params, params, tx.init(params))


def abstract_state(network: Any, tx: optax.GradientTransformation, config: Config, sharding: Sharding) -> Any:
    """Shapes, types and shardings of the state on a mesh."""
    shapes = jax.eval_shape(lambda: initial_state(network, tx, config))
    placement = sharding.parameters(shapes)
    return jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), shapes, placement)


def with_parameters(state: Any, abstract: Any, params: Any) -> Any:
    """Set parameters, also in the running mean; those that the tree `params` lacks are kept."""
    like = {name: abstract.params[name] for name in params}
    return state.replace(params=state.params | spread(params, like), ema=state.ema | spread(params, like))


def compiled_step(
    network: Any, tx: optax.GradientTransformation, config: Config, sharding: Sharding, state: Any
) -> jax.stages.Compiled:
    """Compile `train_step` for a mesh and for states of the given shapes and shardings. The state is donated.

    A batch has one more key, `stop` (B,): whether the process that made the example was asked to stop. The metrics
    have `stop`, true if any process was.
    """

    def step(state: State, batch: dict[str, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        stop = batch["stop"].any()
        new, logs = train_step(state, {k: v for k, v in batch.items() if k != "stop"}, network, tx, config)
        return new, logs | {"stop": stop}

    inputs = {
        "frames": ((*config.input_shape, 1), jnp.uint8),
        "geometry": ((), jnp.int32),
        "shape_params": ((5,), jnp.float32),
        "plane": ((), jnp.int32),
        "stop": ((), jnp.bool_),
    }
    batch = {
        key: jax.ShapeDtypeStruct((config.batch_size, *shape), dtype, sharding=sharding.batch)
        for key, (shape, dtype) in inputs.items()
    }
    placement = jax.tree.map(lambda a: a.sharding, state)
    on_mesh = jax.jit(step, out_shardings=(placement, sharding.replicated), donate_argnums=0)
    return on_mesh.lower(state, batch).compile()
