"""A sweep of a PACS: search, retrieve, measure as `fetal-jax measure` does, store the reports; each object once.

Several connections retrieve and store; a separate process reads (`reading.isolated`); this one runs the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, generate_uid

from fetal_jax.archive.pacs.dicomweb import Client, Instance, Unpaged
from fetal_jax.archive.pacs.origin import Forbidden, Rejected, Unavailable
from fetal_jax.archive.pacs.state import State
from fetal_jax.errors import UserError, amount
from fetal_jax.files import OwnFiles, draft_of, open_whole
from fetal_jax.inference.identity import Identities
from fetal_jax.inference.predictor import Predictor
from fetal_jax.outputs import cines, formats
from fetal_jax.outputs.dicom_parts import encoded
from fetal_jax.outputs.rows import COLUMNS, JSON, JsonList, Row, Table, cells
from fetal_jax.outputs.tally import in_words
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import RESULTS, Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.folder import measured_row

T = TypeVar("T")
IMAGES = (
    *("1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"),  # ultrasound: one frame, several
    *("1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"),  # the same, retired
    *("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.4"),  # captures
)
"""SOP classes that are retrieved: no reports, segmentations (not even ours) or volumes."""
GONE = 3
"""Unanswered requests in a row after which the server counts as away; a single one may be due to its object."""
SPOOL = "spool"
"""Folder of objects that are retrieved and not yet measured; everything in it is ours."""


@dataclass
class Counts:
    """Counts of one call."""

    before: int = 0
    """Instances that an earlier call measured."""
    instances: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """Statuses of the frames."""
    stored: Counter[str] = field(default_factory=Counter)
    """Objects by kind."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Instances that are not retrieved, by SOP class."""
    failed: int = 0
    """Requests for objects that were refused or not answered; the next call asks again."""

    def __str__(self) -> str:
        count = amount(self.statuses.total(), "frame")  # a cine has many
        frames = f", {count}: {in_words(self.statuses)}" if self.statuses else ": no new frames"
        stored = ", ".join(f"{n} {kind}" for kind, n in sorted(self.stored.items())) or "nothing"
        others = ", ".join(f"{n} {name}" for name, n in self.left_out.most_common(5))
        parts = [f"{amount(self.instances, 'instance')}{frames}", f"stored: {stored}"]
        parts += [f"measured earlier: {self.before}"] if self.before else []
        parts += [f"left out: {others}"] if others else []
        parts += [f"failed: {self.failed} (the same call tries again)"] if self.failed else []
        return "; ".join(parts)


def spacings_of(spacing: str | None) -> Spacings:
    """The spacings of `--spacing`, which is "ruler" or None, with advice for a command that has no other flag."""
    export = "export the file for fetal-jax measure --spacing-csv"
    return Spacings(spacing or "none", advice=export if spacing else "give --spacing=ruler and another --out")


