"""The Parquet of `archive`, and the tables of `measure`, as pandas, Polars and DuckDB read them; the stated types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from pyarrow import parquet

from fetal_jax.archive import sweep
from fetal_jax.archive.parquet import DEAD_LETTERS, EXAMINATIONS, FRAMES, SCHEMAS
from fetal_jax.archive.shards import Shard
from fetal_jax.archive.worker import Job, Worker
from fetal_jax.inference.identity import Naming
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.folder import measure_files
from tests.support import ROOT
from tests.support.archives import MM, SMALL, rows
from tests.support.dicom_files import region, save, ultrasound
from tfds_builders.fetal_phantom.phantom import draw

KINDS = (FRAMES, EXAMINATIONS, DEAD_LETTERS)
TYPES = {
    "list of lists of doubles": "list<element: list<element: double>>",
    "list of doubles": "list<element: double>",
    "list of texts": "list<element: string>",
    "64-bit integer": "int64",
    "double": "double",
    "boolean": "bool",
    "text": "string",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """`archive/` and `measure/` of a head and an abdomen of one examination, and of a file that is cut in half."""
    folder = tmp_path_factory.mktemp("readers")
    files = folder / "in"
    files.mkdir()
    for plane, seed in {"head": 1001, "abdomen": 1004}.items():
        dataset = ultrasound(draw(plane, seed, SMALL).image, [region(MM, MM)])
        dataset.PatientID, dataset.StudyInstanceUID, dataset.StudyDate = "A", "1.1", "20240201"
        save(dataset, files / f"{plane}.dcm")
    whole = (files / "head.dcm").read_bytes()
    (files / "cut – é.dcm").write_bytes(whole[: len(whole) // 2])
    naming, spacings = Naming(None, False, months=True), Spacings("none")
    job = Job(str(folder / "archive"), "default", "onnx", "auto", spacings, (), naming, "hadlock", "")
    inputs, _ = sweep.inputs([str(files)], job.out)
    summary = sweep.run(job, [str(files)], inputs, _here, lambda _: None)
    assert summary.tally.statuses == {"measured": 2, "error": 1}
    sources = [Source(path) for path in sorted(files.iterdir())]
    assert len(list(measure_files(job.open(), sources, spacings, "auto", folder / "measure", naming=naming))) == 3
    return folder


def _here(job: Job, plan: list[Shard], scratch: Path) -> Iterator[tuple[Shard, str]]:
    """Measure in this process, which starts faster than workers do."""
    with closing(Worker(job)) as worker:
        for shard in plan:
            yield shard, worker.run(shard)


def stated_types() -> list[tuple[str, list[str]]]:
    """The rows of the table of types in docs/archive.md: a type, and the patterns of the columns that have it."""
    text = (ROOT / "docs" / "archive.md").read_text().partition("\n| type |")[2].partition("\n\n")[0]
    table = [line.split("|")[1:3] for line in text.splitlines()[2:]]
    return [(kind.strip(), re.findall(r"`([\w*]+)`", columns)) for kind, columns in table]


def test_the_stated_types_are_those_of_the_files(results):
    stated = stated_types()
    used = set()
    for kind in KINDS:
        (path, *_) = (results / "archive" / kind).glob("*.parquet")
        schema = parquet.read_schema(path)
        assert schema.names == SCHEMAS[kind].names
        for field in schema:
            found = next((t, p) for t, patterns in stated for p in patterns or ["*"] if fnmatchcase(field.name, p))
            assert str(field.type) == TYPES[found[0]], field
            used.add(found)
    assert used == {(t, p) for t, patterns in stated for p in patterns or ["*"]}, "a pattern that is no column's"


def with_pandas(pattern: str) -> list[dict]:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    (path,) = Path(pattern).parent.glob(Path(pattern).name)
    return pandas.read_parquet(path).to_dict("records")


def with_polars(pattern: str) -> list[dict]:
    return pytest.importorskip("polars", reason="Polars is not installed").read_parquet(pattern).to_dicts()


def with_duckdb(pattern: str) -> list[dict]:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    found = duckdb.sql(f"SELECT * FROM read_parquet('{pattern}')")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def plain(value):
    """Arrays as lists, NaN, which pandas has for null, as None."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if (isinstance(value, float) and math.isnan(value)) or value is None or str(value) == "<NA>" else value


READERS = {"pandas": with_pandas, "polars": with_polars, "duckdb": with_duckdb}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_every_value_is_read_as_it_was_written(results, reader, kind):
    written = rows(results / "archive", kind)
    read = READERS[reader](str(results / "archive" / kind / "*.parquet"))
    assert written
    assert [{name: plain(value) for name, value in row.items()} for row in read] == written


@pytest.mark.parametrize("reader", READERS)
def test_the_values_of_measure_are_read_from_its_table(results, reader):
    path = results / "measure" / "measurements.csv"
    module = pytest.importorskip(reader, reason=f"{reader} is not installed")
    if reader == "duckdb":
        found = module.sql(f"SELECT file, hc_mm FROM read_csv('{path}')").fetchall()
    else:
        table = module.read_csv(path)
        found = list(zip(table["file"].to_list(), table["hc_mm"].to_list(), strict=True))
    expected = {row["file"]: row["hc_mm"] for row in json.loads((path.parent / "measurements.json").read_text())}
    assert sum(mm is not None for mm in expected.values()) == 1
    assert {file: plain(mm) and f"{mm:.6g}" for file, mm in found} == {
        file: mm and f"{mm:.6g}" for file, mm in expected.items()
    }
