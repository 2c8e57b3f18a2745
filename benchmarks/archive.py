"""`fetal-jax archive` beside `fetal-jax measure` on tars of drawn frames: speed, processor time, memory, kills.

python benchmarks/archive.py [--frames 1000] [--rounds 3] [--workers 2] [--kill] [--beam PYTHON]

One frame in a hundred is broken, and one tar ends in its middle. Calls of the two commands take turns. Processor time
is that of all processes, so that it depends little on what else the machine does; the slope is its growth from a
quarter of the frames to all of them. With --kill, a worker is killed half-way, and every frame is compared with
`measure`'s row; with --beam, the same frames go through Apache Beam in that Python's environment, killed half-way and
called again.
"""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rounds import FETAL_JAX, parser

from fetal_jax.outputs.rows import cells
from tests.support.archives import MM, check, rows, write_tars

TARS = 40


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--kill", action="store_true", help="also kill a worker half-way, and compare every row")
    options.add_argument("--beam", type=Path, metavar="PYTHON", help="also through Beam, by this Python")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_tars(work / "quarter", args.frames // 4, -(-args.frames // TARS))
        expected = write_tars(work / "all", args.frames, -(-args.frames // TARS))
        if args.rounds:
            compare(work, args.frames, args.rounds, args.workers)
        if args.kill or args.beam:
            reference(work)
        if args.kill:
            done = killed(work, [*FETAL_JAX, "archive", f"--workers={args.workers}"], work / "killed", worker_of)
            check(work / "killed", expected)
            same = equal(work, work / "killed")
            print(f"local, a worker killed after {done} shards: {dict(expected)}, each once; {same} rows as measure's")
        if args.beam:
            command = [str(args.beam), *FETAL_JAX[1:], "archive", "--runner=direct"]
            done = killed(work, command, work / "beam", lambda pid: pid)
            finish([*command, str(work / "all"), f"--spacing-mm={MM}", f"--out={work / 'beam'}"])
            check(work / "beam", expected)
            same = equal(work, work / "beam")
            print(
                f"Beam, killed after {done} shards and called again: {dict(expected)}, each once; "
                f"{same} rows as measure's"
            )


def compare(work: Path, frames: int, rounds: int, workers: int) -> None:
    """Print speed, slope and memory of both commands, in alternating rounds."""
    names = ("measure", "archive")
    speed: dict[str, list[float]] = {name: [] for name in names}
    slope: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in sorted(names, reverse=i % 2 == 1):
            extra = [f"--workers={workers}"] if name == "archive" else []
            used = {}
            for part in ("quarter", "all"):
                out = work / "out"
                shutil.rmtree(out, ignore_errors=True)
                began, before = time.perf_counter(), processor()
                memory = watched([*FETAL_JAX, name, str(work / part), f"--spacing-mm={MM}", f"--out={out}", *extra])
                used[part] = processor() - before
            speed[name].append(frames / (time.perf_counter() - began))
            slope[name].append(1000 * (used["all"] - used["quarter"]) / (frames - frames // 4))
            early, late = (max(part) for part in np.array_split(np.array(memory), 2))
            print(
                f"{name}: {speed[name][-1]:.1f} frames/s, {slope[name][-1]:.1f} ms of a core a frame, largest process "
                f"with its reader {early:.0f} MB in the first half, {late:.0f} MB in the second"
            )
    ratio = [a / m for a, m in zip(speed["archive"], speed["measure"], strict=True)]
    print(
        f"archive / measure, paired: {np.median(ratio):.2f} times the frames/s ({min(ratio):.2f} to {max(ratio):.2f})"
    )
    for name in names:
        print(f"slope of {name}: median {np.median(slope[name]):.1f} ms of a core a frame")


def reference(work: Path) -> None:
    finish([*FETAL_JAX, "measure", str(work / "all"), f"--spacing-mm={MM}", f"--out={work / 'measured'}"])


def equal(work: Path, out: Path) -> int:
    """The number of rows, all of which are `measure`'s as printed."""
    with (work / "measured" / "measurements.csv").open(newline="") as f:
        theirs = {(r["file"], r["frame"]): r | {"overlay": ""} for r in csv.DictReader(f) if r["status"] != "error"}
    ours = {(r["file"], str(r["frame"])): {k: str(v) for k, v in cells(r).items()} for r in rows(out, "frames")}
    assert ours == theirs
    return len(ours)


def killed(work: Path, command: list[str], out: Path, victim: Callable[[int], int]) -> int:
    """Run a call, and kill one of its processes when half of the shards are done; returns how many were."""
    whole = [*command, str(work / "all"), f"--spacing-mm={MM}", f"--out={out}"]
    process = subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.glob("frames/*.parquet"))) < TARS // 2 and process.poll() is None:
        time.sleep(0.05)
    os.kill(victim(process.pid), signal.SIGKILL)
    done = len(list(out.glob("frames/*.parquet")))
    if process.wait() not in (3, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return done


def finish(command: list[str]) -> None:
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if code.returncode != 3:  # the broken frames
        raise SystemExit(code.stderr.decode())


def worker_of(pid: int) -> int:
    """The largest of a process's children: a worker."""
    return max(children(pid), key=resident)


def watched(command: list[str]) -> list[float]:
    """Megabytes of a command's process or its largest worker, each with its reading process, over time."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory = [0.0]
    while process.poll() is None:
        workers = [process.pid, *(c for c in children(process.pid) if not reads(c))]
        memory.append(max(resident(p) + sum(resident(c) for c in children(p) if reads(c)) for p in workers))
        time.sleep(0.1)
    if process.returncode != 3:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return memory


def reads(pid: int) -> bool:
    """Whether a process is a reading process. A worker that has none, at its start and its end, is not."""
    try:
        return b"reading.isolated" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except (OSError, IndexError):
        return 0.0


def processor() -> float:
    """Seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
