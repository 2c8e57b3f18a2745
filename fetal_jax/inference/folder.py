"""Measure files into a folder: rows, overlays and reports are written as the frames come; what was interrupted goes on.

A process of its own reads ahead (`reading.process`), this one runs the network, a thread writes.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from fetal_jax.errors import UserError
from fetal_jax.inference import cines
from fetal_jax.inference.predictor import FrameResult, Predictor
from fetal_jax.inference.resume_log import Journal
from fetal_jax.inference.spacing import Spacings
from fetal_jax.outputs import overlay, reports
from fetal_jax.outputs.contact_sheet import ContactSheet
from fetal_jax.outputs.results import COLUMNS, Row, caption, cells, failure_row, result_row
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.images import read_image, write_png
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import OVERLAYS, PARTS, RESULTS, Source

BEHIND = 4
"""Frames that the writing thread may be behind."""


def measure_files(
    predictor: Predictor,
    sources: list[Source],
    spacings: Spacings,
    plane: str,
    out: Path,
    also: tuple[str, ...] = (),
    note: Callable[[str], None] = print,
    asked: Sequence[Path] = (),
) -> Iterator[Row]:
    """Measure each file; its rows are written as they come, and given back. A file that cannot be read is a row too.

    Args:
      predictor: of the bundle.
      sources: what `reading.sources.find` found.
      spacings: what the caller says of millimetres per pixel.
      plane: "head", "abdomen", "femur" or "auto".
      out: the folder of the results. One that holds an interrupted run of the same call is gone on with; results of
        the same call are written anew.
      also: of "svg" and `reports.KINDS`.
      note: is told what could not be written of a file that was measured.
      asked: the paths that the caller gave, which tell one call from another.

    Raises:
      UserError: the plane cannot be told, the spacing table has one row for several files, `out` cannot be written,
        holds another call's results, or another process writes there.
    """
    predictor.check_plane(plane)
    spacings.check(sources)
    call = {
        "paths": [str(path.absolute()) for path in asked],
        "bundle": [predictor.info.files, predictor.info.intervals, predictor.info.temperature],
        "version": version("fetal_jax"),
        "plane": plane,
        "spacing": [spacings.source, spacings.constant, spacings.table],
        "also": sorted(also),
    }
    try:
        (out / OVERLAYS).mkdir(parents=True, exist_ok=True)
        journal = Journal.open(out, call)
        saved = {source: rows for source in sources if (rows := journal.rows(source)) is not None}
        taken = {row["overlay"] for rows in saved.values() for row in rows if row["overlay"]}
        if journal.begun:
            _clear(out, keep={Path(name).stem for name in taken})
        ahead = read_ahead([s for s in sources if s not in saved], with_ruler=spacings.source == "ruler")
        with closing(ahead) as frames, Results(out, journal, taken, also, note) as results:
            for source in sources:
                if source in saved:
                    results.add_saved(saved[source])
                    yield from saved[source]
                    continue
                rows = []
                while (item := next(frames)) is not None:
                    row = _measure(predictor, item, spacings, plane, results)
                    rows.append(row)
                    yield row
                results.finish(source, rows)
    except OSError as e:
        raise UserError(f"{e.filename or out} cannot be written ({e.strerror}): give another --out") from None


def _clear(out: Path, keep: set[str]) -> None:
    """Remove what an earlier run of the call made of files that are to be measured again, or are gone."""
    for part in PARTS:
        for path in (out / part).glob("*"):
            if path.stem not in keep and path.is_file():
                path.unlink()


def _measure(predictor: Predictor, item: Frame | Failure, spacings: Spacings, plane: str, results: Results) -> Row:
    if isinstance(item, Failure):
        row = failure_row(item)
        results.add(row, None, None)
        return row
    size = spacings.of(item)
    result = predictor.measure(item.pixels, size.mm, plane, getattr(item, "warnings", ()))
    if size.region and not _lies_in(size.region, result):
        result = replace(
            result,
            status="refused",
            interval_mm=None,
            reason="it lies outside the region that the DICOM spacing holds for",
        )
    row = result_row(item, size, result)
    row["overlay"] = results.picture_name(item)
    results.add(row, item, result)
    return row


def _lies_in(region: tuple[float, float, float, float], result: FrameResult) -> bool:
    found = result.measurement
    if found is None or (found.ellipse is None and found.shaft is None):
        return True
    x, y = (found.ellipse.cx, found.ellipse.cy) if found.ellipse else found.shaft.ends.mean(0)  # type: ignore[union-attr]
    return bool(region[0] <= x <= region[2] and region[1] <= y <= region[3])


class Results:
    """The folder of the results, written in order by a thread of its own."""

    def __init__(
        self, out: Path, journal: Journal, taken: set[str], also: tuple[str, ...], note: Callable[[str], None]
    ) -> None:
        self.out, self.journal, self._also, self._note = out, journal, also, note
        self._taken = {name.lower() for name in taken}
        self._rows: list[Row] = []
        self._sheet = ContactSheet(out)
        self._table = Table(out / RESULTS, COLUMNS)
        self._cines: Table | None = None
        (out / "cines.csv").unlink(missing_ok=True)
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "writing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        whole = False
        try:
            while self._pending:
                self._pending.popleft().result()
            if kind is None:
                self._sheet.close()
                (self.out / "measurements.json").write_text(json.dumps(self._rows, indent=1) + "\n")
                whole = True
        finally:
            self._thread.shutdown(cancel_futures=True)
            self.journal.close(finished=whole)
            self._table.close()
            if self._cines:
                self._cines.close()

    def picture_name(self, frame: Frame) -> str:
        """`overlays/NAME.png`, `NAME_0007.png` in a cine; the second file of a name gets a number."""
        safe = re.sub(r"[^\w.+-]", "_", frame.source.stem)[:100] or "frame"
        suffix, n, name = f"_{frame.index:04d}" if frame.cine else "", 1, ""
        while not name or name.lower() in self._taken:
            name = f"{OVERLAYS}/{safe}{f'_{n}' if n > 1 else ''}{suffix}.png"
            n += 1
        self._taken.add(name.lower())
        return name

    def add(self, row: Row, frame: Frame | None, result: FrameResult | None) -> None:
        """A new row, with what it was measured in."""
        self._later(self._write, row, frame, result)

    def add_saved(self, rows: list[Row]) -> None:
        """The rows of a file that an earlier run wrote."""
        self._later(self._write_saved, rows)

    def finish(self, source: Source, rows: list[Row]) -> None:
        """After the last row of a file."""
        self._later(self._finish, source, rows)

    def _later(self, work: Callable[..., None], *args: Any) -> None:
        if len(self._pending) >= BEHIND:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(work, *args))

    # what follows runs in the writing thread

    def _write(self, row: Row, frame: Frame | None, result: FrameResult | None) -> None:
        picture = None
        if frame is not None and result is not None:
            lines = overlay.wrapped(caption(row), frame.pixels.shape[1])
            picture = overlay.draw(frame.pixels, result.measurement, lines, status=result.status)
            path = self.out / row["overlay"]
            write_png(path, picture)
            if "svg" in self._also:
                text = overlay.svg(frame.pixels, result.measurement, lines, result.status)
                path.with_suffix(".svg").write_text(text, encoding="utf-8", errors="backslashreplace")
            picture = picture[: len(frame.pixels)]
        self._add_row(row)
        self._sheet.add(row, picture)

    def _write_saved(self, rows: list[Row]) -> None:
        for row in rows:
            picture = None
            if row["overlay"] and (self.out / row["overlay"]).is_file():
                picture = read_image(self.out / row["overlay"])
                picture = picture[: -overlay.band_height(overlay.wrapped(caption(row), picture.shape[1]))]
            self._add_row(row)
            self._sheet.add(row, picture)
        self._add_cine(rows)

    def _add_row(self, row: Row) -> None:
        self._rows.append(row)
        self._table.add(cells(row))

    def _finish(self, source: Source, rows: list[Row]) -> None:
        self._add_cine(rows)
        for kind in self._also:
            if kind in reports.KINDS:
                self._report(kind, source, rows)
        self.journal.save(source, rows)

    def _add_cine(self, rows: list[Row]) -> None:
        if len(rows) < 2:
            return
        self._cines = self._cines or Table(self.out / "cines.csv", cines.COLUMNS)
        for summary in cines.summarise(rows):
            self._cines.add(summary.cells())

    def _report(self, kind: str, source: Source, rows: list[Row]) -> None:
        for summary in cines.summarise(rows):
            try:
                reports.write(kind, source, summary.best, self.out)
            except UserError as e:
                self._note(f"no {kind}: {e}")


class Table:
    """A CSV that is on the disk row by row."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        # a file name may hold bytes that are no text
        self._file = path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
        self._writer = csv.DictWriter(self._file, columns)
        self._writer.writeheader()

    def add(self, row: dict[str, Any]) -> None:
        """One row."""
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
