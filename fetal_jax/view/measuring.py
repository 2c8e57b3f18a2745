"""Measure frames while the page is open, including those that are added to the folder later."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.sources import Source, find
from fetal_jax.results.resume_log import NAME as LOG
from fetal_jax.results.resume_log import fingerprints
from fetal_jax.view.results import JSON

EVERY = 2.0
"""Seconds between two looks at the folder; more if a look takes long."""
PATIENCE = 20
"""The wait after a look is at least this many times as long as the look took."""
Seen = dict[str, tuple[Source, list[int]]]


class Measuring:
    """Measures paths into a results folder in a thread, with the shipped bundle and the spacings in the headers."""

    def __init__(self, paths: list[Path], out: Path) -> None:
        """Take the user's paths and the results folder."""
        self._paths, self._out = paths, out
        self._stop = threading.Event()

    def start(self, held: ExitStack) -> None:
        """Start measuring; `held` stops it. The folder has results, or a resume log, when this returns.

        Raises:
          UserError: there is nothing to measure, the folder cannot be written, or its fingerprints are damaged.
        """
        seen = self._look()
        rows: Iterator[Row] = iter(())
        if not ((self._out / JSON).is_file() and not (self._out / LOG).exists()):
            rows = self._measure()
            try:
                next(rows)  # creates the folder, or raises
            except UserError:
                if (self._out / LOG).exists():  # another server measures there: this one only shows its results
                    return
                raise
        else:
            known = fingerprints(self._out)
            seen = {name: found for name, found in seen.items() if found[1] and found[1] == known.get(name, [])[:2]}
        thread = threading.Thread(target=self._work, args=(rows, seen), name="measuring")
        thread.start()
        held.callback(thread.join)
        held.callback(self._stop.set)

    def _work(self, rows: Iterator[Row], seen: Seen) -> None:
        """Measure `rows`, then again whenever a file is new or rewritten and no longer changing."""
        before, wait = seen, EVERY
        while True:
            try:
                for _ in rows:
                    if self._stop.is_set():
                        break
            except UserError as e:
                print(f"fetal-jax view: {e}", file=sys.stderr, flush=True)
            finally:
                if isinstance(rows, Generator):
                    rows.close()
            while not self._stop.wait(wait):
                begun, now = time.monotonic(), before
                with suppress(UserError, OSError):  # a folder that is moved away for a moment
                    now = self._look()
                wait = max(EVERY, PATIENCE * (time.monotonic() - begun))
                fresh = {name for name, found in now.items() if seen.get(name, (None, None))[1] != found[1]}
                rest = all(before.get(name, (None, None))[1] == now[name][1] for name in fresh)
                before = now
                if fresh and rest:
                    seen, rows = seen | now, self._measure()
                    break
            else:
                return

    def _look(self) -> Seen:
        return {str(s): (s, s.fingerprint()) for s in find(self._paths, leave_out=self._out).sources}

    def _measure(self) -> Iterator[Row]:
        from fetal_jax.inference import Predictor
        from fetal_jax.reading.spacing_table import Spacings
        from fetal_jax.results.folder import measure_files

        found = find(self._paths, leave_out=self._out)
        none = Spacings("none")
        predictor = Predictor.from_bundle()
        return measure_files(predictor, found.sources, none, "auto", self._out, asked=self._paths, again=True)
