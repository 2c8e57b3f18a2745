"""A short run is killed, stopped and its checkpoints damaged; each time it must end as the run that was left alone.

python benchmarks/chaos.py [--processes 2] [--kills 25] [--terms 10] [--flips 20]

Draws its own few frames. A trial starts the run, sends a signal at a random moment (every fifth SIGKILL: while a
checkpoint is being written) to one of its processes or to all, and starts it again until it ends; or it takes the
finished run, damages a random file of the newest checkpoint, and starts it again. Compared are the digests of every
leaf of the last checkpoint (parameters, their mean, the optimiser's state) and the rows of metrics.jsonl without their
wall clock. Ends with exit code 1 where any trial differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

STEPS, PREEMPTED, PATIENCE = 40, 75, 20  # seconds that a scheduler leaves the processes that are left
FRAMES = {"train": 16, "validation": 4, "test": 1}
TINY = {
    "data.name": "fetal_phantom/small",
    "input_shape": "(32,48)",
    "total_steps": STEPS,
    "checkpoint_every": 4,
    "eval_every": 20,
    "eval_frames": 4,
    "log_every": 1,
    "model.width": 16,  # a kernel is large enough to be split
    "model.multipliers": "(1,2)",
    "model.depths": "(1,1)",
}


class Run(NamedTuple):
    """How a run is started."""

    data_dir: Path
    processes: int

    def start(self, workdir: Path) -> list[subprocess.Popen[str]]:
        keys = {**TINY, "data.dir": self.data_dir}
        keys |= {"mesh.fsdp": self.processes} if self.processes > 1 else {}
        overrides = [f"--config.{key}={value}" for key, value in keys.items()]
        cli = [sys.executable, "-m", "fetal_jax.cli.main", "train", "--config=configs/demo.py"]
        env = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(self.data_dir / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        with socket.socket() as free:
            free.bind(("localhost", 0))
            flags = [f"--coordinator=localhost:{free.getsockname()[1]}", f"--processes={self.processes}"]
        started = []
        for k in range(self.processes):
            several = [*flags, f"--process-id={k}"] if self.processes > 1 else []
            command = [*cli, f"--workdir={workdir}", *overrides, *several]
            started.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
            )
        return started

    def finish(self, workdir: Path) -> str:
        """Start the run, which must end by itself; what it said of where it began."""
        started = self.start(workdir)
        said = [process.communicate()[0] for process in started]
        if any(process.returncode for process in started):
            codes = [process.returncode for process in started]
            raise SystemExit(f"the run ended with {codes}:\n" + "\n".join(out[-2000:] for out in said))
        lines = [line.split(",")[0] for line in said[0].splitlines() if line.startswith(("resumed", "set aside"))]
        return "; ".join(line.replace(str(workdir), "WORKDIR") for line in lines) or "from its start"

    def interrupt(self, workdir: Path, number: signal.Signals, moment: float, in_save: bool, victims: list[int]) -> str:
        """Start the run and send a signal to some of its processes; how all ended."""
        started, began = self.start(workdir), time.monotonic()
        while any(process.poll() is None for process in started):
            if time.monotonic() - began > moment and (not in_save or saving(workdir)):
                for k in victims:
                    started[k].send_signal(number)
                break
            time.sleep(0.001 if in_save else 0.02)
        where = " in a save" if saving(workdir) else ""
        deadline = time.monotonic() + (PATIENCE if number == signal.SIGKILL else 20 * PATIENCE)
        while any(process.poll() is None for process in started) and time.monotonic() < deadline:
            lost = any(process.poll() not in (None, 0, PREEMPTED) for process in started)
            deadline = min(deadline, time.monotonic() + PATIENCE) if lost else deadline
            time.sleep(0.05)
        for process in started:
            process.kill()  # as a scheduler does with those that are left
            process.communicate()
        codes = [process.returncode for process in started]
        together = set(codes) in ({0}, {PREEMPTED})
        if number == signal.SIGTERM and not together and -number not in codes:  # -SIGTERM: before it could listen
            raise SystemExit(f"SIGTERM made the run end with {codes}")
        return f"exit codes {codes}{where}"


def saving(workdir: Path) -> bool:
    """Whether a checkpoint is being written, or was when the run was killed."""
    return any((workdir / "checkpoints").glob("*orbax-checkpoint-tmp*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--terms", type=int, default=10)
    parser.add_argument("--flips", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, wrong = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        run, whole, workdir = Run(draw(Path(folder) / "data"), args.processes), *(Path(folder) / n for n in ("a", "b"))
        run.finish(workdir)  # compiles
        shutil.rmtree(workdir)
        began = time.monotonic()
        run.finish(whole)
        seconds = time.monotonic() - began
        due = outcome(whole)
        trials: list[tuple[str, Callable[[], str]]] = []
        for i, number in enumerate([signal.SIGKILL] * args.kills + [signal.SIGTERM] * args.terms):
            moment, in_save = rng.uniform(0.1, 1) * seconds, number == signal.SIGKILL and i % 5 == 0
            everyone = list(range(args.processes))
            victims = everyone if rng.random() < 0.5 else [rng.choice(everyone)]
            stop = partial(run.interrupt, workdir, number, moment, in_save, victims)
            trials.append((f"{number.name} to {victims} after {moment:.1f} of {seconds:.1f} s", stop))
        for damage in (truncate, empty, remove, *[flip] * args.flips):
            trials.append((f"{damage.__name__} a file", partial(spoil, whole, workdir, damage, rng)))
        for i, (name, disturb) in enumerate(trials, 1):
            said = disturb()
            starts = run.finish(workdir)
            same = outcome(workdir) == due
            wrong += not same
            print(f"{i:3} of {len(trials)}  {'same' if same else 'DIFFERS'}  {name}: {said}, {starts}", flush=True)
            shutil.rmtree(workdir)
    print(f"{len(trials) - wrong} of {len(trials)} trials ended as the run that was left alone")
    raise SystemExit(wrong > 0)


def draw(data_dir: Path) -> Path:
    """A few phantoms, prepared; the folder."""
    from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder

    Builder.COUNTS["small"] = FRAMES
    Builder(data_dir=data_dir, file_format="array_record", config="small").download_and_prepare()
    return data_dir


def spoil(whole: Path, workdir: Path, damage: Callable[[Path, random.Random], None], rng: random.Random) -> str:
    """A copy of the finished run with a damaged file in its newest checkpoint; which one."""
    shutil.copytree(whole, workdir)
    newest = workdir / "checkpoints" / str(STEPS)
    victim = rng.choice(sorted(p for p in newest.rglob("*") if p.is_file() and p.stat().st_size))
    damage(victim, rng)
    return str(victim.relative_to(newest))


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def outcome(workdir: Path) -> tuple[object, object]:
    """The digests of the last checkpoint's state, and the rows of the metrics without their wall clock."""
    meta = json.loads((workdir / "checkpoints" / str(STEPS) / "meta" / "metadata").read_text())
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return meta["digests"]["state"], [{k: v for k, v in row.items() if k != "frames_per_s"} for row in rows]


if __name__ == "__main__":
    main()
