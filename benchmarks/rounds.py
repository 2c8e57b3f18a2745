"""Alternating rounds: each contestant is a process; one works while the others wait. Standard library only.

A contestant prints a line of facts (JSON) once it is ready, then the seconds of one piece of work for each line that it
reads, and at the end its peak memory.
"""

from __future__ import annotations

import argparse
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
FETAL_JAX = [sys.executable, "-m", "fetal_jax.cli.main"]
PEER = Path(os.environ.get("PEER_PYTHON", HERE.parent / ".venv-bench" / "bin" / "python"))


@dataclass
class Result:
    """Facts of a contestant and the seconds of its rounds."""

    facts: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    least = property(lambda self: min(self.seconds))
    median = property(lambda self: statistics.median(self.seconds))


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Argument parser that prints a script's docstring as it is."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def network_options(doc: str | None, ways: tuple[str, ...]) -> argparse.Namespace:
    """Options of both sides' network: the first way is the default."""
    options = parser(doc)
    options.add_argument("what", choices=("step", "forward"))
    options.add_argument("--way", choices=ways, default=ways[0])
    options.add_argument("--size", type=int, nargs=2, default=(256, 256))
    for name, value in {"batch": 8, "width": 32, "stem": 1, "planes": 3}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--multipliers", type=int, nargs="+", default=[1, 2, 4, 8])
    options.add_argument("--device", choices=("cpu", "gpu", "tpu"), default="cpu")
    options.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options.add_argument(
        "--precision", choices=("default", "highest"), default="default", help="default: TF32 on a GPU"
    )
    options.add_argument("--repeat", type=int, default=1, help="steps of one piece of work; default: %(default)s")
    return options.parse_args()


def alternate(commands: dict[str, list[str]], rounds: int) -> dict[str, Result]:
    """Run contestants, `name: command`, in turns of one piece of work; SystemExit names the one that failed."""
    running = {}
    results = {}
    try:
        for name, command in commands.items():
            began = time.perf_counter()
            running[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            results[name] = Result(_answer(name, running[name]))
            results[name].facts["start_s"] = time.perf_counter() - began  # with its compilation
        for i in range(rounds):
            for name in sorted(running, reverse=i % 2 == 1):  # the first one changes
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
    """Print the facts, then work once for each line on stdin; at the end print peak memory and CPU seconds of the work.

    The CPU seconds are those of this process alone.
    """
    print(json.dumps(facts), flush=True)
    cpu = 0.0
    for _ in sys.stdin:
        began, busy = time.perf_counter(), time.process_time()
        work()
        cpu += time.process_time() - busy
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    print(json.dumps({"peak_mb": peak_mb(), "cpu_s": cpu}), flush=True)


def peak_mb() -> float:
    """Peak memory of this process; without Linux' /proc that of its parent at the start is included."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return (own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def table(results: dict[str, Result], base: str, columns: tuple[str, ...] = ()) -> str:
    """Markdown: median and least milliseconds, the ratio of medians to `base`, peak memory, and the named facts."""
    heads = ["", "median ms", "least ms", f"median / {base}", "memory MB", *columns]
    rows = [heads, ["---"] * len(heads)]
    for name, r in results.items():
        times = [f"{1e3 * r.median:.1f}", f"{1e3 * r.least:.1f}", f"{r.median / results[base].median:.2f}"]
        rows.append([name, *times, f"{r.facts['peak_mb']:.0f}", *(_shown(r.facts.get(c, "")) for c in columns)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def ours(*arguments: str) -> list[str]:
    """Command of a contestant in this environment: a script of this folder with its arguments."""
    return [sys.executable, str(HERE / arguments[0]), *arguments[1:]]


def peer(*arguments: str) -> list[str]:
    """Command of a contestant in the peers' environment; SystemExit where that is not installed."""
    if not PEER.exists():
        raise SystemExit("the peers are not installed: make bench installs them into .venv-bench")
    return [str(PEER), str(HERE / arguments[0]), *arguments[1:]]
