"""A worker: opens the network once, and measures one shard after another into Parquet."""

from __future__ import annotations

import queue
import re
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fetal_jax import __version__, bundle
from fetal_jax.archive import shards, storage
from fetal_jax.archive.parquet import DEAD_LETTERS, FRAMES, Writer
from fetal_jax.archive.shards import Shard
from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket, write_whole
from fetal_jax.inference.identity import KEY_FILE, Identities, Key, Naming
from fetal_jax.inference.predictor import Predictor
from fetal_jax.inference.result import FrameResult
from fetal_jax.outputs import cines, formats, overlay
from fetal_jax.outputs.rows import Row, caption, failure_row
from fetal_jax.outputs.tally import Tally
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import OVERLAYS, Source, expand
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.folder import call_of, measured_row

PACKAGES = ("numpy", "scipy", "scikit-image", "onnxruntime", "pillow", "pydicom", "python-gdcm")
"""Packages that affect the values."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs, wherever it runs."""

    out: str
    bundle: str
    """A shipped bundle's name, or a path that exists on each worker."""
    runtime: str
    plane: str
    spacings: Spacings
    also: tuple[str, ...]
    naming: Naming
    standard: str
    call: str
    """Digest of `call.json`."""
    scratch: str | None = None
    """Folder for copies and drafts; None: the system's."""
    threads: int = 1

    def open(self) -> Predictor:
        """Open the network."""
        return Predictor.from_bundle(bundle.find(self.bundle), self.runtime, self.threads)

    def call_with(self, predictor: Predictor) -> dict[str, Any]:
        """Make the content of `call.json`, without the patterns."""
        call = call_of(predictor, self.spacings, self.plane, self.also, [], self.standard, self.naming)
        return {"command": "archive"} | call

    def provenance(self, predictor: Predictor) -> dict[str, str]:
        """Make the columns that all rows share."""
        networks = shards.digest(f"{k}={v}" for k, v in sorted(predictor.info.files.items()))
        return {"bundle": networks, "version": __version__, "versions": _versions(), "call": self.call}


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # in the extra `dicom`
            continue
    return ", ".join(found)


