"""Checkpoints of a run, saved and restored with Orbax.

A checkpoint, `checkpoints/STEP/`, holds two items:
- `state`: `step.State`, that is step, parameters, their running mean (EMA) and the optimiser's moments and counters.
- `meta`: JSON with the training data and their `fingerprint`, `origin` (licence of the weights that the run
  started from), `before` (`data.training_record`: their training), `progress` (`log.Progress`: skipped steps,
  validation scores), `position` (the next batch of the data iterator) and `digests` (32 bits for each leaf of the
  state, 32 for the rest of `meta`).
The configuration is beside the checkpoints, in `config.json`. Random numbers depend only on seed and step.

A run starts from
1. its newest checkpoint that is not damaged; damaged newer ones are moved to `damaged/`;
2. without a checkpoint, the parameters of `init.bundle` or `init.sononet`, if the configuration names one;
3. otherwise random parameters.
A directory that holds a run of another configuration is refused.

The newest `keep_checkpoints` are kept, and the one with the lowest `validation.validation_score` among those saved.
`export` and `evaluate` use the newest, or with `--best` that one.
"""

from __future__ import annotations

import functools
import json
import operator
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from fetal_jax.errors import UserError
from fetal_jax.files import absolute, in_bucket
from fetal_jax.training import distributed

FOLDER = "checkpoints"
DAMAGED = "damaged"


class NewestAndBest(ocp.checkpoint_managers.PreservationPolicy):
    """Keeps the newest checkpoints, and the one with the lowest score.

    Args:
      newest: number of the newest checkpoints to keep.
      scores: validation score by step, for the steps that have one; the run adds to it.
    """

    def __init__(self, newest: int, scores: dict[int, float]):
        self.newest, self.scores = newest, scores

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:  # noqa: ARG002
        """Whether to keep each checkpoint, the oldest first."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        best = best_step(steps, self.scores)
        return [step in steps[-self.newest :] or step == best for step in steps]


def best_step(steps: Sequence[int], scores: dict[int, float]) -> int | None:
    """The step with the lowest score, the newer of two equal ones; None if no step has a score."""
    return min((s for s in steps if s in scores), key=lambda s: (scores[s], -s), default=None)


def manager(workdir: Path, keep: int = 1, scores: dict[int, float] | None = None) -> ocp.CheckpointManager:
    """Open Orbax's manager of `workdir/checkpoints/`, with asynchronous saves and the policy `NewestAndBest`."""
    policy = NewestAndBest(keep, {} if scores is None else scores)
    options = ocp.CheckpointManagerOptions(preservation_policy=policy, create=True)
    return ocp.CheckpointManager(absolute(workdir) / FOLDER, options=options)


def saved_steps(workdir: Path) -> list[int]:
    """List the steps of the checkpoints in a work directory, without opening them."""
    folder = workdir / FOLDER
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []


def save(to: ocp.CheckpointManager, step: int, state: Any, iterator: Any, meta: dict[str, Any]) -> None:
    """Start to write a checkpoint, after the previous one is written. It is invisible until it is complete.

    Raises:
      UserError: this checkpoint or the previous one cannot be written.
    """
    meta = meta | {"position": iterator.get_state()}
    meta |= {"digests": {"state": leaf_digests(state), "meta": _text_digest(meta)}}
    items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
    _write(to, functools.partial(to.save, step, args=items))


def finish(to: ocp.CheckpointManager) -> None:
    """Wait until the last checkpoint is written, and close the manager.

    Raises:
      UserError: it cannot be written.
    """
    try:
        _write(to, to.wait_until_finished)
    finally:
        to.close()


def _write(to: ocp.CheckpointManager, write: Callable[[], Any]) -> None:
    try:
        write()
    except Exception as e:  # a full disk is a ValueError
        reason = " ".join(str(e).split())[-200:]
        raise UserError(f"no checkpoint can be written to {to.directory}: make room, and start again ({reason})") from e


def restore(source: ocp.CheckpointManager, step: int, abstract: Any, iterator: Any | None = None) -> tuple[Any, Any]:
    """Read state and meta of a checkpoint. Each device reads only its own part of the state.

    Args:
      source: of `manager`.
      step: of the checkpoint.
      abstract: shapes and types of the state with their shardings, on any mesh.
      iterator: its position is set to that of the checkpoint.

    Raises:
      UserError: the checkpoint is damaged or of another network.
    """
    folder = source.directory / str(step)
    error: UserError | None = None
    try:
        state, meta, digests = _read(folder, abstract)
    except UserError as e:
        error = e
    if not distributed.all_agree(error is None):  # the rest is computed by all processes together: none may be missing
        raise error or UserError(f"{folder} cannot be read by another process")
    now = leaf_digests(state) if digests else {}
    changed = [name for name in now if now[name] != digests.get(name)]
    if changed:
        raise UserError(f"{folder} is damaged: remove it to resume from the one before (changed: {', '.join(changed)})")
    position = meta.pop("position", {"next_index": step})  # one batch per step
    if iterator is not None:
        iterator.set_state(position)
    return state, meta


