"""A whole training run, readable from top to bottom."""

from __future__ import annotations

import functools
import signal
import threading
import time
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray
from tqdm import tqdm

from fetal_jax import bundle, checkpoints, distributed, losses, model, ops, plan, recipe, sononet, targets
from fetal_jax.bundle import BundleInfo
from fetal_jax.data.decoded import decoded
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split, splits
from fetal_jax.errors import UserError
from fetal_jax.inference import Predictor
from fetal_jax.planes import GEOMETRIES
from fetal_jax.sharding import Sharding, spread
from fetal_jax.training_log import Log, Progress, Trace, write_whole
from fetal_jax.validation import validate

Array = NDArray[Any]
PROFILED_FROM, PROFILED = 3, 5  # steps of a trace: the first ones of a start are not like the rest


@flax.struct.dataclass
class State:
    """What a step changes. `ema` is the running mean of the parameters: it is what is evaluated and exported."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any


# ---------------------------------------------------------------------------------------------------- the step


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
        numbers = part["numbers"].astype(ops.wide(network.dtype))
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

    shapes = {"frames": (*config.input_shape, 1), "geometry": (), "numbers": (5,), "plane": (), "stop": ()}
    types = {"frames": jnp.uint8, "geometry": jnp.int32, "numbers": jnp.float32, "plane": jnp.int32, "stop": jnp.bool_}
    batch = {
        key: jax.ShapeDtypeStruct((config.batch_size, *shape), types[key], sharding=sharding.batch)
        for key, shape in shapes.items()
    }
    placement = jax.tree.map(lambda a: a.sharding, state)
    on_mesh = jax.jit(step, out_shardings=(placement, sharding.replicated), donate_argnums=0)
    return on_mesh.lower(state, batch).compile()


# ---------------------------------------------------------------------------------------------- the predictor


@functools.partial(jax.jit, static_argnums=0)
def _apply(network: Any, params: Any, frames: Array) -> tuple[jax.Array, jax.Array]:
    return network.apply({"params": params}, frames)


def live_predictor(config: Any, params: Any) -> Predictor:
    """A predictor that runs the network of a recipe with these parameters."""
    network = model.from_config(config.model, len(config.planes))

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = _apply(network, params, frames)
        return np.asarray(map_logits), np.asarray(plane_logits)

    return Predictor(bundle_info(config), forward)


def bundle_info(config: Any) -> BundleInfo:
    """What a bundle says of a recipe's network."""
    return BundleInfo(tuple(config.planes), tuple(config.input_shape), bool(config.flip_average))


# ------------------------------------------------------------------------------------------------------ the run


class Preempted(Exception):
    """The run was told to stop (SIGTERM) and has saved a checkpoint; started again, it goes on."""


