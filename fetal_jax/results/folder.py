"""Measure files into a folder: rows, overlays and reports are written as frames arrive; an interrupted run resumes.

A separate process reads ahead (`reading.isolated`), this one runs the network, a thread writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from fetal_jax import __version__
from fetal_jax.errors import UserError, amount, not_written
from fetal_jax.files import open_whole, write_whole
from fetal_jax.inference.identity import Identities, Key, Naming
from fetal_jax.inference.predictor import Predictor
from fetal_jax.inference.result import FrameResult
from fetal_jax.outputs import cines, formats, overlay
from fetal_jax.outputs.contact_sheet import ContactSheet
from fetal_jax.outputs.examinations import write as examinations
from fetal_jax.outputs.rows import (
    COLUMNS,
    JSON,
    JsonList,
    Row,
    Table,
    caption,
    cells,
    failure_row,
    result_row,
    spacing_of,
)
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.images import read_image, write_png
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import OVERLAYS, RESULTS, Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results import gone
from fetal_jax.results.resume_log import FINGERPRINTS, Fingerprint, ResumeLog

CINES = "cines.csv"
BEHIND = 4
"""Number of frames that may wait for the writing thread."""
NAME_BYTES = 100
"""Most bytes of a frame's name in a picture's. Some file systems allow 143 in all; a letter takes up to 4."""


def measure_files(
    predictor: Predictor,
    sources: list[Source],
    spacings: Spacings,
    plane: str,
    out: Path,
    also: tuple[str, ...] = (),
    note: Callable[[str], None] = print,
    asked: Sequence[Path] = (),
    submission: Path | None = None,
    naming: Naming | None = None,
    standard: str = "hadlock",
    again: bool = False,
) -> Iterator[Row]:
    """Measure each file; yield its rows as they are written. A file that cannot be read gets a row, too.

    Args:
      predictor: the network of a bundle.
      sources: the files, from `reading.sources.find`.
      spacings: the caller's millimetres per pixel.
      plane: "head", "abdomen", "femur" or "auto".
      out: the folder of the results. An interrupted run of the same call is resumed; a finished one is replaced. Only
        files that this program wrote there are overwritten or deleted.
      also: of "svg" and `formats.KINDS`.
      note: receives what happens to the results of an earlier call, at the start, and a message for each reason why
        reports could not be written, at the end.
      asked: the paths that the user gave; they are part of the call's identity.
      submission: a file that the caller writes afterwards; refused before the work if another program wrote it.
      naming: how examinations are named; default: by DICOM and the spacing table, identifiers hashed.
      standard: of age, weight and centiles of the examinations (`examination.CHOICES`).
      again: whether to reuse the rows of finished results of the same call, for files that have not changed since.

    Raises:
      UserError: the plane is unknown, the spacing table has one row for several files, `out` cannot be written, holds
        files that are not of this program or another call's results, or another process writes there.
    """
    predictor.check_plane(plane)
    naming = naming or Naming()
    spacings.check(sources, one_examination=naming.one is not None)
    call = call_of(predictor, spacings, plane, also, asked, standard, naming)
    with _failed_writes_in_words(out), closing(ResumeLog.open(out, call)) as log:
        _refuse_files_of_others(log, submission)
        identities, of_examinations = Identities(Key(log.own.claim), naming), list[Row]()
        if again:
            log.take_up(sources, out / JSON)
        else:
            for line in gone.against(out, log, [str(source) for source in sources], [str(path) for path in asked]):
                note(line)
        saved = {source for source in sources if log.has(source)}
        taken = {row["overlay"] for source in saved for row in log.rows(source) if row["overlay"]}
        stems = {Path(name).stem for name in taken}
        log.clear(keep=lambda name: "/" in name and Path(name).stem in stems)
        before = deque[list[int]]()
        ahead = read_ahead(_noting([s for s in sources if s not in saved], before), with_ruler=spacings.read_ruler)
        with (
            closing(ahead) as frames,
            open_whole(log.own.claim(JSON)) as file,
            Results(log, file, taken, also, note) as results,
        ):
            for source in sources:
                if source in saved:
                    rows = log.rows(source)
                    results.add_saved(rows)
                    of_examinations += _with_examination(rows)
                    yield from rows
                    continue
                rows, content = [], list[str]()
                while (item := next(frames)) is not None:
                    row, result = measured_row(predictor, item, spacings, plane, identities)
                    frame = item if isinstance(item, Frame) else None
                    row["overlay"] = frame and results.picture_name(frame)
                    content = [frame.sha256] if frame and frame.sha256 else content
                    results.add(row, frame, result)
                    rows.append(row)
                    yield row
                of_examinations += _with_examination(rows)
                results.finish(source, rows, [*stat, *content] if (stat := before.popleft()) else [])
        if of_examinations:
            examinations.write(of_examinations, standard, log.own, fhir="fhir" in also)
        log.finish(sources)


def _refuse_files_of_others(log: ResumeLog, submission: Path | None) -> None:
    """Check the files that will be written, before anything is deleted."""
    for name in (RESULTS, JSON, FINGERPRINTS):
        log.own.claim(name)
    if submission:
        log.claim_submission(submission)
    for name in examinations.FILES:
        log.own.check(name)


def _noting(sources: list[Source], fingerprints: deque[list[int]]) -> Iterator[Source]:
    """Yield sources after taking their fingerprints, so that a file written while it is read counts as changed."""
    for source in sources:
        fingerprints.append(source.fingerprint())
        yield source


@contextmanager
def _failed_writes_in_words(out: Path) -> Iterator[None]:
    """Turn the error of a full or read-only disk into a `UserError`."""
    try:
        yield
    except OSError as e:
        raise not_written(e, out, " and call again, or give another --out") from None


def call_of(
    predictor: Predictor,
    spacings: Spacings,
    plane: str,
    also: tuple[str, ...],
    asked: Sequence[Path],
    standard: str,
    naming: Naming,
) -> dict[str, Any]:
    """Collect everything that affects the rows: a folder is resumed only by the call that began it."""
    info = predictor.info
    return {
        "paths": [os.path.abspath(path) for path in asked],  # without `..`: it may be resumed from another folder
        "bundle": [info.files, info.intervals, info.temperature, info.acceptance],
        "version": __version__,
        "plane": plane,
        "spacing": [spacings.source, spacings.constant, spacings.table, *(["ruler"] if spacings.with_ruler else [])],
        "also": sorted(also),
        "examinations": [standard, naming.fingerprint(), _fingerprint(spacings.labels)],
        "runtime": predictor.runtime,
    }


def _fingerprint(labels: Mapping[str, Any] | None) -> str | None:
    """Short hash of the table's labels: it distinguishes calls without writing names or dates to the file."""
    if not labels:
        return None
    text = json.dumps({name: vars(label) for name, label in sorted(labels.items())})
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _with_examination(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["examination"] is not None]


