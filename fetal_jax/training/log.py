"""Logs of a run: `metrics.jsonl`, TensorBoard events, values of the progress bar, a profiler trace."""

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

from fetal_jax.config import Config
from fetal_jax.files import in_bucket, write_whole
from fetal_jax.training import distributed

Array = NDArray[Any]


@dataclass
class Progress:
    """Counters and scores of a run, saved with each checkpoint.

    Attributes:
      skipped: steps that were skipped because loss or gradient was not finite.
      consecutive_nonfinite: how many of the last steps, in a row, were skipped.
      validation_scores: `validation.validation_score` by step.
    """

    skipped: int = 0
    consecutive_nonfinite: int = 0
    validation_scores: dict[int, float] = field(default_factory=dict)

    def restore(self, meta: dict[str, Any]) -> None:
        """Restore the values from a checkpoint's meta. The first checkpoints have none, later ones older names."""
        saved = meta.pop("progress", {})
        self.skipped = saved.get("skipped", 0)
        self.consecutive_nonfinite = saved.get("consecutive_nonfinite", saved.get("bad_in_a_row", 0))
        scores = saved.get("validation_scores", saved.get("failures", {}))
        self.validation_scores |= {int(step): score for step, score in scores.items()}

    def to_meta(self) -> dict[str, Any]:
        """The values as JSON types."""
        return vars(self) | {"validation_scores": {str(step): s for step, s in self.validation_scores.items()}}


class Log:
    """Writes one row per logged step, and keeps the values of the progress bar. Only the first process writes.

    The metrics of a step are read after the next step has started, so that the device never waits for the host.

    Args:
      workdir: of the run; rows after `start` are removed, because those steps are trained again.
      start: step that the run resumes from.
      config: the configuration of the run.
      progress: updated by every row.
      schedule: learning rate by the number of earlier updates.
      filenames: of all training frames, for the message about non-finite steps.
    """

    def __init__(
        self,
        workdir: Path,
        start: int,
        config: Config,
        progress: Progress,
        schedule: Callable[[int], Any],
        filenames: list[str],
    ):
        self._config, self._filenames, self._schedule = config, filenames, schedule
        self.progress, self._path = progress, workdir / "metrics.jsonl"
        self._pending: tuple[int, dict[str, jax.Array], Array] | None = None
        self._clock, self._clock_step = time.monotonic(), start
        self._shown: dict[str, tuple[int, str]] = {}  # step and text of each value
        self.stopped = False  # whether any process was asked to stop
        self._board: Any = None
        self._unwritten = ""
        if distributed.is_first():
            rows = self._path.read_text().split("\n")[:-1] if self._path.exists() else []  # a kill may cut the last
            kept = [row for row in rows if json.loads(row)["step"] <= start]  # later steps are trained again
            write_whole(self._path, "".join(row + "\n" for row in kept))
            self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def summary(self, step: int | None = None) -> str:
        """The newest loss, speed and validation errors, in one line; with `step`, only what is of this step."""
        return ", ".join(f"{name}={value}" for name, (of, value) in self._shown.items() if step in (None, of))

    def push(self, step: int, logs: dict[str, jax.Array], index: Array) -> None:
        """Keep a step's metrics, still on the device, and the indices of its frames; write the step before."""
        self.flush()
        self._pending = (step, logs, index)

    def flush(self) -> None:
        """Write the metrics of the last step.

        Raises:
          FloatingPointError: `max_bad_steps` steps in a row were not finite; names the frames of the last one.
        """
        if self._pending is None:
            return
        (step, logs, index), self._pending = self._pending, None
        row = {k: float(v) for k, v in logs.items()}
        self.stopped |= bool(row.pop("stop"))
        rate = float(self._schedule(step - 1 - self.progress.skipped))  # a skipped step is no update
        skipped = bool(row.pop("skipped"))
        self.progress.skipped += skipped
        self.progress.consecutive_nonfinite = self.progress.consecutive_nonfinite + 1 if skipped else 0
        if self.progress.consecutive_nonfinite >= self._config.max_bad_steps:
            names = ", ".join(self._filenames[i] for i in np.sort(distributed.gathered(index).ravel()))
            raise FloatingPointError(
                f"{self.progress.consecutive_nonfinite} steps in a row, up to step {step}, had no finite loss and "
                f"gradient (loss {row['loss']}); frames of the last one: {names}"
            )
        self._shown["loss"] = step, f"{row['loss']:.4f}"
        if step % self._config.log_every == 0:
            speed = (step - self._clock_step) * self._config.batch_size / (time.monotonic() - self._clock)
            self._clock, self._clock_step = time.monotonic(), step
            self._shown["frames/s"] = step, f"{speed:.1f}"
            row |= {"skipped": self.progress.skipped, "lr": rate, "frames_per_s": speed}
            self._write(step, row)

    def validation(self, step: int, report: dict[str, float], score: float | None, seconds: float) -> None:
        """Write a validation. Its `seconds` do not count as training time."""
        self._clock += seconds
        if score is not None:
            self.progress.validation_scores[step] = score
            report = report | {"score": score, "failure": score}  # its name in older logs
        self._write(step, {f"validation/{k}": v for k, v in report.items()})
        errors = {k.removesuffix("_mm_mae").upper(): v for k, v in report.items() if k.endswith("_mm_mae")}
        self._shown |= {k: (step, "not found" if np.isnan(v) else f"{v:.2f}mm") for k, v in errors.items()}

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
        """Write the rows that are not in the file yet. In a bucket, files cannot grow and are written whole."""
        if self._unwritten and in_bucket(self._path):
            write_whole(self._path, self._path.read_text() + self._unwritten)
        elif self._unwritten:
            with self._path.open("a") as f:
                f.write(self._unwritten)
        self._unwritten = ""

    def close(self) -> None:
        """Write the rows so far, and close the files. The metrics of the last step need `flush` before."""
        self.save()
        if self._board:
            self._board.close()


class Trace:
    """Profiler trace of `count` steps for https://ui.perfetto.dev; no trace if `count` is 0."""

    def __init__(self, folder: Path, first: int, count: int):
        self._folder, self._begin, self._end = folder, first - 1 if count else -1, first - 1 + count
        self._running = False

    def after(self, step: int, state: Any) -> None:
        """Start or stop the trace, after a step."""
        if step == self._begin:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._running = True
        elif step == self._end and self._running:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Stop a running trace, and print its path."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            if distributed.is_first():
                found = max(self._folder.rglob("perfetto_trace.json.gz"), key=lambda p: p.stat().st_mtime)
                print(f"trace for https://ui.perfetto.dev: {found}", flush=True)