def run(config: Any, workdir: Path, profile: bool = False) -> None:
    """Train a recipe in a work directory, from its newest checkpoint if it has one, to its last step.

    Every process of a run calls this with the same recipe and work directory; the first one speaks and writes.

    Args:
      config: a recipe.
      workdir: made where it is not there.
      profile: write a trace of a few steps into its `profile/`.

    Raises:
      UserError: the data set is not prepared, or the directory holds another recipe's run.
      FloatingPointError: the loss or its gradient was no number for `max_bad_steps` steps in a row.
      Preempted: SIGTERM came to some process; a checkpoint of the last step is written.
    """
    told_to_stop = _stop_on_sigterm()

    # --- the devices
    sharding = Sharding.create(config.mesh.data, config.mesh.fsdp)
    part = config.batch_size // config.accumulate
    if part % jax.device_count():
        key = "config.batch_size / config.accumulate" if config.accumulate > 1 else "config.batch_size"
        raise UserError(f"{key} is {part}; it must be a multiple of {jax.device_count()} devices")

    # --- the data, and a directory that is this recipe's
    names = recipe.mixture(config)
    train_splits = [Split(name, "train", config.data.dir) for name in names]
    have = [name for name in names if "validation" in splits(name, config.data.dir)]
    validation_splits = {name: Split(name, "validation", config.data.dir) for name in have}
    claim(workdir, config)
    sources = [decoded(split) for split in train_splits]
    iterator = training_batches(sources, config)

    # --- the network and its state, on the mesh
    network = model.from_config(config.model, len(config.planes))
    tx = optimiser(config)
    abstract = jax.eval_shape(lambda: initial_state(network, tx, config))
    placement = sharding.parameters(abstract)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, placement)
    step_on_mesh = compiled_step(network, tx, config, sharding, abstract)
    meta = {"dataset": ", ".join(s.dataset for s in train_splits)}
    meta |= {"fingerprint": ", ".join(s.fingerprint for s in train_splits)}
    _say(f"{plan.describe(step_on_mesh, abstract, sharding, config)}\ntrain       {meta['fingerprint']}")

    # --- where it starts from
    progress, origin = Progress(), ""  # the licence of the weights that it starts from
    manager = checkpoints.manager(workdir, config.keep_checkpoints, progress.failures)
    found = checkpoints.restore_newest(manager, abstract, iterator)
    if found:
        start, state, saved = found
        progress.take(saved)
        origin = saved.pop("origin", "")
        if saved != meta:
            raise UserError(f"{workdir} was trained on {saved['fingerprint']}, here is {meta['fingerprint']}")
        _say(f"resumed at step {start} of {config.total_steps}, lr {learning_rate(config)(start):.2e}")
    else:
        start = 0
        state = jax.jit(lambda: initial_state(network, tx, config), out_shardings=placement)()
        if config.init.bundle:
            from fetal_jax.export import bundle_parameters

            params, origin = bundle_parameters(bundle.find(config.init.bundle), config, abstract.params)
            state = started(state, abstract, params)
        elif config.init.sononet:
            params = sononet.start(Path(config.init.sononet), sharding.local(state.params), config, sources)
            origin = sononet.LICENCE
            state = started(state, abstract, params)

    # --- the loop
    filenames = [frame.filename for source in sources for frame in source]
    log = Log(workdir, start, config, progress, learning_rate(config), filenames)
    trace = Trace(workdir / "profile", first=start + PROFILED_FROM, count=PROFILED if profile else 0)
    stop, quiet = False, not distributed.is_first()
    bar = tqdm(total=config.total_steps, initial=start, unit="step", dynamic_ncols=True, mininterval=1.0, disable=quiet)
    with bar:  # an error ends it too, so that its message is the last line
        for step in range(start + 1, config.total_steps + 1):
            batch = next(iterator)
            index = batch.pop("index")
            batch["stop"] = np.full(len(index), told_to_stop.is_set())
            state, logs = step_on_mesh(state, sharding.put(batch))
            log.push(step, logs, index)

            last = step == config.total_steps
            validated = step % config.eval_every == 0 or last
            if validated:
                log.flush()
                began = time.monotonic()
                predictor = live_predictor(config, sharding.local(state.ema))
                report, failure = validate(predictor, validation_splits, config.eval_frames)
                log.validation(step, report, failure, time.monotonic() - began)
            stop = log.stopped and not last
            if step % config.checkpoint_every == 0 or validated or stop:
                log.flush()  # a run that goes on from here has this step's row
                log.save()
                told = meta | {"origin": origin, "progress": progress.to_meta()}
                checkpoints.save(manager, step, state, iterator, told)
            trace.after(step, state)
            bar.set_postfix(log.shown, refresh=False)
            bar.update()
            if stop:
                break
    trace.close()
    log.close()
    iterator.close()
    checkpoints.finish(manager)
    if stop:
        raise Preempted(f"stopped at step {step} of {config.total_steps}: a checkpoint is saved")


def _say(text: str) -> None:
    if distributed.is_first():
        print(text, flush=True)


def _stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets: a run ends between two steps. Only the main thread may set a handler."""
    told = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: told.set())
    return told


def claim(workdir: Path, config: Any) -> None:
    """Write `config.json` into a new work directory; refuse one that holds another recipe's run.

    Raises:
      UserError: naming the keys that differ, or what is wrong with the bundle to start from.
    """
    path = workdir / "config.json"
    if path.exists():
        keys = recipe.differences(recipe.from_json(path), config)
        if keys:
            raise UserError(f"{workdir} holds another recipe's run ({'; '.join(keys)}): give another --workdir")
    elif (workdir / checkpoints.FOLDER).exists():
        raise UserError(f"{workdir} holds checkpoints without a config.json: give another --workdir")
    elif config.init.bundle:
        from fetal_jax.export import check_start

        check_start(bundle.find(config.init.bundle), config)
    distributed.all_agree(True)  # every process has looked, before the first one writes
    if distributed.is_first():
        workdir.mkdir(parents=True, exist_ok=True)
        write_whole(path, recipe.to_json(config))