def measured_row(
    predictor: Predictor, item: Frame | Failure, spacings: Spacings, plane: str, identities: Identities
) -> tuple[Row, FrameResult | None]:
    """Measure a frame: its row and result. A failure gets a row without a result."""
    labels = spacings.labels_of(item.source)
    if isinstance(item, Failure):
        return failure_row(item) | identities.columns(labels, None), None
    size = spacings.of(item)
    result = predictor.measure_frame(item, plane, size)
    return result_row(item, size, result) | identities.columns(labels, item.study), result


class Results:
    """The files of a results folder, written in order by a separate thread."""

    def __init__(
        self, log: ResumeLog, rows: IO[bytes], taken: set[str], also: tuple[str, ...], note: Callable[[str], None]
    ) -> None:
        self._log, self._own, self._also, self._note = log, log.own, also, note
        self._taken = {name.lower() for name in taken}
        self._sheet = ContactSheet(self._own.claim)
        self._table, self._rows = Table(self._own.claim(RESULTS), COLUMNS), JsonList(rows)
        self._cines: Table | None = None
        self._not_written: dict[str, list[tuple[str, Source]]] = {}  # by reason: the kinds and files
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "writing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            while self._pending:
                self._pending.popleft().result()
            if kind is None:
                self._sheet.close()
                self._rows.end()
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._table.close()
            if self._cines:
                self._cines.close()
            self._tell_not_written()

    def picture_name(self, frame: Frame) -> str:
        """Choose `overlays/NAME.png`, or `NAME_0007.png` in a cine; a second file of the same name gets a number."""
        safe = re.sub(r"[^\w.+-]", "_", frame.source.stem).encode()[:NAME_BYTES].decode(errors="ignore") or "frame"
        suffix, n, name = f"_{frame.index:04d}" if frame.cine else "", 1, ""
        while not name or name.lower() in self._taken or not all(map(self._own.is_free, self._forms(name))):
            name = f"{OVERLAYS}/{safe}{f'_{n}' if n > 1 else ''}{suffix}.png"
            n += 1
        self._taken.add(name.lower())
        return name

    def _forms(self, picture: str) -> list[str]:
        """The names of all files that are written for a frame."""
        kinds = [formats.name(kind, picture) for kind in self._also if kind in formats.KINDS]
        return [picture, _svg(picture), *kinds] if "svg" in self._also else [picture, *kinds]

    def add(self, row: Row, frame: Frame | None, result: FrameResult | None) -> None:
        """Add a new row, with the frame and the result it was measured from."""
        self._later(self._write, row, frame, result)

    def add_saved(self, rows: list[Row]) -> None:
        """Add the rows of a file that an earlier run wrote."""
        self._later(self._write_saved, rows)

    def finish(self, source: Source, rows: list[Row], fingerprint: Fingerprint) -> None:
        """Complete a file after its last row; the fingerprint is from before it was read."""
        self._later(self._finish, source, rows, fingerprint)

    def _later(self, work: Callable[..., None], *args: Any) -> None:
        if len(self._pending) >= BEHIND:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(work, *args))

    # the methods below run in the writing thread

    def _write(self, row: Row, frame: Frame | None, result: FrameResult | None) -> None:
        picture = None
        if frame is not None and result is not None:
            lines = overlay.wrapped(caption(row), frame.pixels.shape[1])
            status, spacing = result.status, spacing_of(row)
            picture = overlay.draw(frame.pixels, result.measurement, lines, status=status, spacing_mm=spacing)
            write_png(self._own.claim(row["overlay"]), picture)
            if "svg" in self._also:
                text = overlay.svg(frame.pixels, result.measurement, lines, status, spacing)
                write_whole(self._own.claim(_svg(row["overlay"])), text)
            picture = picture[: len(frame.pixels)]
        self._add_row(row)
        self._sheet.add(row, picture)

    def _write_saved(self, rows: list[Row]) -> None:
        for row in rows:
            picture = None
            if row["overlay"] and (self._own.folder / row["overlay"]).is_file():
                picture = read_image(self._own.folder / row["overlay"])
                picture = picture[: -overlay.band_height(overlay.wrapped(caption(row), picture.shape[1]))]
            self._add_row(row)
            self._sheet.add(row, picture)
        self._add_cine(rows)

    def _add_row(self, row: Row) -> None:
        self._rows.add(row)
        self._table.add(cells(row))

    def _finish(self, source: Source, rows: list[Row], fingerprint: Fingerprint) -> None:
        self._add_cine(rows)
        for kind in self._also:
            if kind in formats.KINDS:
                self._report(kind, source, rows)
        self._log.save(source, rows, fingerprint)

    def _add_cine(self, rows: list[Row]) -> None:
        if len(rows) < 2:
            return
        self._cines = self._cines or Table(self._own.claim(CINES), cines.COLUMNS)
        for summary in cines.summarise(rows):
            self._cines.add(summary.cells())

    def _report(self, kind: str, source: Source, rows: list[Row]) -> None:
        for summary in cines.summarise(rows):
            try:
                formats.write(kind, source, summary.best, self._own.claim)
            except UserError as e:
                with suppress(OSError):  # there may be no folder, or another file's report in it
                    (self._own.folder / kind).rmdir()
                reason = str(e).replace(str(source), "").strip()
                self._not_written.setdefault(reason, []).append((kind, source))

    def _tell_not_written(self) -> None:
        """Send one message per reason, however many files it concerns."""
        for reason, found in self._not_written.items():
            kinds, files = (list(dict.fromkeys(parts)) for parts in zip(*found, strict=True))
            about = f"{files[0]}" if len(files) == 1 else f"{amount(len(files), 'file')}, such as {files[0]}, which"
            self._note(f"no {', '.join(kinds)}: {about} {reason}")


def _svg(picture: str) -> str:
    return picture.removesuffix(".png") + ".svg"
