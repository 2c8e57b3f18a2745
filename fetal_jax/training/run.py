"""A whole training run, readable from top to bottom."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax import config as recipe
from fetal_jax.data.decoded import decoded
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split, splits, trained_on, training_record
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.training import checkpoints, cost, distributed, sononet
from fetal_jax.training.live import live_predictor
from fetal_jax.training.log import Log, Progress, Trace, write_whole
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import compiled_step, initial_state, learning_rate, optimiser, started
from fetal_jax.training.validation import validate

Array = NDArray[Any]
PROFILED_FROM, PROFILED = 3, 5  # steps of a trace: the first ones of a start are not like the rest


class Preempted(Exception):
    """The run was told to stop (SIGTERM) and has saved a checkpoint; started again, it goes on."""


def train(config: Any, workdir: Path, profile: bool = False) -> None:
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
    network = unet.from_config(config.model, len(config.planes))
    tx = optimiser(config)
    abstract = jax.eval_shape(lambda: initial_state(network, tx, config))
    placement = sharding.parameters(abstract)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, placement)
    step_on_mesh = compiled_step(network, tx, config, sharding, abstract)
    meta = training_record(train_splits)
    _say(f"{cost.describe(step_on_mesh, abstract, sharding, config)}\ntrain       {meta['fingerprint']}")

    # --- where it starts from
    progress, origin = Progress(), ""  # the licence of the weights that it starts from
    manager = checkpoints.manager(workdir, config.keep_checkpoints, progress.failures)
    found = checkpoints.restore_newest(manager, abstract, iterator)
    if found:
        start, state, saved = found
        progress.take(saved)
        origin = saved.pop("origin", "")
        if trained_on(saved) != trained_on(meta):
            raise UserError(f"{workdir} was trained on {saved['fingerprint']}, here is {meta['fingerprint']}")
        _say(f"resumed at step {start} of {config.total_steps}, lr {learning_rate(config)(start):.2e}")
    else:
        start = 0
        state = jax.jit(lambda: initial_state(network, tx, config), out_shardings=placement)()
        if config.init.bundle:
            from fetal_jax.training.start import bundle_parameters

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
        from fetal_jax.training.start import check_start

        check_start(bundle.find(config.init.bundle), config)
    distributed.all_agree(True)  # every process has looked, before the first one writes
    if distributed.is_first():
        workdir.mkdir(parents=True, exist_ok=True)
        write_whole(path, recipe.to_json(config))
