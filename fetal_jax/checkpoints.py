"""Save and restore a run with Orbax: state, grain's position and what they belong to.

Which checkpoint wins:
1. A work directory with a complete checkpoint goes on from its newest one.
2. One without starts from `init.bundle`, if the recipe names one.
3. Otherwise from a random start.
A directory that holds another recipe's checkpoint is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grain
import orbax.checkpoint as ocp

from fetal_jax.errors import UserError

FOLDER = "checkpoints"


def manager(workdir: Path, keep: int) -> ocp.CheckpointManager:
    """Orbax's manager of a run's `checkpoints/`; saves are asynchronous."""
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
    return ocp.CheckpointManager((workdir / FOLDER).absolute(), options=options)


def save(to: ocp.CheckpointManager, step: int, state: Any, iterator: Any, meta: dict[str, Any]) -> None:
    """Write one checkpoint; it is complete or invisible."""
    items = {
        "state": ocp.args.StandardSave(state),
        "data": grain.checkpoint.CheckpointSave(iterator),
        "meta": ocp.args.JsonSave(meta),
    }
    to.save(step, args=ocp.args.Composite(**items))


def restore(source: ocp.CheckpointManager, step: int, abstract: Any, iterator: Any | None = None) -> tuple[Any, Any]:
    """The state, onto the shardings of `abstract`, and the meta of a checkpoint; sets the iterator's position.

    Raises:
      UserError: the checkpoint is damaged or of another network.
    """
    items: dict[str, Any] = {"state": ocp.args.StandardRestore(abstract), "meta": ocp.args.JsonRestore()}
    if iterator is not None:
        items["data"] = grain.checkpoint.CheckpointRestore(iterator)
    try:
        found = source.restore(step, args=ocp.args.Composite(**items))
    except Exception as e:  # Orbax shows damage as ValueError, KeyError, JSONDecodeError or a plain Exception
        where = Path(source.directory) / str(step)
        reason = " ".join(str(e).split())[:160]
        raise UserError(f"{where} cannot be read: remove it to go on from the one before ({reason})") from e
    return found["state"], found["meta"]
