"""Two evaluations of the same frames side by side."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.evaluation.report import compare
from fetal_jax.evaluation.report.compare import compare_runs, shared
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.geometry import Ellipse
from tests.support.drawn_heads import PREDICTOR, heads
from tests.support.reports import loads_nothing, write_report


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """An evaluation, and one whose circumferences are 2 mm longer; each has a frame that the other lacks."""
    folder, frames = tmp_path_factory.mktemp("evaluations"), heads(12)
    evaluated = list(evaluate_frames(PREDICTOR, frames))
    longer = [replace(r, measured_mm=r.measured_mm + 2, error_mm=r.error_mm + 2) for r in evaluated]
    write_report(folder / "a", frames, evaluated[:11])
    write_report(folder / "b", frames, longer[1:])
    return folder


@pytest.fixture
def two(evaluations, tmp_path):
    """A copy of both, to be changed."""
    return shutil.copytree(evaluations, tmp_path / "two")


def test_two_runs_side_by_side(two, capsys):
    assert main(["evaluate", "--compare", str(two / "a"), str(two / "b"), f"--out={two / 'c'}"]) == 0
    assert "10 frames" in capsys.readouterr().out
    found = json.loads((two / "c" / "comparison.json").read_text())
    assert (found["frames"], found["only_in"]) == (10, [["0.png"], ["11.png"]])
    bias = found["hc_mm"]["bias"]
    assert (bias["difference"], bias["pairs"], bias["p"]) == (pytest.approx(2), 10, 2 / 2**6)  # six subjects
    assert bias["ci"] is None
    assert (found["hc_mm"]["dice"]["difference"], found["hc_mm"]["dice"]["p"]) == (0, 1)
    assert found["plane"]["plane"]["means"] == [1, 1]
    assert found["shared"]["hc_mm"]["apart"] == pytest.approx(2)
    assert found["shared"]["hc_mm"]["correlation"] == pytest.approx(1)
    page = (two / "c" / "comparison.html").read_text()
    loads_nothing(page)
    assert "Only in B: 1: 11.png" in page
    assert "A and B differ by 2.00 mm on average; their errors have a correlation of 1.00" in page
    assert "Not for clinical use" in page


def test_shared_error_of_two_networks():
    rng = np.random.default_rng(0)
    label, a, b = rng.normal(0, [[3], [1], [1]], (3, 20_000))
    found = shared(label + a, label + b)
    assert found["apart"] == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)  # a normal law of SD √2
    assert found["correlation"] == pytest.approx(0.9, abs=0.01)
    assert found["sd"] == pytest.approx(3, rel=0.02)
    assert shared(a, -a)["sd"] is None
    one = np.array([1.0, 2.0, np.nan])
    assert shared(one, one[::-1]) == {"apart": 0, "correlation": None, "sd": None}


def edit(path, frame=1, **cells):
    """Set cells of a frame of a frames.csv, the second."""
    with path.open(newline="") as f:
        rows = list(csv.DictReader(f))
    rows[frame] |= cells
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_value_that_one_lacks_is_in_no_pair_and_counted(two):
    edit(two / "a" / "frames.csv", error_mm="nan", measured_mm="", dice="0.0", failed="True")
    found = compare_runs(two / "a", two / "b", two / "c")["hc_mm"]
    assert (found["mae"]["pairs"], found["mae"]["lacking"]) == (9, [1, 0])
    assert (found["failed"]["pairs"], found["failed"]["means"]) == (10, [0.1, 0])


def test_plane_outside_the_classes_is_in_no_pair(two):
    before = compare_runs(two / "a", two / "b", two / "c")["plane"]["plane"]["pairs"]
    edit(two / "a" / "frames.csv", plane_right="")
    assert compare_runs(two / "a", two / "b", two / "c")["plane"]["plane"]["pairs"] == before - 1


def test_folders_that_do_not_match_are_refused(two):
    with pytest.raises(UserError, match=r"holds no evaluation: .* --workdir=RUN .* --bundle=BUNDLE in place"):
        compare_runs(two / "a", two / "none", two / "c")
    edit(two / "b" / "frames.csv", true_mm="100")
    with pytest.raises(UserError, match=r"2.png is head .* evaluate both on the same data"):
        compare_runs(two / "a", two / "b", two / "c")
    edit(two / "b" / "frames.csv", filename="3.png")
    with pytest.raises(UserError, match="a frame twice"):
        compare_runs(two / "a", two / "b", two / "c")
    (two / "b" / "frames.csv").write_text("filename\nx.png\n")
    with pytest.raises(UserError, match="lacks rows or columns"):
        compare_runs(two / "a", two / "b", two / "c")


def test_pictures_show_the_frames_that_differ_most(two, monkeypatch):
    monkeypatch.setattr(compare, "Split", lambda *_: heads(12))
    edit(two / "a" / "frames.csv", error_mm="30.0", shape_px="100 100 50 40 0.1")
    found = compare_runs(two / "a", two / "b", two / "c")
    assert found["most_different"][0] == "1.png"
    page = (two / "c" / "comparison.html").read_text()
    assert page.count("data:image/jpeg") == 10
    first = page[page.index("<svg") : page.index("</svg>")]
    assert [first.count(f'class="{role}"') for role in ("annotated", "a", "b")] == [1, 1, 1]
    start = Ellipse(100, 100, 50, 40, 0.1).points(180)[0]
    assert f'class="a" points="{start[0]:.1f},{start[1]:.1f} ' in first
    assert "1.png: A +30.00 mm; B" in page
    loads_nothing(page)


def test_page_says_why_there_are_no_pictures(two):
    page = (two / "c" / "comparison.html").read_text() if compare_runs(two / "a", two / "b", two / "c") else ""
    assert "No pictures: " in page
    assert "give --data-dir" in page


def test_numbers_are_printed_too(two, capsys):
    assert main(["evaluate", "--compare", str(two / "a"), str(two / "b"), f"--out={two / 'c'}"]) == 0
    printed = capsys.readouterr().out
    assert "HC  signed error, mm: A " in printed
    assert "B - A +2.000  p 0.031  10 pairs" in printed


def test_failure_within_five_percent_is_no_success(two):
    edit(two / "a" / "frames.csv", failed="True")
    assert compare_runs(two / "a", two / "b", two / "c")["hc_mm"]["within_5_percent"]["means"] == [0.9, 1.0]


def test_failures_are_compared_where_there_is_no_outline(two):
    """As in two evaluations of scanners' reports: a value that is missing has no error, and is a failure."""
    for folder in (two / "a", two / "b"):
        for n in range(11):
            edit(folder / "frames.csv", n, dice="", hausdorff_mm="")
    edit(two / "a" / "frames.csv", error_mm="nan", measured_mm="", failed="True")
    failed = compare_runs(two / "a", two / "b", two / "c")["hc_mm"]["failed"]
    assert (failed["pairs"], failed["means"]) == (10, [0.1, 0])


def test_folder_of_an_older_version_is_still_read(two):
    """Before November 2026 frames.csv ended with `flags`, and metrics.json had no `source`."""
    for folder in (two / "a", two / "b"):
        with (folder / "frames.csv").open(newline="") as f:
            rows = [
                {k: v for k, v in row.items() if k not in ("status", "device", "spacing_mm", "shape_px")}
                for row in csv.DictReader(f)
            ]
        with (folder / "frames.csv").open("w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["source"]
        (folder / "metrics.json").write_text(json.dumps(metrics))
    assert compare_runs(two / "a", two / "b", two / "c")["frames"] == 10
    assert "of an older version: it names no data set" in (two / "c" / "comparison.html").read_text()
