"""What a run tells while it trains: `metrics.jsonl`, TensorBoard's events, the progress bar."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from fetal_jax.files import in_bucket, write_whole
from fetal_jax.training import distributed

Array = NDArray[Any]


@dataclass
class Progress:
    """What a run knows of its past, saved with each checkpoint.

    Attributes:
      skipped: steps whose loss or gradient was no number.
      bad_in_a_row: those of them that are the last ones.
      failures: `validation.failure` of each step that was validated.
    """

    skipped: int = 0
    bad_in_a_row: int = 0
    failures: dict[int, float] = field(default_factory=dict)

    def take(self, meta: dict[str, Any]) -> None:
        """Take over, out of a checkpoint's meta, what it knew; nothing where it was saved before there was any."""
        saved = meta.pop("progress", {})
        self.skipped, self.bad_in_a_row = saved.get("skipped", 0), saved.get("bad_in_a_row", 0)
        self.failures |= {int(step): figure for step, figure in saved.get("failures", {}).items()}

    def to_meta(self) -> dict[str, Any]:
        """As JSON takes it."""
        return vars(self) | {"failures": {str(step): figure for step, figure in self.failures.items()}}


class Log:
    """Rows from the resumed step on, and what the progress bar shows. Only the first process writes.

    A step's metrics are read when the next step has been started, so that the device never waits for the host.
    """

    def __init__(
        self,
        workdir: Path,
        start: int,
        config: Any,
        progress: Progress,
        schedule: Callable[[int], Any],
        filenames: list[str],
    ):
        self._config, self._filenames, self._schedule = config, filenames, schedule
        self.progress, self._path = progress, workdir / "metrics.jsonl"
        self._pending: tuple[int, dict[str, jax.Array], Array] | None = None
        self._clock, self._clock_step = time.monotonic(), start
        self.shown: dict[str, str] = {}
        self.stopped = False  # whether some process was told to stop
        self._board: Any = None
        self._unwritten = ""
        if distributed.is_first():
            rows = self._path.read_text().split("\n")[:-1] if self._path.exists() else []  # a kill may cut the last
            kept = [row for row in rows if json.loads(row)["step"] <= start]  # what came after is trained again
            write_whole(self._path, "".join(row + "\n" for row in kept))
            self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def push(self, step: int, logs: dict[str, jax.Array], index: Array) -> None:
        """Take a step's metrics, still on the device, with its frames' indices; write the step before."""
        self.flush()
        self._pending = (step, logs, index)

    def flush(self) -> None:
        """Write the last step's metrics.

        Raises:
          FloatingPointError: too many steps in a row had no finite loss and gradient; names the last one's frames.
        """
        if self._pending is None:
            return
        (step, logs, index), self._pending = self._pending, None
        row = {k: float(v) for k, v in logs.items()}
        self.stopped |= bool(row.pop("stop"))
        bad = bool(row.pop("skipped"))
        self.progress.skipped += bad
        self.progress.bad_in_a_row = self.progress.bad_in_a_row + 1 if bad else 0
        if self.progress.bad_in_a_row >= self._config.max_bad_steps:
            names = ", ".join(self._filenames[i] for i in np.sort(distributed.gathered(index).ravel()))
            raise FloatingPointError(
                f"{self.progress.bad_in_a_row} steps in a row, up to step {step}, had no finite loss and gradient "
                f"(loss {row['loss']}); the last one's frames: {names}"
            )
        if step % self._config.log_every == 0:
            speed = (step - self._clock_step) * self._config.batch_size / (time.monotonic() - self._clock)
            self._clock, self._clock_step = time.monotonic(), step
            self.shown |= {"loss": f"{row['loss']:.4f}", "frames/s": f"{speed:.1f}"}
            row |= {"skipped": self.progress.skipped, "lr": float(self._schedule(step)), "frames_per_s": speed}
            self._write(step, row)

    def validation(self, step: int, report: dict[str, float], failure: float | None, seconds: float) -> None:
        """Write a validation that took so long, which is no time of training."""
        self._clock += seconds
        if failure is not None:
            self.progress.failures[step] = failure
            report = report | {"failure": failure}
        self._write(step, {f"validation/{k}": v for k, v in report.items()})
        errors = {k: v for k, v in report.items() if k.endswith("_mm_mae")}
        self.shown |= {k.removesuffix("_mm_mae").upper(): f"{v:.2f}mm" for k, v in errors.items()}

    def _write(self, step: int, row: dict[str, float]) -> None:
        if not distributed.is_first():
            return
        finite = {name: value if np.isfinite(value) else None for name, value in row.items()}  # JSON has no NaN
        self._unwritten += json.dumps({"step": step} | finite) + "\n"
        if not in_bucket(self._path):
            self.save()
        for name, value in finite.items():
            if value is not None:
                self._board.add_scalar(name, value, step)

    def save(self) -> None:
        """Write the rows that a bucket has not been given yet: its files cannot be appended to, they are sent whole."""
        if self._unwritten and in_bucket(self._path):
            write_whole(self._path, self._path.read_text() + self._unwritten)
        elif self._unwritten:
            with self._path.open("a") as f:
                f.write(self._unwritten)
        self._unwritten = ""

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self.save()
        if self._board:
            self._board.close()


class Trace:
    """A trace of some steps, which https://ui.perfetto.dev opens; of none where `count` is 0."""

    def __init__(self, folder: Path, first: int, count: int):
        self._folder, self._begin, self._end = folder, first - 1 if count else -1, first - 1 + count
        self._running = False

    def after(self, step: int, state: Any) -> None:
        """Begin or end between two steps."""
        if step == self._begin:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._running = True
        elif step == self._end and self._running:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """End a trace that is being taken, and say where it lies."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            if distributed.is_first():
                found = max(self._folder.rglob("perfetto_trace.json.gz"), key=lambda p: p.stat().st_mtime)
                print(f"trace for https://ui.perfetto.dev: {found}", flush=True)
