"""The schemas of the Parquet files, and their writer. docs/archive.md has them as a table."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from pyarrow import parquet

from fetal_jax.outputs.examinations import tables
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY
from fetal_jax.outputs.tally import Tally
from fetal_jax.planes import PRIMARY

FRAMES, EXAMINATIONS, DEAD_LETTERS = "frames", "examinations", "dead_letters"
ROWS = 1000
"""Number of rows that are buffered before they are written."""
_TALLY = b"fetal_jax"

CALL = ("bundle", "version", "versions", "call")
"""SHA-256 of the bundle's networks and card; version of this program; versions of the packages that affect the values;
digest of `call.json`."""
PROVENANCE = ("source", "member", "sha256", "shard", "report", *CALL)
"""The file, or the archive and the member; SHA-256 of its content; the Parquet file; the name of the frame's reports
(`--also`)."""
_BEST = ("best_file", "best_frame")
_WHOLE = ("frame", "day", "visit", "visits")
_REAL = ("_mm", "_px", "_weeks", "_probability", "_confidence", "_centile", "_z", "_g")


def _type(name: str) -> pa.DataType:
    """The type of a column, by its name."""
    if name == "flags":
        return pa.list_(pa.string())
    if name == "regions_px":
        return pa.list_(pa.list_(pa.float64()))
    if name == "contradictory":
        return pa.bool_()
    if name in GEOMETRY:
        return pa.list_(pa.float64())
    if name in _WHOLE or name.endswith(("_frame", "_frames")):
        return pa.int64()
    return pa.float64() if name.endswith(_REAL) or name in tables.RATIOS else pa.string()


def _schema(*names: str) -> pa.Schema:
    return pa.schema([(name, _type(name)) for name in names])


_MEASURES = (*tables.MEASURES, "efw")
_NOT_HERE = ("page", *(f"{plane}_best" for plane in PRIMARY))
SCHEMAS = {
    FRAMES: _schema(*COLUMNS, *GEOMETRY, *PROVENANCE),
    EXAMINATIONS: _schema(
        *(name for name in tables.COLUMNS if name not in _NOT_HERE),
        *(f"{plane}_{what}" for plane in PRIMARY for what in _BEST),
        *(f"{m}_{what}" for m in _MEASURES for what in ("bound", "z")),
        *("visit", "visits", *CALL),
    ),
    DEAD_LETTERS: _schema("file", "frame", "what", "reason", *PROVENANCE),
}
"""Schemas by kind of file. `what` of a dead letter is "frame", or the kind of report that could not be written."""


def examination(record: tables.Record) -> dict[str, Any]:
    """Make the row of an examination: only numbers in numeric columns, the best frames by file."""
    row: dict[str, Any] = tables.cells(record) | {name: record[name] for name in ("visit", "visits")}
    for measure in _MEASURES:
        of = record["centiles"].get(measure) or {}
        row |= {
            f"{measure}_centile": of.get("percent"),
            f"{measure}_bound": of.get("bound"),
            f"{measure}_z": of.get("z"),
        }
    for plane, structure in record["structures"].items():
        best = structure["best"] or {}
        row |= {f"{plane}_best_file": best.get("file"), f"{plane}_best_frame": best.get("frame")}
    return row


class Writer:
    """A Parquet file of one of `SCHEMAS`, written as rows arrive, to limit memory."""

    def __init__(self, path: Path, kind: str) -> None:
        """Open a file for writing."""
        self.path, self.count = path, 0
        self._rows: list[dict[str, Any]] = []
        self._schema = SCHEMAS[kind]
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; keys that are not columns are ignored."""
        self._rows.append({name: utf8(row.get(name)) for name in self._schema.names})
        self.count += 1
        if len(self._rows) == ROWS:
            self._flush()

    def note(self, tally: Tally, left_out: Counter[str]) -> None:
        """Write the counts of the shard into the file's own metadata."""
        text = json.dumps(vars(tally) | {"left_out": left_out})
        self._file.add_key_value_metadata({_TALLY: text.encode()})

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def counts(file: Any) -> tuple[Tally, Counter[str]]:
    """Read the counts that `Writer.note` wrote into an open file."""
    saved = json.loads(parquet.read_metadata(file).metadata[_TALLY])
    left_out = Counter(saved.pop("left_out"))
    tally = Tally(Counter(saved.pop("statuses")), Counter(saved.pop("reasons")), **saved)
    return tally, left_out


def utf8(value: Any) -> Any:
    """Make a text valid in UTF-8: a file's name may have bytes that are not."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
