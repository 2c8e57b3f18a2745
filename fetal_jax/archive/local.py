"""Run the shards in processes on this machine. If a worker dies it is replaced, and its shard is measured again."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from fetal_jax.archive.shards import Shard
from fetal_jax.archive.worker import Job, Worker
from fetal_jax.errors import UserError, not_written
from fetal_jax.processes import end_with_parent

ATTEMPTS = 3
"""Workers that may die of a shard before it is given up."""


@dataclass
class _Hand:
    """A process, the pipe to it, and the shard that it measures."""

    process: Any
    line: Connection
    shard: Shard | None = None


def run(
    job: Job, shards: list[Shard], workers: int, serve: Callable[[Job, Connection], None] | None = None
) -> Iterator[tuple[Shard, str | None]]:
    """Measure shards; yields each when it is done, with the name of its results, or None if workers kept dying of it.

    `serve` is the main loop of a worker, for tests.

    Raises:
      UserError: something cannot be written, a bucket does not answer, or a worker lacks the call's bundle.
      RuntimeError: a bug in this program; has the worker's traceback.
    """
    todo, deaths = deque(shards), Counter[str]()
    hands: list[_Hand] = []
    try:
        while todo or any(hand.shard for hand in hands):
            idle = [hand for hand in hands if hand.shard is None]
            while todo and (idle or len(hands) < workers):
                if not idle:
                    hands.append(_start(job, serve or serve_shards))
                    idle = hands[-1:]
                hand = idle.pop()
                hand.shard = todo.popleft()
                _send(hand.line, hand.shard)
            busy = {hand.line: hand for hand in hands if hand.shard}
            for line in wait(list(busy)):
                hand = busy[line]  # type: ignore[index]
                shard, hand.shard = hand.shard, None
                assert shard
                try:
                    done, said = hand.line.recv()
                except (EOFError, OSError):
                    hands.remove(hand)
                    _end(hand)
                    deaths[shard.key] += 1
                    if deaths[shard.key] < ATTEMPTS:
                        todo.appendleft(shard)
                    else:
                        yield shard, None
                    continue
                if not done:
                    raise said
                yield shard, said
    finally:
        for hand in hands:
            hand.process.terminate()
        for hand in hands:
            _end(hand)


def _start(job: Job, serve: Callable[[Job, Connection], None]) -> _Hand:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()  # so that the pipe closes when the process ends
    return _Hand(process, ours)


def _send(line: Connection, shard: Shard) -> None:
    with suppress(OSError):  # it died while idle: the next look at the pipe shows it
        line.send(shard)


def _end(hand: _Hand) -> None:
    hand.process.join(10)
    hand.process.kill()
    hand.process.join()
    hand.line.close()


def serve_shards(job: Job, line: Connection) -> None:
    """Main loop of a worker: receive a shard, send the name of its results, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with_parent()
    worker = None
    failure: Exception | None = None
    try:
        worker = Worker(job)
        while True:
            line.send((True, worker.run(line.recv())))
    except (KeyboardInterrupt, EOFError):
        pass
    except UserError as e:
        failure = e
    except OSError as e:
        failure = not_written(e, job.out, " and call again, or give another --out")
    except Exception as e:
        failure = RuntimeError(f"{type(e).__name__} in a worker: {e}\n{traceback.format_exc()}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends it as soon as it has read the failure
        if failure:
            with suppress(OSError):  # the parent is gone
                line.send((False, failure))
        if worker:
            worker.close()
