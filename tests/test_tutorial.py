"""docs/tutorial.ipynb runs from a fresh clone, cell by cell, without Jupyter."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())
SHELL = "import subprocess as _subprocess"


def source(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def as_python(line: str) -> str:
    """A line of the notebook; `!fetal-jax ...` becomes a process that must succeed, as it is typed in a terminal."""
    if not line.startswith("!"):
        return line
    program, *arguments = shlex.split(line.removeprefix("!"))
    assert program == "fetal-jax"
    return f"_subprocess.run({[sys.executable, '-m', 'fetal_jax', *arguments]!r}, check=True)"


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which all code cells were run, in one process of their own, and what they printed."""
    place = tmp_path_factory.mktemp("tutorial")
    lines = [as_python(line) for cell in source("code") for line in cell.splitlines()]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([SHELL, *lines])],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return place / "tutorial", done.stdout


@pytest.mark.slow
def test_frames_become_an_examination(ran):
    place, printed = ran
    with (place / "measured" / "measurements.csv").open() as file:
        rows = {row["file"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert {name: row["examination"] for name, row in rows.items()} == dict.fromkeys(
        ("head.png", "abdomen.png", "femur.png"), "E1"
    )
    assert float(rows["head.png"]["hc_mm"]) == pytest.approx(255.5, rel=0.05)
    assert len(list((place / "measured" / "examinations").glob("*.html"))) == 1
    assert "refused None - no spacing" in printed


@pytest.mark.slow
def test_chart_and_refused_weight(ran):
    place, printed = ran
    assert (place / "chart.png").read_bytes()[:4] == b"\x89PNG"
    assert re.search(r"HC 255\.5 mm at 28w0d: centile \d", printed)
    assert re.search(r"refused: .*hadlock3", printed)


@pytest.mark.slow
def test_bundle_is_evaluated_on_own_data(ran):
    place, _ = ran
    metrics = json.loads((place / "report" / "metrics.json").read_text())
    assert metrics["flow"]["frames"] == 28
    assert metrics["flow"]["compared"] == 21
    assert metrics["source"]["dataset"] == "folder/tutorial/1.0.0"
    assert (place / "report" / "report.html").stat().st_size > 50_000


def test_no_outputs_are_committed_and_links_lead_somewhere():
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    text = "\n".join(source("markdown"))
    assert "Not for clinical use" in text
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / target).is_file(), target
