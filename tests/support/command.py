"""Run `fetal-jax`, in a process of its own or in this one."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from fetal_jax.cli.main import main


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


def called(*argv: object) -> subprocess.CompletedProcess[str]:
    """Run it in this process: a start of its own, with all imports, takes 1 to 5 s, a refusal milliseconds."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([*map(str, argv)])
    return subprocess.CompletedProcess(argv, code, out.getvalue(), errors.getvalue())


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line that names what is wrong, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.strip().splitlines()[-1]
