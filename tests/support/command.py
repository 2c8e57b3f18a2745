"""Run `fetal-jax` in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Processes started here heed SIGINT. A shell starts what it runs in the background with it ignored: inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fetal_jax(*argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fetal_jax.cli.main", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line that names what is wrong, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.strip().splitlines()[-1]
