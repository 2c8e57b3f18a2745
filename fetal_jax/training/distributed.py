"""Several processes as one run: connecting them, and the few values that they exchange.

In a run of one process every function here returns at once.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from fetal_jax.errors import UserError

Array = NDArray[Any]
DEAD_AFTER = 60  # seconds without a heartbeat from a process until the others give up
LOST = 134  # exit code of a process that lost another one; JAX ends with it too, where a missed heartbeat comes first
OF_PEERS = re.compile("(ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION|INTERNAL|UNAVAILABLE|UNKNOWN): ")
"""Beginning of JAX's error if another process may be the cause. Lack of memory and wrong arguments have other codes."""


def start(coordinator: str | None = None, processes: int | None = None, process_id: int | None = None) -> None:
    """Join the other processes of this run. To be called before anything is computed.

    Arguments that are None are read from `FETAL_COORDINATOR` (host:port of process 0), `FETAL_PROCESSES` and
    `FETAL_PROCESS_ID`. If those are not set either, JAX detects the cluster (Cloud TPU, GKE, SLURM, Open MPI). Without
    one, this process is the whole run.

    Raises:
      UserError: only some of the three are given, or a value is impossible.
      RuntimeError: another process did not join within 300 s (`lost_peer`), if JAX does not abort by itself.
    """
    where = coordinator or os.environ.get("FETAL_COORDINATOR")
    count, own = _number(processes, "FETAL_PROCESSES"), _number(process_id, "FETAL_PROCESS_ID")
    given = {"coordinator": where, "processes": count, "process-id": own}
    missing = [name for name, value in given.items() if value in (None, "")]
    if 0 < len(missing) < len(given):
        raise UserError(
            f"several processes need --coordinator, --processes and --process-id: {', '.join(missing)} is missing"
        )
    if where and (count is None or own is None or not 0 <= own < count or ":" not in where):
        raise UserError(f"--coordinator={where} --processes={count} --process-id={own}: host:port, N and 0 to N - 1")
    jax.config.update("jax_enable_preemption_service", False)  # its SIGTERM handler; the run has its own
    try:
        jax.distributed.initialize(where, count, own, heartbeat_timeout_seconds=DEAD_AFTER)
    except ValueError as e:
        if where or "coordinator_address" not in str(e):
            raise


def _number(given: int | None, variable: str) -> int | None:
    text = os.environ.get(variable, "")
    try:
        return given if given is not None else int(text) if text else None
    except ValueError:
        raise UserError(f"{variable} is {text}; it must be a whole number") from None


def is_first() -> bool:
    """Whether this is the process that prints and writes for all of them."""
    return jax.process_index() == 0


def gathered(own: Array) -> Array:
    """All-gather of equal shapes and types, (...) -> (processes, ...), bit for bit."""
    own = np.ascontiguousarray(own)
    words = multihost_utils.process_allgather(own.reshape(-1).view(np.uint8))  # JAX would round a float64
    return np.asarray(words).view(own.dtype).reshape(-1, *own.shape)


def all_agree(own: bool) -> bool:
    """Whether `own` is true in every process. Also a barrier: none returns before all have called."""
    return bool(gathered(np.array([own])).all())


def from_first(tree: Any) -> Any:
    """Broadcast the first process's arrays, bit for bit. All processes give trees of the same shapes and types."""
    return tree if jax.process_count() == 1 else jax.tree.map(_from_first, tree)


def _from_first(own: Any) -> Array:
    own = np.asarray(own)
    words = multihost_utils.broadcast_one_to_all(own.reshape(-1).view(np.uint8))  # JAX would round a float64
    return np.asarray(words).view(own.dtype).reshape(own.shape)


def lost_peer(error: BaseException) -> str:
    """JAX's message about another process that is gone or late, in one line; empty if something else ended the run.

    A lost process is often noticed in a save or while files are closed, by an error that follows JAX's. So of the chain
    of errors that led to this one, the first that is JAX's or a UserError decides.
    """
    said = ""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, UserError):
            said = ""
        elif _of_peer(cause):
            said = " ".join(str(cause).split())[:300]
        cause = cause.__cause__ or cause.__context__
    return said


def _of_peer(error: BaseException) -> bool:
    said = str(error)
    if isinstance(error, jax.errors.JaxRuntimeError | ValueError):  # JAX raises a ValueError when it computes eagerly
        return jax.distributed.is_initialized() and bool(OF_PEERS.match(said)) and "tensorstore" not in said
    return isinstance(error, RuntimeError) and "coordinator address" in said  # Cloud TPU: the first has no name yet


def give_up(code: int) -> NoReturn:
    """End this process at once after an error: a normal exit would wait for the others, which wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