def seed_of(call: Mapping[str, Any]) -> str:
    """Hash of everything that affects a value; it gives an object's UID together with the source's UID and the kind."""
    decides = {key: call[key] for key in ("bundle", "version", "plane", "spacing", "runtime")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


@dataclass
class Sweep:
    """One call of `fetal-jax pacs`."""

    client: Client
    state: State
    note: Callable[[str], None]
    tally: Counts = field(default_factory=Counts)
    under_way: set[str] = field(default_factory=set)
    """SOP Instance UIDs that `wanted` has yielded and that are not measured yet."""
    _unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wanted(self, query: Mapping[str, str]) -> Iterator[Instance]:
        """Yield the instances that match and are not measured yet.

        Raises:
          UserError: the server refuses the query or the account, or may have more series than it returned.
          Unavailable: the server is away.
        """
        try:
            series = list(self.client.series(query))
        except (Forbidden, Unpaged) as e:
            raise UserError(str(e)) from None
        except Rejected as e:
            raise UserError(f"{e}: check --url and --query") from None
        for study, uid in self._named("the search for series", series):
            instances = self.tolerate(f"series {uid}", partial(self._instances, study, uid))
            for instance in self._named(f"series {uid}", instances or ()):
                if instance.sop_class and instance.sop_class not in IMAGES:
                    self.tally.left_out[UID(instance.sop_class).name] += 1
                elif instance.uid in self.under_way:  # some servers list an object in two series
                    self.tally.left_out["listed twice"] += 1
                elif self.state.is_measured(instance.uid):
                    self.tally.before += 1
                else:
                    self.under_way.add(instance.uid)
                    yield instance

    def _instances(self, study: str, series: str) -> list[Instance | Rejected]:
        return list(self.client.instances(study, series))

    def _named(self, name: str, entries: Iterable[T | Rejected]) -> Iterator[T]:
        """Yield the entries of an answer that can be requested; count each other one as a failure."""
        for entry in entries:
            if isinstance(entry, Rejected):
                self._fail(f"an entry of {name}", str(entry))
            else:
                yield entry

    def store(self, study: str, instance: str, again: bool = False) -> None:
        """Store the unconfirmed objects of a source instance; with `again`, first check which ones the server has."""
        bodies = self.state.bodies(instance)

        def send() -> dict[str, str]:
            missing = {uid: b for uid, b in bodies.items() if not (again and self.client.has(study, uid))}
            return self.client.store(study, missing) if missing else {}

        refused = self.tolerate(f"the reports of {instance}", send)
        if refused is None:
            return
        for uid, reason in refused.items():
            self._fail(f"{uid}, a report of {instance}", f"the server does not store it: {reason}")
        kinds = self.state.confirm([uid for uid in bodies if uid not in refused])
        with self._lock:
            self.tally.stored.update(kinds)

    def tolerate(self, name: str, call: Callable[[], T]) -> T | None:
        """Make a request for one object; returns None if it fails and the sweep can continue.

        Raises:
          Unavailable: the server is away.
        """
        try:
            result = call()
        except Rejected as e:
            self._unanswered = 0  # a refusal is an answer
            self._fail(name, str(e))
            return None
        except Unavailable as e:
            self._unanswered += 1
            if self._unanswered >= GONE or self.client.http.stopped:
                raise
            self._fail(name, str(e))
            return None
        self._unanswered = 0
        return result

    def _fail(self, name: str, reason: str) -> None:
        with self._lock:
            self.tally.failed += 1
        self.note(f"failed: {name}: {reason}")


@dataclass
class Measuring:
    """Measures the instances of a sweep, and stores their reports."""

    sweep: Sweep
    predictor: Predictor
    spacings: Spacings
    plane: str
    kinds: tuple[str, ...]
    """Kinds of reports, some of `formats.DICOM_KINDS`."""
    seed: str
    """From `seed_of`."""
    identities: Identities
    spool: Path
    """An empty folder for retrieved files."""
    connections: int

    def run(self, query: Mapping[str, str]) -> Generator[Row, None, None]:
        """Sweep; yield each row once it is in the state file.

        Raises:
          UserError: the query, the credentials or the certificate is wrong, or the disk is full.
          Unavailable: the server is away.
        """
        sweep, order = self.sweep, deque[Instance]()
        with ThreadPoolExecutor(self.connections, "dicomweb") as pool:
            storing = deque(
                pool.submit(sweep.store, study, uid, again=True) for study, uid in sweep.state.unconfirmed()
            )
            sources = self._retrieved(pool, sweep.wanted(query), order)
            try:
                with closing(read_ahead(sources, with_ruler=self.spacings.read_ruler)) as items:
                    try:
                        rows: list[Row] = []
                        for item in items:
                            if item is not None:
                                rows.append(self._row(item))
                                continue
                            instance = order.popleft()
                            self._finish(instance, rows)
                            storing.append(pool.submit(sweep.store, instance.study, instance.uid))
                            yield from rows
                            rows = []
                            while len(storing) > self.connections:
                                storing.popleft().result()
                    except BaseException:
                        sweep.client.http.stop()  # first, because the reader waits for a request
                        raise
                while storing:
                    storing.popleft().result()
            except BaseException:
                sweep.client.http.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _retrieved(
        self, pool: ThreadPoolExecutor, wanted: Iterator[Instance], order: deque[Instance]
    ) -> Iterator[Source]:
        """Yield the files of instances as they arrive; each instance is in `order` before its file is yielded."""
        ahead: deque[tuple[Instance, Future[bool]]] = deque()
        for instance in wanted:
            ahead.append((instance, pool.submit(self._retrieve, instance)))
            if len(ahead) > self.connections:
                yield from self._next(ahead, order)
        while ahead:
            yield from self._next(ahead, order)

    def _next(self, ahead: deque[tuple[Instance, Future[bool]]], order: deque[Instance]) -> Iterator[Source]:
        instance, arrived = ahead.popleft()
        if arrived.result():
            order.append(instance)
            yield Source(self._path(instance))
        else:
            self.sweep.under_way.discard(instance.uid)

    def _path(self, instance: Instance) -> Path:
        return self.spool / f"{instance.uid}.dcm"

    def _retrieve(self, instance: Instance) -> bool:
        def get() -> bool:
            path = self._path(instance)
            self.sweep.client.retrieve(instance, path)
            if not _is(path, instance):
                path.unlink()
                raise Rejected("the server sends another object than was asked for")
            return True

        return bool(self.sweep.tolerate(str(instance), get))

    def _row(self, item: Frame | Failure) -> Row:
        row, _ = measured_row(self.predictor, item, self.spacings, self.plane, self.identities)
        path, uid = str(item.source), item.source.stem
        row["file"], row["reason"] = uid, row["reason"] and row["reason"].replace(path, uid)
        return row

    def _finish(self, instance: Instance, rows: list[Row]) -> None:
        source = Source(self._path(instance))
        self.sweep.state.add(instance, rows, self._objects(instance, source, rows))
        source.path.unlink()
        self.sweep.under_way.discard(instance.uid)
        self.sweep.tally.instances += 1
        self.sweep.tally.statuses.update(row["status"] for row in rows)

    def _objects(self, instance: Instance, source: Source, rows: list[Row]) -> dict[str, tuple[str, bytes]]:
        """Make the objects to store: kind and file by SOP Instance UID.

        The UID is derived from the source, the kind and everything that affects the value, so that measuring the same
        again makes the same object. The series UID is derived from the study and the kind.
        """
        objects: dict[str, tuple[str, bytes]] = {}
        for summary in cines.summarise(rows):
            for kind in self.kinds:
                try:
                    formats.write(kind, source, summary.best | {"overlay": f"{kind}.png"}, self._claim)
                except UserError as e:
                    self.sweep.note(f"no {kind}: {str(e).replace(str(source), instance.uid)}")
                    continue
                uid = generate_uid(entropy_srcs=[self.seed, instance.uid, kind, summary.plane])
                series = generate_uid(entropy_srcs=[self.seed, instance.study, kind])
                objects[uid] = kind, _named(self._claim(formats.name(kind, f"{kind}.png")), uid, series)
        return objects

    def _claim(self, name: str) -> Path:
        return self.spool / name.replace("/", "_")


def _is(path: Path, instance: Instance) -> bool:
    """Whether a file is an instance, by its meta information. The rest may be hostile, and is left to the reader.

    True if there is no meta information, which the reader reports.
    """
    try:
        return str(read_file_meta_info(path).MediaStorageSOPInstanceUID) == instance.uid
    except Exception:  # pydicom raises anything on a damaged file
        return True


def _named(path: Path, uid: str, series: str) -> bytes:
    """Read a DICOM file, give it other UIDs, and delete it; returns its bytes."""
    ds = pydicom.dcmread(path)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    ds.SeriesInstanceUID = series
    path.unlink()
    return encoded(ds)


def write_results(state: State, own: OwnFiles) -> None:
    """Write all rows so far as `measure` does: `measurements.csv` and `measurements.json`; `file` is the instance."""
    table_path = own.claim(RESULTS)
    draft = draft_of(table_path)
    with open_whole(own.claim(JSON)) as file, closing(Table(draft, COLUMNS)) as table:
        listed = JsonList(file)
        for row in state.rows():
            table.add(cells(row))
            listed.add(row)
        listed.end()
    os.replace(draft, table_path)