def _read(folder: Any, abstract: Any) -> tuple[Any, dict[str, Any], dict[str, int]]:
    """Read state, meta and the digests of the state's leaves, without communication between processes.

    A process that fails inside a read that they do together would leave the others waiting.
    """
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    try:
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        state = handler.restore(folder / "state", args=ocp.args.StandardRestore(abstract))
        return state, *_read_meta(folder, alone)
    except Exception as e:  # Orbax shows damage as ValueError, KeyError, JSONDecodeError or a plain Exception
        reason = " ".join(str(e).split())[:160]
        raise UserError(f"{folder} cannot be read: remove it to resume from the one before ({reason})") from e


def _read_meta(folder: Any, alone: Any) -> tuple[dict[str, Any], dict[str, int]]:
    return checked_meta(ocp.JsonCheckpointHandler(multiprocessing_options=alone).restore(folder / "meta"))


def newest_meta(workdir: Path) -> dict[str, Any] | None:
    """Read the meta of the newest checkpoint whose meta is not damaged, without its state; None if there is none.

    It is read before anything slow, to refuse a run that cannot resume; `restore_newest` reports the damaged ones.
    """
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    for step in reversed(saved_steps(workdir)):
        with suppress(Exception):  # as in `_read`
            return _read_meta(absolute(workdir) / FOLDER / str(step), alone)[0]
    return None


def checked_meta(meta: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Check meta; returns it without its digests, and the digests of the state's leaves.

    The first checkpoints had neither digests nor a position. With a position but no digests, the key is damaged.

    Raises:
      ValueError: meta is not as it was written.
    """
    if "digests" not in meta and "position" not in meta:
        return meta, {}
    digests = meta.get("digests", {})
    rest = {key: value for key, value in meta.items() if key != "digests"}
    if not digests.get("state") or digests.get("meta") != _text_digest(rest):
        raise ValueError("meta is damaged")
    return rest, digests["state"]


def restore_newest(source: ocp.CheckpointManager, abstract: Any, iterator: Any) -> tuple[int, Any, Any] | None:
    """Read (step, state, meta) of the newest checkpoint that is not damaged; None if there is no checkpoint.

    Newer, damaged ones are reported and moved to `damaged/` beside the checkpoints: Orbax would not save their steps
    again.

    Raises:
      UserError: there are checkpoints, and none can be read. They stay where they are.
    """
    damaged: list[tuple[int, UserError]] = []
    for step in sorted(source.all_steps(), reverse=True):
        try:
            state, meta = restore(source, step, abstract, iterator)
        except UserError as e:
            damaged.append((step, e))
            continue
        for bad, error in damaged:
            _set_aside(source, bad, error)
        return step, state, meta
    if damaged:
        raise UserError(f"no checkpoint can be read; the newest: {damaged[0][1]}")
    return None


def _set_aside(source: ocp.CheckpointManager, step: int, error: UserError) -> None:
    aside = source.directory.parent / DAMAGED
    if distributed.is_first():
        aside.mkdir(exist_ok=True)
        if in_bucket(aside):  # a bucket has no empty directories to move something into
            (aside / "README").write_text("Checkpoints that could not be read.\n")
        taken = len([p for p in aside.iterdir() if p.name.split(".")[0] == str(step)])
        (source.directory / str(step)).rename(aside / (f"{step}.{taken}" if taken else str(step)))
        print(f"moved to {aside}, resuming from the checkpoint before: {error}", flush=True)
    distributed.all_agree(True)  # a barrier: moved before any process looks again
    source.reload()


# -------------------------------------------------------------------------------------------------------- digests


def leaf_digests(tree: Any) -> dict[str, int]:
    """32-bit digest of each leaf by its path, from all bits and their positions; the same on any mesh.

    Orbax restores flipped bits as wrong numbers without an error (20 of 20). A change of one word always changes the
    digest, any other change with probability 1 - 2^-32. Each device digests its own part: nothing is gathered.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    values = jax.device_get(_digests([leaf for _, leaf in leaves]))
    return {jax.tree_util.keystr(path): int(value) for (path, _), value in zip(leaves, values, strict=True)}


@jax.jit
def _digests(leaves: list[jax.Array]) -> list[jax.Array]:
    return [_digest(leaf) for leaf in leaves]


def _digest(leaf: jax.Array) -> jax.Array:
    """Sum modulo 2^32 of the words, each mixed with its position by MurmurHash3's finaliser; in any order."""
    words = jax.lax.bitcast_convert_type(leaf, jnp.uint32)  # float64: two words, along a new axis
    strides = np.cumprod([1, *words.shape[:0:-1]], dtype=np.uint64)[::-1][: words.ndim]
    offsets = [
        jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * jnp.uint32(int(stride) % 2**32)
        for axis, stride in enumerate(strides)
    ]
    position = functools.reduce(operator.add, offsets, jnp.zeros(words.shape, jnp.uint32))
    h = words + position * jnp.uint32(0x9E3779B1)
    h = (h ^ (h >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return (h ^ (h >> jnp.uint32(16))).sum(dtype=jnp.uint32)


def _text_digest(meta: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode())
