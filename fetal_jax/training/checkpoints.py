"""Save and restore a run with Orbax: state, the position in the data, and what they belong to.

Which checkpoint wins where a run goes on:
1. A work directory with a complete checkpoint goes on from its newest one that is whole; damaged ones are set aside.
2. One without starts from `init.bundle`, if the recipe names one.
3. Otherwise from a random start.
A directory that holds another recipe's checkpoint is refused.

Kept are the newest ones, and the one with the lowest `validation.failure` of those that were saved. `export` and
`evaluate` take the newest, with `--best` that one.
"""

from __future__ import annotations

import functools
import json
import operator
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from fetal_jax.errors import UserError
from fetal_jax.files import absolute, in_bucket
from fetal_jax.training import distributed, sharding

FOLDER = "checkpoints"
DAMAGED = "damaged"


class NewestAndBest(ocp.checkpoint_managers.PreservationPolicy):
    """Keeps the newest checkpoints, and of all the one of the lowest figure.

    Args:
      newest: how many.
      failures: the figure of a step, where it has one; the run adds to it as it goes on.
    """

    def __init__(self, newest: int, failures: dict[int, float]):
        self.newest, self.failures = newest, failures

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:  # noqa: ARG002
        """Whether each, the oldest first, stays."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        best = lowest(steps, self.failures)
        return [step in steps[-self.newest :] or step == best for step in steps]


def lowest(steps: Sequence[int], failures: dict[int, float]) -> int | None:
    """The step of the lowest figure, the newer of two alike; None where none has one."""
    return min((s for s in steps if s in failures), key=lambda s: (failures[s], -s), default=None)


def manager(workdir: Path, keep: int = 1, failures: dict[int, float] | None = None) -> ocp.CheckpointManager:
    """Orbax's manager of a run's `checkpoints/`; saves are asynchronous, and make `NewestAndBest` of those there."""
    policy = NewestAndBest(keep, {} if failures is None else failures)
    options = ocp.CheckpointManagerOptions(preservation_policy=policy, create=True)
    return ocp.CheckpointManager(absolute(workdir) / FOLDER, options=options)


def save(to: ocp.CheckpointManager, step: int, state: Any, iterator: Any, meta: dict[str, Any]) -> None:
    """Begin to write one checkpoint, when the one before is written; it is complete or invisible.

    Raises:
      UserError: this one or the one before cannot be written.
    """
    meta = meta | {"position": iterator.get_state()}
    meta |= {"digests": {"state": leaf_digests(state), "meta": _text_digest(meta)}}
    items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
    _write(to, functools.partial(to.save, step, args=items))


def finish(to: ocp.CheckpointManager) -> None:
    """Wait for the last save, and close.

    Raises:
      UserError: it cannot be written.
    """
    _write(to, to.wait_until_finished)
    to.close()


def _write(to: ocp.CheckpointManager, write: Callable[[], Any]) -> None:
    try:
        write()
    except Exception as e:  # a full disk is a ValueError
        reason = " ".join(str(e).split())[-200:]
        raise UserError(f"no checkpoint can be written to {to.directory}: make room, and start again ({reason})") from e


def restore(source: ocp.CheckpointManager, step: int, abstract: Any, iterator: Any | None = None) -> tuple[Any, Any]:
    """The state, onto the shardings of `abstract`, and the meta of a checkpoint; sets the iterator's position.

    Every process reads the whole state by its own and they go on only if all have: one that failed inside a read that
    they do together would leave the others waiting.

    Raises:
      UserError: the checkpoint is damaged or of another network.
    """
    where = source.directory / str(step)
    error: UserError | None = None
    try:
        state, meta = _read(where, abstract)
    except UserError as e:
        error = e
    if not distributed.all_agree(error is None):
        raise error or UserError(f"{where} cannot be read by another process")
    position = meta.pop("position", {"next_index": step})  # a batch a step
    if iterator is not None:
        iterator.set_state(position)
    return sharding.spread(state, abstract), meta


def _read(where: Any, abstract: Any) -> tuple[Any, dict[str, Any]]:
    """State, on one device of this process, and meta of a checkpoint's folder, with no word to other processes."""
    one, own = jax.sharding.SingleDeviceSharding(jax.local_devices()[0]), jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    whole = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=one), abstract)
    try:
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        state = handler.restore(where / "state", args=ocp.args.StandardRestore(whole))
        meta = ocp.JsonCheckpointHandler(multiprocessing_options=alone).restore(where / "meta")
        digests = meta.pop("digests", None)  # checkpoints written before there were digests have none
        changed = _changed(state, meta, digests) if digests is not None else []
    except Exception as e:  # Orbax shows damage as ValueError, KeyError, JSONDecodeError or a plain Exception
        reason = " ".join(str(e).split())[:160]
        raise UserError(f"{where} cannot be read: remove it to go on from the one before ({reason})") from e
    if changed:
        raise UserError(f"{where} is damaged: remove it to go on from the one before (changed: {', '.join(changed)})")
    return state, meta


