"""A whole training run, readable from top to bottom."""

from __future__ import annotations

import functools
import json
import os
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
from tensorboardX import SummaryWriter
from tqdm import tqdm

from fetal_jax import checkpoints, losses, metrics, model, recipe, sononet, targets
from fetal_jax.bundle import BundleInfo
from fetal_jax.data.decoded import decoded
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split, builder
from fetal_jax.errors import UserError
from fetal_jax.inference import Predictor
from fetal_jax.planes import CIRCUMFERENCE_OF_PLANE, GEOMETRIES
from fetal_jax.sharding import Sharding

Array = NDArray[Any]
VALIDATION_BATCH = 16


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
    """One step: draw the targets, take the gradient of the joint loss, update parameters and their mean."""
    frames, kind = batch["frames"], batch["geometry"]
    target = targets.coverage(kind, batch["numbers"], tuple(config.input_shape))
    has_map = kind != GEOMETRIES.index("unknown")

    def loss(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        map_logits, plane_logits = network.apply({"params": params}, frames)
        return losses.joint_loss(map_logits, plane_logits, target, has_map, batch["plane"], config.loss.cls_weight)

    grads, logs = jax.grad(loss, has_aux=True)(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # the mean is over at most `step` steps at first, so that it never remembers the random start
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(config.optim.ema, (1 + step) / (10 + step))
    ema = jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state.ema, params)
    return State(state.step + 1, params, ema, opt_state), logs


def initial_state(network: Any, tx: optax.GradientTransformation, config: Any) -> State:
    """A random start, the same on any mesh."""
    frames = jnp.zeros((1, *config.input_shape, 1), jnp.uint8)
    params = network.init(jax.random.key(config.seed), frames)["params"]
    return State(jnp.zeros((), jnp.int32), params, params, tx.init(params))


# -------------------------------------------------------------------------------------------------- validation


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


def validate(predictor: Predictor, frames: Split, count: int) -> dict[str, float]:
    """Mean absolute error in mm of each measure over the first `count` frames, the plane given, and plane accuracy."""
    errors: dict[str, list[float]] = {}
    planes: list[tuple[str, str]] = []
    for start in range(0, min(count, len(frames)), VALIDATION_BATCH):
        part = [frames[i] for i in range(start, min(start + VALIDATION_BATCH, count, len(frames)))]
        seen = predictor.predict([f.image for f in part], [f.spacing_mm for f in part])
        for frame, prediction in zip(part, seen, strict=True):
            if frame.plane in predictor.info.planes:
                planes.append((frame.plane, max(prediction.planes, key=lambda p: prediction.planes[p])))
            name = CIRCUMFERENCE_OF_PLANE.get(frame.plane or "")
            if name and frame.plane and name in frame.truth_mm and frame.spacing_mm:
                shape = (frame.image.shape[0], frame.image.shape[1])
                found = predictor.measure_map(prediction.probability, frame.plane, shape, frame.spacing_mm)
                value = found.primary_mm
                errors.setdefault(name, []).append(np.nan if value is None else value - frame.truth_mm[name])
    report: dict[str, float] = {}
    for name, values in errors.items():
        summary = metrics.error_summary(values)
        report |= {f"{name}_mae": float(summary.get("mae", np.nan)), f"{name}_missing": summary["missing"]}
    if planes and len(predictor.info.planes) > 1:
        report["plane_accuracy"] = metrics.accuracy(*map(list, zip(*planes, strict=True)))  # type: ignore[arg-type]
    return report


def validate_each(predictor: Predictor, splits: dict[str, Split], count: int) -> dict[str, float]:
    """`validate` of each data set by its own, its name before the keys where there are several."""
    reports = {name: validate(predictor, split, count) for name, split in splits.items()}
    if len(reports) == 1:
        return next(iter(reports.values()))
    return {f"{name}/{key}": value for name, report in reports.items() for key, value in report.items()}


# --------------------------------------------------------------------------------------------------------- logs


class Log:
    """Rows of `metrics.jsonl` and TensorBoard's events, from the resumed step on, and what the progress bar shows.

    A step's metrics are read when the next step has been started, so that the device never waits for the host.
    """

    def __init__(self, workdir: Path, start: int, config: Any, filenames: list[str]):
        self._config, self._filenames, self._schedule = config, filenames, learning_rate(config)
        self._path = workdir / "metrics.jsonl"
        rows = self._path.read_text().split("\n")[:-1] if self._path.exists() else []  # a killed run's last may be cut
        kept = [row for row in rows if json.loads(row)["step"] <= start]  # what came after is trained again
        _write_whole(self._path, "".join(row + "\n" for row in kept))
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
        self._pending: tuple[int, dict[str, jax.Array], Array] | None = None
        self._clock, self._clock_step = time.monotonic(), start
        self.shown: dict[str, str] = {}

    def push(self, step: int, logs: dict[str, jax.Array], index: Array) -> None:
        """Take a step's metrics, still on the device, with its frames' indices; write the step before."""
        self.flush()
        self._pending = (step, logs, index)

    def flush(self) -> None:
        """Write the last step's metrics.

        Raises:
          FloatingPointError: the loss is no number; names the frames.
        """
        if self._pending is None:
            return
        (step, logs, index), self._pending = self._pending, None
        row = {k: float(v) for k, v in logs.items()}
        if not np.isfinite(row["loss"]):
            names = ", ".join(self._filenames[i] for i in index)
            raise FloatingPointError(f"the loss of step {step} is {row['loss']}; its frames: {names}")
        if step % self._config.log_every == 0:
            speed = (step - self._clock_step) * self._config.batch_size / (time.monotonic() - self._clock)
            self._clock, self._clock_step = time.monotonic(), step
            self.shown |= {"loss": f"{row['loss']:.4f}", "frames/s": f"{speed:.1f}"}
            self._write(step, row | {"lr": float(self._schedule(step)), "frames_per_s": speed})

    def validation(self, step: int, report: dict[str, float], seconds: float) -> None:
        """Write a validation that took so long, which is no time of training."""
        self._clock += seconds
        self._write(step, {f"validation/{k}": v for k, v in report.items()})
        errors = {k: v for k, v in report.items() if k.endswith("_mm_mae")}
        self.shown |= {k.removesuffix("_mm_mae").upper(): f"{v:.2f}mm" for k, v in errors.items()}

    def _write(self, step: int, row: dict[str, float]) -> None:
        with self._path.open("a") as f:
            f.write(json.dumps({"step": step} | row) + "\n")
        for name, value in row.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._board.close()


# ------------------------------------------------------------------------------------------------------ the run


class Preempted(Exception):
    """The run was told to stop (SIGTERM) and has saved a checkpoint; started again, it goes on."""


def run(config: Any, workdir: Path) -> None:
    """Train a recipe in a work directory, from its newest checkpoint if it has one, to its last step.

    Raises:
      UserError: the data set is not prepared, or the directory holds another recipe's run.
      FloatingPointError: the loss is not a number any more.
      Preempted: SIGTERM came; a checkpoint of the last step is written.
    """
    told_to_stop = _stop_on_sigterm()

    # --- the data, and a directory that is this recipe's
    names = recipe.mixture(config)
    train_splits = [Split(name, "train", config.data.dir) for name in names]
    validated = [name for name in names if "validation" in builder(name, config.data.dir).info.splits]
    validation_splits = {name: Split(name, "validation", config.data.dir) for name in validated}
    claim(workdir, config)
    sources = [decoded(split) for split in train_splits]
    iterator = training_batches(sources, config)

    # --- the network and its state, on the mesh
    sharding = Sharding.create(config.mesh.data, config.mesh.fsdp)
    if config.batch_size % jax.device_count():
        raise UserError(
            f"config.batch_size is {config.batch_size}; it must be a multiple of {jax.device_count()} devices"
        )
    network = model.from_config(config.model, len(config.planes))
    tx = optimiser(config)
    abstract = jax.eval_shape(lambda: initial_state(network, tx, config))
    placement = sharding.parameters(abstract)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, placement)

    manager = checkpoints.manager(workdir, config.keep_checkpoints)
    meta = {"dataset": ", ".join(s.dataset for s in train_splits)}
    meta |= {"fingerprint": ", ".join(s.fingerprint for s in train_splits)}
    found = checkpoints.restore_newest(manager, abstract, iterator)
    if found:
        start, state, saved = found
        if saved != meta:
            raise UserError(f"{workdir} was trained on {saved['fingerprint']}, here is {meta['fingerprint']}")
        print(f"resumed at step {start} of {config.total_steps}, lr {learning_rate(config)(start):.2e}", flush=True)
    else:
        start = 0
        state = jax.jit(lambda: initial_state(network, tx, config), out_shardings=placement)()
        if config.init.bundle:
            from fetal_jax.export import bundle_parameters

            start_from = functools.partial(bundle_parameters, Path(config.init.bundle), config)
            state = state.replace(params=start_from(state.params), ema=start_from(state.ema))
            state = jax.device_put(state, placement)
        elif config.init.sononet:
            params = sononet.start(Path(config.init.sononet), state.params, config, sources)
            state = jax.device_put(state.replace(params=params, ema=params), placement)

    def step_fn(state: State, batch: dict[str, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        return train_step(state, batch, network, tx, config)

    step_on_mesh = jax.jit(
        step_fn,
        in_shardings=(placement, sharding.batch),
        out_shardings=(placement, sharding.replicated),
        donate_argnums=0,
    )
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(abstract.params))
    print(f"parameters {count:,}   mesh {dict(sharding.mesh.shape)}   train {meta['fingerprint']}", flush=True)

    # --- the loop
    log = Log(workdir, start, config, [frame.filename for source in sources for frame in source])
    stop = False
    bar = tqdm(total=config.total_steps, initial=start, unit="step", dynamic_ncols=True, mininterval=1.0)
    for step in range(start + 1, config.total_steps + 1):
        batch = next(iterator)
        index = batch.pop("index")
        state, logs = step_on_mesh(state, sharding.put(batch))
        log.push(step, logs, index)

        last = step == config.total_steps
        if step % config.eval_every == 0 or last:
            log.flush()
            began = time.monotonic()
            report = validate_each(live_predictor(config, state.ema), validation_splits, config.eval_frames)
            log.validation(step, report, time.monotonic() - began)
        stop = told_to_stop.is_set() and not last
        if step % config.checkpoint_every == 0 or last or stop:
            log.flush()  # a run that goes on from here has this step's row
            checkpoints.save(manager, step, state, iterator, meta)
        bar.set_postfix(log.shown, refresh=False)
        bar.update()
        if stop:
            break
    bar.close()
    log.close()
    iterator.close()
    manager.close()  # waits for the last save
    if stop:
        raise Preempted(f"stopped at step {step} of {config.total_steps}: a checkpoint is saved")


def _stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets: a run ends between two steps. Only the main thread may set a handler."""
    told = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: told.set())
    return told


def _write_whole(path: Path, text: str) -> None:
    """Replace a file so that a kill at any moment leaves the old one or the new one."""
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    os.replace(draft, path)


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

        check_start(Path(config.init.bundle), config)
    workdir.mkdir(parents=True, exist_ok=True)
    _write_whole(path, recipe.to_json(config))
