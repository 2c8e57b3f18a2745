"""The training step: state, optimiser, loss gradient and update, compiled on a mesh."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fetal_jax.model import ops
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training import losses, targets
from fetal_jax.training.sharding import Sharding, spread


@flax.struct.dataclass
class State:
    """What a step changes. `ema` is the running mean of the parameters: it is what is evaluated and exported."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any


def learning_rate(config: Any) -> optax.Schedule:
    """Linear warm-up, then a cosine to zero at the last step."""
    warmup = min(config.optim.warmup_steps, config.total_steps // 2)
    return optax.warmup_cosine_decay_schedule(0.0, config.optim.lr, warmup, config.total_steps)


def optimiser(config: Any) -> optax.GradientTransformation:
    """AdamW behind clipping by the global norm; biases and norms do not decay."""

    def encoder(params: Any) -> Any:
        return jax.tree.map_with_path(lambda path, _: path[0].key.startswith(("down", "head", "plane")), params)

    return optax.chain(
        optax.clip_by_global_norm(config.optim.clip),
        optax.adamw(
            learning_rate(config),
            weight_decay=config.optim.weight_decay,
            mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
        ),
        optax.masked(optax.scale(config.optim.encoder_lr), encoder),
    )


def train_step(
    state: State, batch: dict[str, jax.Array], network: Any, tx: optax.GradientTransformation, config: Any
) -> tuple[State, dict[str, jax.Array]]:
    """One step: draw the targets, take the gradient of the joint loss, update parameters and their mean.

    Where the loss or its gradient is no number, nothing changes but the step's number, and `skipped` is 1.
    """

    def has_map(part: dict[str, jax.Array]) -> jax.Array:
        return part["geometry"] != GEOMETRIES.index("unknown")

    counts = losses.label_counts(has_map(batch), batch["plane"])

    def loss(params: Any, part: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        numbers = part["shape_params"].astype(ops.wide(network.dtype))
        target = targets.coverage(part["geometry"], numbers, tuple(config.input_shape))
        target = targets.binary(target) if config.loss.binary else target
        map_logits, plane_logits = network.apply({"params": params}, part["frames"])
        weight = config.loss.cls_weight
        return losses.joint_loss(map_logits, plane_logits, target, has_map(part), part["plane"], weight, counts)

    grads, logs = in_parts(jax.grad(loss, has_aux=True), state.params, batch, config.accumulate)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # the mean is over at most `step` steps at first, so that it never remembers the random start
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(config.optim.ema, (1 + step) / (10 + step))
    ema = jax.tree.map(lambda e, p: decay.astype(e.dtype) * e + (1 - decay).astype(e.dtype) * p, state.ema, params)
    good = jnp.isfinite(logs["loss"]) & jnp.isfinite(optax.tree.norm(grads))
    new, old = (params, ema, opt_state), (state.params, state.ema, state.opt_state)
    kept = jax.tree.map(lambda n, o: jnp.where(good, n, o), new, old)
    return State(state.step + 1, *kept), logs | {"skipped": 1 - good.astype(jnp.int32)}


def in_parts(gradient: Any, params: Any, batch: dict[str, jax.Array], parts: int) -> Any:
    """The sum of `gradient(params, part)` over so many parts of a batch, one after the other; of the whole where one.

    A part is every `parts`-th example, so that each device keeps its own.
    """
    if parts == 1:
        return gradient(params, batch)
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), batch)
    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], split))
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradient(params, part)), None

    return jax.lax.scan(add, zero, split)[0]


def initial_state(network: Any, tx: optax.GradientTransformation, config: Any) -> State:
    """A random start, the same on any mesh."""
    frames = jnp.zeros((1, *config.input_shape, 1), jnp.uint8)
    params = network.init(jax.random.key(config.seed), frames)["params"]
    return State(jnp.zeros((), jnp.int32), params, params, tx.init(params))


def started(state: Any, abstract: Any, params: Any) -> Any:
    """A state that starts from these parameters; those that the tree lacks stay as they are."""
    like = {name: abstract.params[name] for name in params}
    return state.replace(params=state.params | spread(params, like), ema=state.ema | spread(params, like))


def compiled_step(network: Any, tx: optax.GradientTransformation, config: Any, sharding: Sharding, state: Any) -> Any:
    """`train_step` on a mesh, compiled, for states of the given shapes and shardings, which it takes over (donated).

    A batch also says, in `stop` (B,), whether a process was told to stop; the metrics say whether any was.
    """

    def step(state: State, batch: dict[str, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        stop = batch["stop"].any()
        new, logs = train_step(state, {k: v for k, v in batch.items() if k != "stop"}, network, tx, config)
        return new, logs | {"stop": stop}

    shapes = {"frames": (*config.input_shape, 1), "geometry": (), "shape_params": (5,), "plane": (), "stop": ()}
    types = {
        "frames": jnp.uint8,
        "geometry": jnp.int32,
        "shape_params": jnp.float32,
        "plane": jnp.int32,
        "stop": jnp.bool_,
    }
    batch = {
        key: jax.ShapeDtypeStruct((config.batch_size, *shape), types[key], sharding=sharding.batch)
        for key, shape in shapes.items()
    }
    placement = jax.tree.map(lambda a: a.sharding, state)
    on_mesh = jax.jit(step, out_shardings=(placement, sharding.replicated), donate_argnums=0)
    return on_mesh.lower(state, batch).compile()
