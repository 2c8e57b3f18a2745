"""This process: the cores that it may use, and its parent."""

from __future__ import annotations

import multiprocessing
import os
import threading


def cores() -> int:
    """Number of cores that the system gives this process, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this process of `multiprocessing` end when its parent does: a call that is killed leaves none behind."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
