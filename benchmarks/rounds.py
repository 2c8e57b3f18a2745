"""Alternating rounds: each contestant is a process of its own, one works while the others wait. Standard library only.

A contestant prints a line of facts (JSON), then the seconds of one piece of work for each line that it is sent.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".venv-bench" / "bin" / "python"


@dataclass
class Result:
    """What a contestant said of itself and the seconds of its rounds."""

    facts: dict[str, Any]
    seconds: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def alternate(commands: dict[str, list[str]], rounds: int) -> dict[str, Result]:
    """Run contestants, `name: command`, in turns of one piece of work each.

    Raises:
      SystemExit: one of them failed; names it.
    """
    running = {}
    results = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            results[name] = Result(_answer(name, running[name]))
        for i in range(rounds):
            for name in sorted(running, reverse=i % 2 == 1):  # who comes first changes
                running[name].stdin.write("go\n")
                running[name].stdin.flush()
                results[name].seconds.append(_answer(name, running[name])["seconds"])
        for name, process in running.items():
            process.stdin.close()
            process.stdin = None  # else communicate() would flush it
            results[name].facts |= _answer(name, process)
            process.wait()
    finally:
        for process in running.values():
            process.kill()
            process.communicate()  # closes its pipes
    return results


def _answer(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    for line in process.stdout:  # type: ignore[union-attr]
        if line.startswith('{"'):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise SystemExit(f"{name} ended with {process.wait()}: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]


def compete(facts: dict[str, Any], work: Callable[[], Any]) -> None:
    """A contestant's side: say the facts, then work once for each line that comes; at the end, the most memory held."""
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        work()
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    print(json.dumps({"peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """The most memory that this process held; where Linux does not tell it alone, with its parent's at the start."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return (own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def table(results: dict[str, Result], base: str, columns: tuple[str, ...] = ()) -> str:
    """Markdown: median and least milliseconds, the ratio of medians to `base`, peak memory, and facts asked for."""
    heads = ["", "median ms", "least ms", f"median / {base}", "memory MB", *columns]
    rows = [heads, ["---"] * len(heads)]
    for name, r in results.items():
        facts = [_shown(r.facts.get(c, "")) for c in columns]
        ratio = f"{r.median / results[base].median:.2f}"
        rows.append([name, f"{1e3 * r.median:.1f}", f"{1e3 * r.least:.1f}", ratio, f"{r.facts['peak_mb']:.0f}", *facts])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def ours(*arguments: str) -> list[str]:
    """A contestant of this environment: a script of this folder with its arguments."""
    return [sys.executable, str(HERE / arguments[0]), *arguments[1:]]


def peer(*arguments: str) -> list[str]:
    """A contestant of the peers' environment.

    Raises:
      SystemExit: it is not installed.
    """
    python = os.environ.get("PEER_PYTHON", str(PEER))
    if not Path(python).exists():
        raise SystemExit("the peers are not installed: make bench installs them into .venv-bench")
    return [python, str(HERE / arguments[0]), *arguments[1:]]
