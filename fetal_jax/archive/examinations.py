"""The frames of all shards -> examinations as in `measure`. A patient's frames may be in many shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from fetal_jax.archive import shards
from fetal_jax.archive.parquet import CALL, EXAMINATIONS, FRAMES, Writer, examination
from fetal_jax.archive.storage import Folder
from fetal_jax.archive.worker import Job
from fetal_jax.inference import identity
from fetal_jax.outputs.examinations import tables
from fetal_jax.outputs.examinations.examination import group
from fetal_jax.outputs.examinations.visits import follow
from fetal_jax.outputs.rows import Row
from fetal_jax.planes import MEASURED

COLUMNS = (
    *("file", "frame", "status", "plane", "plane_probability", "spacing_source", "flags", "reason", "overlay"),
    *MEASURED,
    *identity.COLUMNS,
    "sha256",
)
"""The columns of frames that examinations are made from; the digest tells copies of an image."""


def rows_in(file: Any) -> int:
    """The number of rows of an open Parquet file."""
    return int(parquet.read_metadata(file).num_rows)


def write(out: Folder, names: list[str], job: Job, scratch: Path) -> Counter[str]:
    """Write the examinations of all frames, unless they exist; returns their number by status.

    Frames with an examination are held in memory, in Arrow columns: some hundred bytes each.

    Args:
      out: the results.
      names: of the files of frames.
      job: the call, with the standard.
      scratch: a folder on this machine.
    """
    name = f"{shards.digest([EXAMINATIONS])}-{shards.digest([*names, job.call])}.parquet"
    if not out.exists(f"{EXAMINATIONS}/{name}"):
        call: dict[str, Any] = {}
        with Writer(scratch / EXAMINATIONS, EXAMINATIONS) as writer:
            for rows, call in _patients(out, names):
                for pregnancy in follow(group(rows), job.standard):
                    for index in range(len(pregnancy.visits)):
                        writer.add(examination(tables.record(pregnancy, index)) | call)
        out.put(writer.path, f"{EXAMINATIONS}/{name}")
    clear(out, but=name)
    with out.open(f"{EXAMINATIONS}/{name}") as file:
        return Counter(parquet.read_table(file, columns=["status"])["status"].to_pylist())


def clear(out: Folder, but: str = "") -> None:
    """Remove the examinations of earlier calls, except the file with a name."""
    for old in out.names(EXAMINATIONS):
        if shards.key_of(old) and old != but:
            out.remove(f"{EXAMINATIONS}/{old}")


def _patients(out: Folder, names: list[str]) -> Iterator[tuple[list[Row], dict[str, Any]]]:
    """Yield the frames of each patient, or of each examination without a patient, with the columns of the call.

    An examination is never divided: one with frames of two patients is refused, which needs the frames of both.
    """
    parts = []
    for name in names:
        with out.open(f"{FRAMES}/{name}") as file:
            table = _with_long_texts(parquet.read_table(file, columns=[*COLUMNS, *CALL]))
        parts.append(table.filter(pc.is_valid(table["examination"])))
    frames = pa.concat_tables(parts)
    first = frames.group_by("examination").aggregate([("patient", "min")])
    patients = first["patient_min"].take(pc.index_in(frames["examination"], first["examination"].combine_chunks()))
    before, between = pa.scalar("", pa.large_string()), pa.scalar("\0", pa.large_string())
    whose = pc.coalesce(patients, pc.binary_join_element_wise(before, frames["examination"], between))
    frames = frames.append_column("whose", whose)
    frames = frames.take(pc.sort_indices(frames, [(c, "ascending") for c in ("whose", "examination", "file", "frame")]))
    start, ends = 0, _ends(frames["whose"])
    for end in ends:
        rows = frames.slice(start, end - start).select([*COLUMNS, *CALL]).to_pylist()
        yield rows, {name: rows[0][name] for name in CALL}
        start = end


def _with_long_texts(table: pa.Table) -> pa.Table:
    """A table whose texts have offsets of 64 bits: sorting joins a column, and 2 GB of file names or reasons are too
    much for those of 32 (some ten million frames).
    """
    fields = [field.with_type(pa.large_string()) if field.type == pa.string() else field for field in table.schema]
    return table.cast(pa.schema(fields))


def _ends(column: pa.ChunkedArray) -> list[int]:
    """End indices of runs of equal values."""
    runs = pc.run_end_encode(column.combine_chunks())
    runs = runs.combine_chunks() if isinstance(runs, pa.ChunkedArray) else runs
    return [int(end) for end in runs.run_ends.to_pylist()]