class Worker:
    """Measures the shards of a job, one after another."""

    def __init__(self, job: Job) -> None:
        """Open the network.

        Raises:
          UserError: the bundle, the version or the key of identifiers on this machine is not that of the call.
        """
        self._job, self._out = job, storage.Folder(job.out)
        self._predictor = job.open()
        if shards.digest([repr(job.call_with(self._predictor))]) != job.call:
            raise UserError(
                "this worker has another version, bundle or FETAL_JAX_KEY than the call: make them the same"
            )
        self._made = job.provenance(self._predictor)
        self._inbox: queue.SimpleQueue[Source | None] = queue.SimpleQueue()
        self._frames: Generator[Frame | Failure | None, None, None] | None = None

    def close(self) -> None:
        """Stop the reading process."""
        if self._frames:
            self._inbox.put(None)
            self._frames.close()
            self._frames = None

    def run(self, shard: Shard) -> str:
        """Measure a shard unless its results exist; returns their name.

        The file of frames is written last: if it exists, the shard is done.

        Raises:
          OSError: something cannot be written; the next attempt replaces all files.
          UserError: a bucket does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="fetal-jax-", dir=self._job.scratch) as folder:
            scratch, left_out = Path(folder), Counter[str]()
            unread: dict[Path, str] = {}
            files = {fetched(file, scratch, unread): file for file in shard.files}
            sources = [source for path in files for source in expand(path, left_out)]
            contents = {source: shards.sha256(source) for source in sources}
            name = shards.name(shard, [(shown(source, files), digest) for source, digest in contents.items()])
            if not self._out.exists(f"{FRAMES}/{name}"):
                self._write(name, files, contents, unread, left_out, scratch)
        for old in set(shard.known) - {name}:
            self._out.remove(f"{FRAMES}/{old}")
        return name

    def _write(
        self,
        name: str,
        files: dict[Path, str],
        contents: dict[Source, str | None],
        unread: dict[Path, str],
        left_out: Counter[str],
        scratch: Path,
    ) -> None:
        tally, drawn = Tally(), scratch / "reports"
        key = Key(lambda _: key_file(self._out, scratch))
        with Writer(scratch / "frames", FRAMES) as frames, Writer(scratch / "dead", DEAD_LETTERS) as dead:
            identities = Identities(key, self._job.naming)
            for source, rows in self._rows(list(contents), unread, identities, drawn):
                place = files[source.path]
                made = {
                    "source": place,
                    "member": source.member,
                    "sha256": contents[source],
                    "shard": name,
                    **self._made,
                }
                letters = list(self._reports(source, rows, drawn))
                for row in rows:
                    texts = {k: row[k] and row[k].replace(str(source.path), place) for k in ("file", "reason")}
                    stem = Path(row.pop("overlay") or "").stem
                    row |= texts | made | {"report": f"{name.removesuffix('.parquet')}/{stem}" if stem else None}
                    tally.add(row)
                    (dead if row["status"] == "error" else frames).add(row | {"what": "frame"})
                for letter in letters:
                    letter["reason"] = letter["reason"].replace(str(source.path), place)
                    dead.add({"file": shown(source, files)} | letter | made)
            frames.note(tally, left_out)
        if dead.count:
            self._out.put(dead.path, f"{DEAD_LETTERS}/{name}")
        for path in drawn.rglob("*.*"):
            self._out.put(path, f"{path.parent.name}/{name.removesuffix('.parquet')}/{path.name}")
        self._out.put(frames.path, f"{FRAMES}/{name}")

    def _rows(
        self, sources: list[Source], unread: dict[Path, str], identities: Identities, drawn: Path
    ) -> Iterator[tuple[Source, list[Row]]]:
        """Yield the rows of each file as `fetal-jax measure` makes them."""
        if self._frames is None:  # one reading process for all shards, because it takes half a second to start
            self._inbox = queue.SimpleQueue()
            self._frames = read_ahead(iter(self._inbox.get, None), self._job.spacings.read_ruler)
        for source in sources:
            if source.path not in unread:
                self._inbox.put(source)
        try:
            for number, source in enumerate(sources):
                rows: list[Row] = []
                if why := unread.get(source.path):
                    yield source, [failure_row(Failure(source, 0, why))]
                    continue
                while (item := next(self._frames)) is not None:
                    row, result = measured_row(self._predictor, item, self._job.spacings, self._job.plane, identities)
                    if self._job.also and isinstance(item, Frame) and result:
                        row["overlay"] = _picture(number, item)
                        if "svg" in self._job.also:
                            _write_svg(row, item, result, drawn)
                    rows.append(row)
                yield source, rows
        except BaseException:
            self.close()  # drop frames that were read ahead
            raise

    def _reports(self, source: Source, rows: list[Row], drawn: Path) -> Iterator[Row]:
        """Write the reports of a file; yield a dead letter for each that cannot be written."""
        for kind in self._job.also:
            if kind not in formats.KINDS:
                continue
            for summary in cines.summarise(rows):
                try:
                    formats.write(kind, source, summary.best, lambda name: _made(drawn / name))
                except UserError as e:
                    yield {"frame": summary.best["frame"], "what": kind, "reason": str(e)}


def _picture(number: int, frame: Frame) -> str:
    """The name for a frame's reports: unique within the shard, and the same in every attempt."""
    safe = re.sub(r"[^\w.+-]", "_", frame.source.stem).encode()[:100].decode(errors="ignore")
    return f"{OVERLAYS}/{number:05d}_{safe}{f'_{frame.index:04d}' if frame.cine else ''}.png"


def _write_svg(row: Row, frame: Frame, result: FrameResult, drawn: Path) -> None:
    lines = overlay.wrapped(caption(row), frame.pixels.shape[1])
    text = overlay.svg(frame.pixels, result.measurement, lines, result.status)
    write_whole(_made(drawn / "svg" / f"{Path(row['overlay']).stem}.svg"), text)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def fetched(file: str, scratch: Path, unread: dict[Path, str]) -> Path:
    """The file, or a copy of an object of a bucket; if it is unreadable, a missing path, and the reason in `unread`."""
    if not in_bucket(file):
        return Path(file)
    try:
        return storage.fetch(file, scratch)
    except storage.Unreadable as e:
        nothing = scratch / "unread" / shards.digest([file])
        unread[nothing] = str(e)
        return nothing


def shown(source: Source, files: dict[Path, str]) -> str:
    """A file's name as the user gave it."""
    return str(source).replace(str(source.path), files[source.path], 1)


def key_file(out: storage.Folder, scratch: Path) -> Path:
    """The file of the key that hashes identifiers: in the results folder, or a copy of the one in a bucket."""
    if not out.in_bucket:
        return Path(out.place) / KEY_FILE
    copy = scratch / KEY_FILE
    if not copy.exists() and (data := out.read(KEY_FILE)) is not None:
        write_whole(copy, data)
        copy.chmod(0o600)
    return copy
