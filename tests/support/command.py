"""Run `fetal-jax` in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def fetal_jax(*argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fetal_jax.cli.main", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line that names what is wrong, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.strip().splitlines()[-1]
