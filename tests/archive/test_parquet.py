"""The schemas: the stated columns, the types of their values, text that is none, and memory that does not grow."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fetal_jax.archive.parquet import FRAMES, ROWS, SCHEMAS, Writer, counts, examination
from fetal_jax.inference.result import FrameResult
from fetal_jax.outputs.examinations import tables
from fetal_jax.outputs.examinations.examination import group
from fetal_jax.outputs.examinations.visits import follow
from fetal_jax.outputs.rows import COLUMNS, result_row
from fetal_jax.outputs.tally import Tally
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import PixelSize, Region
from tests.support import ROOT
from tests.support.examination_rows import sizes, woman


def stated(kind: str) -> set[str]:
    """The columns in the table of docs/archive.md under `kind`; of `a` … `b`, the two that are named."""
    text = (ROOT / "docs" / "archive.md").read_text().partition("### Columns")[2].partition(f"\n`{kind}`:")[2]
    table = text.partition("\n\n|")[2].partition("\n\n")[0]
    cells = [line.split("|")[0 if i == 0 else 1] for i, line in enumerate(table.splitlines())]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_the_page_states_every_column_that_is_not_of_measure(kind):
    of_measure = {FRAMES: COLUMNS, "examinations": tables.COLUMNS}.get(kind, [])
    names = set(SCHEMAS[kind].names)
    said = stated(kind)
    assert said
    assert said <= names
    family = re.compile(r"\w+_(centile|bound|z|best_file|best_frame)")
    assert {n for n in names - set(of_measure) if not family.fullmatch(n)} <= said
    assert set(of_measure) - {"page", "head_best", "abdomen_best", "femur_best"} <= names


def test_types_are_those_of_the_values(tmp_path):
    """Every value of a drawn examination goes into its column as it is: nothing is turned into text."""
    rows = [row | {"overlay": None} for row in woman("a", sizes(24.0, "hadlock"))]
    (pregnancy,) = follow(group(rows))
    row = examination(tables.record(pregnancy, 0))
    with Writer(tmp_path / "x", "examinations") as writer:
        writer.add(row)
    (back,) = parquet.read_table(tmp_path / "x").to_pylist()
    assert {k: v for k, v in back.items() if v is not None} == {
        k: v for k, v in row.items() if v is not None and k in SCHEMAS["examinations"].names
    }
    for name in ("hc_mm", "hc_centile", "hc_z", "ga_weeks", "efw_g"):
        assert isinstance(back[name], float), name
    number = re.compile(r".*(_mm|_weeks|_probability|_confidence|_px)")
    numbers = (pa.float64(), pa.list_(pa.float64()), pa.list_(pa.list_(pa.float64())))
    for field in SCHEMAS[FRAMES]:
        assert (field.type in numbers) == bool(number.fullmatch(field.name)), field


def test_the_row_of_a_frame_with_regions_is_written_as_it_is(tmp_path):
    """A DICOM frame's scale has boxes, and a frame whose header states no box has one that is open on all sides."""
    boxes = ((0.0, 0.0, 64.0, 48.0), (-math.inf, -math.inf, math.inf, math.inf))
    size = PixelSize((0.2, 0.3), "dicom", regions=tuple(Region(box, (0.2, 0.3)) for box in boxes))
    result = FrameResult("refused", "other", 0.9, None, ("it shows no measured plane",))
    row = result_row(Frame(Source(Path("a.dcm")), 0, np.zeros((48, 64), np.uint8), size), size, result)
    assert row["regions_px"] == [[0.0, 0.0, 64.0, 48.0], [None] * 4]
    with Writer(tmp_path / "x", FRAMES) as writer:
        writer.add(row)
    (back,) = parquet.read_table(tmp_path / "x").to_pylist()
    assert {k: v for k, v in back.items() if k in row} == {k: v for k, v in row.items() if k in back}


def test_names_that_are_no_text_are_written_as_measure_writes_them(tmp_path):
    with Writer(tmp_path / "x", FRAMES) as writer:
        writer.add({"file": "a\udcff.png", "frame": 0, "flags": ["no spacing"]})
    (back,) = parquet.read_table(tmp_path / "x").to_pylist()
    assert back["file"] == "a\\udcff.png"
    assert back["flags"] == ["no spacing"]
    assert back["hc_mm"] is None


def test_rows_are_written_as_they_come_and_the_counts_are_beside_them(tmp_path):
    tally = Tally(Counter(measured=2), Counter(why=1), 3, 2, 1)
    with Writer(tmp_path / "x", FRAMES) as writer:
        for number in range(2 * ROWS + 1):
            writer.add({"file": "a", "frame": number})
            assert len(writer._rows) < ROWS
        writer.note(tally, Counter({".txt": 4}))
    assert parquet.ParquetFile(tmp_path / "x").num_row_groups == 3
    assert parquet.read_table(tmp_path / "x")["frame"].to_pylist() == list(range(2 * ROWS + 1))
    with (tmp_path / "x").open("rb") as file:
        assert counts(file) == (tally, Counter({".txt": 4}))
    both = Tally()
    both += tally
    both += tally
    assert vars(both) == vars(Tally(Counter(measured=4), Counter(why=2), 6, 4, 2))