def restore_newest(source: ocp.CheckpointManager, abstract: Any, iterator: Any) -> tuple[int, Any, Any] | None:
    """(step, state, meta) of the newest checkpoint that is whole, None where there is no checkpoint at all.

    Newer ones that are damaged are named and moved to `damaged/` beside the checkpoints: Orbax would not save their
    steps again.

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
        if in_bucket(aside):  # which has no empty directories to move something into
            (aside / "README").write_text("Checkpoints that could not be read.\n")
        taken = len([p for p in aside.iterdir() if p.name.split(".")[0] == str(step)])
        (source.directory / str(step)).rename(aside / (f"{step}.{taken}" if taken else str(step)))
        print(f"set aside in {aside}, going on from the checkpoint before: {error}", flush=True)
    distributed.all_agree(True)  # moved, before any looks again
    source.reload()


# -------------------------------------------------------------------------------------------------------- digests


def leaf_digests(tree: Any) -> dict[str, int]:
    """32 bits for each leaf, from its bits and their places; the same on any mesh.

    Orbax restores flipped bits as wrong numbers without a word (20 of 20). Any change of a single word changes the
    digest for certain, any other with a chance of 1 - 2^-32. Computed where the leaf lies: nothing is gathered.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    values = jax.device_get(_digests([leaf for _, leaf in leaves]))
    return {jax.tree_util.keystr(path): int(value) for (path, _), value in zip(leaves, values, strict=True)}


@jax.jit
def _digests(leaves: list[jax.Array]) -> list[jax.Array]:
    return [_digest(leaf) for leaf in leaves]


def _digest(leaf: jax.Array) -> jax.Array:
    """The sum modulo 2^32 of the words, each mixed with its place by the finaliser of MurmurHash3: in any order."""
    words = jax.lax.bitcast_convert_type(leaf, jnp.uint32)  # float64: two words, along an axis of their own
    strides = np.cumprod([1, *words.shape[:0:-1]], dtype=np.uint64)[::-1][: words.ndim]
    places = [
        jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * jnp.uint32(int(stride) % 2**32)
        for axis, stride in enumerate(strides)
    ]
    place = functools.reduce(operator.add, places, jnp.zeros(words.shape, jnp.uint32))
    h = words + place * jnp.uint32(0x9E3779B1)
    h = (h ^ (h >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return (h ^ (h >> jnp.uint32(16))).sum(dtype=jnp.uint32)


def _text_digest(meta: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode())


def _changed(state: Any, meta: dict[str, Any], digests: dict[str, Any]) -> list[str]:
    """The names of what does not have its digest any more."""
    now = leaf_digests(state)
    changed = [name for name in now if now[name] != digests["state"].get(name)]
    return changed + ["meta"] * (_text_digest(meta) != digests["meta"])
