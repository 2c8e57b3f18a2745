"""Run the shards with Apache Beam: on this machine, Dataflow, Flink or Spark. Needs the extra `beam`.

The plan is a file in the results folder: a pipeline with millions of names in it would be too large to submit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from fetal_jax.archive.parquet import FRAMES
from fetal_jax.archive.shards import Shard
from fetal_jax.archive.storage import Folder
from fetal_jax.archive.sweep import PLAN
from fetal_jax.archive.worker import Job, Worker
from fetal_jax.errors import UserError

RUNNERS = {"direct": "FnApiRunner", "dataflow": "DataflowRunner", "flink": "FlinkRunner", "spark": "SparkRunner"}
"""Beam's runners. `direct` must need no other program, as FnApiRunner does; DirectRunner would look for one."""
SECONDS = 5.0
"""Interval between two looks at the results, for the progress."""


class Measure(beam.DoFn):
    """Measures shards; the network is opened once per worker."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._worker: Worker | None = None

    def setup(self) -> None:
        """Open the network."""
        self._worker = Worker(self._job)

    def process(self, line: str) -> Iterator[str]:
        """Measure a shard, and yield the name of its results."""
        assert self._worker
        yield self._worker.run(Shard.of_line(line))

    def teardown(self) -> None:
        """Stop the reading process."""
        if self._worker:
            self._worker.close()


def run(
    job: Job, shards: list[Shard], plan: Path, runner: str, flags: Sequence[str], progress: Callable[[int], None]
) -> None:
    """Measure shards by a pipeline, and wait for its end.

    Args:
      job: the work of each worker.
      shards: to be measured.
      plan: a file on this machine to which the plan is written before it is put into the results folder.
      runner: one of `RUNNERS`.
      flags: Beam's own, such as `--project=…`.
      progress: receives the number of finished shards from time to time.

    Raises:
      UserError: Beam does not know a flag, or the pipeline failed.
    """
    out = Folder(job.out)
    plan.write_text("".join(shard.as_line() + "\n" for shard in shards), encoding="ascii")
    out.put(plan, PLAN)
    try:
        options = PipelineOptions([f"--runner={RUNNERS[runner]}", *flags])
    except SystemExit:
        raise UserError(f"Beam does not take {' '.join(flags)}: what follows -- are its own flags") from None
    where = f"{job.out.rstrip('/')}/{PLAN}"
    with _watched(out, progress):
        pipeline = beam.Pipeline(options=options)
        lines = pipeline | "plan" >> beam.io.ReadFromText(where)
        _ = lines | "spread" >> beam.Reshuffle() | "measure" >> beam.ParDo(Measure(job))
        try:
            state = pipeline.run().wait_until_finish()
        except UserError:
            raise
        except Exception as e:  # Beam wraps what a worker raised
            raise UserError(f"the pipeline failed ({' '.join(str(e).split())[:300]}): the same call resumes") from e
    if str(state) not in ("DONE", "None"):
        raise UserError(f"the pipeline ended as {state}: see its runner's log; the same call resumes")
    out.remove(PLAN)


@contextmanager
def _watched(out: Folder, progress: Callable[[int], None]) -> Iterator[None]:
    """Report progress by looking at the results from time to time: Beam's runners have no common progress interface."""
    ended = threading.Event()
    before = len(out.names(FRAMES))

    def look() -> None:
        while not ended.wait(SECONDS):
            progress(len(out.names(FRAMES)) - before)

    thread: Any = threading.Thread(target=look, daemon=True)
    if os.environ.get("TQDM_DISABLE") != "1":
        thread.start()
    try:
        yield
    finally:
        ended.set()
