"""A short training run that can be killed, stopped or damaged, and the outcome that it must have."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

STEPS, PREEMPTED = 40, 75
PATIENCE = 20  # seconds that a scheduler gives the remaining processes
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
    """A run: its data and how many processes it has."""

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
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",  # conftest.py's eight are more than the batch has
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
        """Start the run, which must end with exit code 0; its message about where it began."""
        started = self.start(workdir)
        said = [process.communicate()[0] for process in started]
        if any(process.returncode for process in started):
            codes = [process.returncode for process in started]
            raise AssertionError(f"the run ended with {codes}:\n" + "\n".join(out[-2000:] for out in said))
        lines = [line.split(",")[0] for line in said[0].splitlines() if line.startswith(("resumed", "set aside"))]
        return "; ".join(line.replace(str(workdir), "WORKDIR") for line in lines) or "from its start"

    def interrupt(self, workdir: Path, number: signal.Signals, moment: float, in_save: bool, victims: list[int]) -> str:
        """Start the run and send a signal to some of its processes; all their exit codes."""
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
            process.kill()  # as a scheduler does
            process.communicate()
        codes = [process.returncode for process in started]
        together = set(codes) in ({0}, {PREEMPTED})
        if number == signal.SIGTERM and not together and -number not in codes:  # -SIGTERM: before it could listen
            raise AssertionError(f"SIGTERM made the run end with {codes}")
        return f"exit codes {codes}{where}"


def saving(workdir: Path) -> bool:
    """Whether a checkpoint is being written, or was when the run was killed."""
    return any((workdir / "checkpoints").glob("*orbax-checkpoint-tmp*"))


def draw(data_dir: Path) -> Path:
    """Prepare a few phantoms; the folder."""
    from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder

    Builder.COUNTS["small"] = FRAMES
    Builder(data_dir=data_dir, file_format="array_record", config="small").download_and_prepare()
    return data_dir


def spoil(whole: Path, workdir: Path, damage: Callable[[Path, random.Random], None], rng: random.Random) -> str:
    """Copy the finished run and damage a file of its newest checkpoint; the name of that file."""
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
    """Digests of the last checkpoint's state, and the rows of the metrics without their wall clock."""
    meta = json.loads((workdir / "checkpoints" / str(STEPS) / "meta" / "metadata").read_text())
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return meta["digests"]["state"], [{k: v for k, v in row.items() if k != "frames_per_s"} for row in rows]
