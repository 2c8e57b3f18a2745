"""A whole training run, readable from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from fetal_jax import config as configuration
from fetal_jax.config import Config
from fetal_jax.data import training_record
from fetal_jax.data.decoded import decoded, without_fold
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split, splits
from fetal_jax.errors import UserError
from fetal_jax.model import unet
from fetal_jax.training import checkpoints, cost, distributed
from fetal_jax.training.live import live_predictor
from fetal_jax.training.log import Log, Progress, Trace
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.start import described, start_parameters
from fetal_jax.training.step import (
    abstract_state,
    compiled_step,
    initial_state,
    learning_rate,
    optimiser,
    with_parameters,
)
from fetal_jax.training.validation import validate
from fetal_jax.training.workdir import LONGER, check_data, check_workdir, exclusive, keep_start, write_config

PROFILED_FROM, PROFILED = 3, 5  # steps of a trace: the first ones after a start are slower


class Preempted(Exception):
    """The run was asked to stop and has saved a checkpoint; started again, it resumes."""


def train(
    config: Config, workdir: Path, profile: bool = False, stop_requested: Callable[[], bool] = lambda: False
) -> None:
    """Train in a work directory, from its newest checkpoint if it has one, to the last step.

    Every process of a run calls this with the same arguments; the first one prints and writes.

    Args:
      config: the configuration of the run.
      workdir: created if it does not exist; on disk or in a bucket.
      profile: write a trace of a few steps into `workdir/profile/`.
      stop_requested: called before every step; if true in any process, the run saves a checkpoint and stops.

    Raises:
      UserError: the data set is not prepared, the directory is in use or holds a run of another configuration.
      FloatingPointError: loss or gradient was not finite for `max_bad_steps` steps in a row, or a map of validation.
      Preempted: a stop was requested; the checkpoint is written.
    """
    _check_batch_size(config)
    sharding = Sharding.create(config.mesh.data, config.mesh.fsdp)

    # Everything opened below is closed on every exit, last opened first, so that a checkpoint in flight is written.
    with ExitStack() as stack:
        # --- data, and a work directory for this run alone
        names = configuration.mixture(config)
        train_splits = [Split(name, "train", config.data.dir) for name in names]
        have = [name for name in names if "validation" in splits(name, config.data.dir)]
        validation_splits = {name: Split(name, "validation", config.data.dir) for name in have}
        stack.enter_context(exclusive(workdir))
        check_workdir(workdir, config)
        meta = training_record.training_record(train_splits)
        check_data(workdir, meta)
        sources = [without_fold(decoded(split), config.data.leave_out) for split in train_splits]
        iterator = stack.enter_context(closing(training_batches(sources, config)))

        # --- network and state, on the mesh
        network = unet.from_config(config.model, len(config.planes))
        tx = optimiser(config)
        abstract = abstract_state(network, tx, config, sharding)
        _say("compiling the step: about a minute, or seconds if it was compiled before")
        step_on_mesh = compiled_step(network, tx, config, sharding, abstract)
        _say(cost.describe(step_on_mesh, abstract, sharding, config))
        fold = config.data.leave_out
        _say(f"train       {meta['fingerprint']}{f', without fold {fold}' if fold >= 0 else ''}")
        _say(f"validation  {', '.join(have) or 'none: no data set has a validation split'}")

        # --- start: the newest checkpoint, given parameters or random ones
        progress = Progress()
        manager = checkpoints.manager(workdir, config.keep_checkpoints, progress.validation_scores)
        stack.callback(checkpoints.finish, manager)
        found = checkpoints.restore_newest(manager, abstract, iterator)
        if found:
            start, state, saved = found
            progress.restore(saved)
            origin = saved.pop("origin", "")  # licence of the weights that the run started from
            before = training_record.before(saved)  # the training of those weights
            config = keep_start(workdir, config)
            _say_where_resumed(start, config, progress)
        else:
            start, origin, before = 0, "", []
            _say(f"start       {described(config)}")
            placement = jax.tree.map(lambda a: a.sharding, abstract)
            state = jax.jit(lambda: initial_state(network, tx, config), out_shardings=placement)()
            if config.init.bundle or config.init.sononet:
                params, origin, before = start_parameters(config, sharding.local(state.params), sources)
                state = with_parameters(state, abstract, distributed.from_first(params))
        write_config(workdir, config)  # last, so that a run that was refused can be corrected

        # --- the loop
        filenames = [frame.filename for source in sources for frame in source]
        log = stack.enter_context(closing(Log(workdir, start, config, progress, learning_rate(config), filenames)))
        trace = Trace(workdir / "profile", first=start + PROFILED_FROM, count=PROFILED if profile else 0)
        stack.enter_context(closing(trace))
        bar = stack.enter_context(_progress_bar(start, config.total_steps))
        for step in range(start + 1, config.total_steps + 1):
            batch = next(iterator)
            index = batch.pop("index")
            batch["stop"] = np.full(len(index), stop_requested())
            state, logs = step_on_mesh(state, sharding.put(batch))
            log.push(step, logs, index)

            last = step == config.total_steps
            validated = bool(validation_splits) and (step % steps_between_validations(config) == 0 or last)
            if validated:
                _validate(sharding.local(state.ema), step, validation_splits, config, log)
                if bar.disable:  # output to a file or a pipe; otherwise the bar shows the same
                    _say(f"step {step} of {config.total_steps}: {log.summary(step)}")
            stop = log.stopped and not last
            if step % config.checkpoint_every == 0 or validated or last or stop:
                log.flush()  # so that a run resumed from here has this step's row
                log.save()
                extra = {"origin": origin, "before": before, "progress": progress.to_meta()}
                checkpoints.save(manager, step, state, iterator, meta | extra)
            trace.after(step, state)
            bar.set_postfix_str(log.summary(), refresh=False)
            bar.update()
            if stop:
                raise Preempted(f"stopped at step {step} of {config.total_steps}: a checkpoint is saved")


def _check_batch_size(config: Config) -> None:
    part = config.batch_size // config.accumulate
    if part % jax.device_count():
        key = "config.batch_size / config.accumulate" if config.accumulate > 1 else "config.batch_size"
        raise UserError(f"{key} is {part}; it must be a multiple of {jax.device_count()} devices")


def _say_where_resumed(start: int, config: Config, progress: Progress) -> None:
    rate = learning_rate(config)(start - progress.skipped)
    _say(f"resumed at step {start} of {config.total_steps}, lr {rate:.2e}")
    if start == config.total_steps:
        _say(f"the run is finished; to train it longer, {LONGER}")


def _validate(params: Any, step: int, validation_splits: dict[str, Split], config: Config, log: Log) -> None:
    log.flush()
    began = time.monotonic()
    predictor = live_predictor(config, params)
    report, score = validate(predictor, validation_splits, config.eval_frames, config.seed)
    log.validation(step, report, score, time.monotonic() - began)


def steps_between_validations(config: Config) -> int:
    """`eval_every`, or else an interval that gives at least ten validations."""
    return config.eval_every or max(config.total_steps // 10, 1)


def _say(text: str) -> None:
    if distributed.is_first():
        print(text, flush=True)


def _progress_bar(start: int, total: int) -> Any:
    # no `disable=False`: it would overrule TQDM_DISABLE, which the command sets where there is no terminal
    disabled: dict[str, Any] = {} if distributed.is_first() else {"disable": True}
    return tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, mininterval=1.0, **disabled)
