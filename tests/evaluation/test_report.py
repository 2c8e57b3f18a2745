"""The pages: whole, self-contained, and saying what was not measured."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.evaluation.report.compare import compare_runs, shared
from fetal_jax.evaluation.report.cross_dataset import write_matrix
from fetal_jax.evaluation.robustness import measure_robustness
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.summary import summarise
from tests.support.drawn_heads import PREDICTOR, Drawn, heads


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def written(out, frames, rows, **more):
    summary = summarise(rows) | more
    outputs.write(out, "a <title>", summary, rows, frames, f"fetal-jax evaluate --out={out}")
    return (out / "report.html").read_text()


def asks_for_nothing(page):
    """No address, file or script outside the page."""
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'>)\s]{0,5})""", page)
    assert set(links) <= {"data:"}
    assert "<script" not in page
    assert "@import" not in page


def test_a_report_is_whole_and_self_contained(tmp_path):
    frames = heads(10)
    rows = list(evaluate_frames(PREDICTOR, frames))
    page = written(tmp_path, frames, rows, robustness=measure_robustness(PREDICTOR, heads(3)))
    asks_for_nothing(page)
    assert "Not for clinical use" in page
    assert "a &lt;title&gt;" in page
    for part in (
        "Agreement",
        "Gestational age",
        "Planes",
        "Robustness",
        "worst frames",
        "at random",
        frames.fingerprint,
    ):
        assert part in page, part
    assert "@media print" in page
    assert page.count("data:image/jpeg") == 20
    assert page.count("data:image/svg+xml") == 3 + 1 + 9  # agreement, size, flags; reliability; nine changes
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["hc_mm"]["mae"] < 1
    assert saved["command"].startswith("fetal-jax evaluate")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"shape": None, "geometry": "unknown", "truth_mm": {}}, ["overlap: not measured", "Agreement: not measured"]),
        ({"plane": None}, ["no frame of the split has a class", "Planes: not measured"]),
        (
            {"spacing_mm": None, "truth_mm": {}},
            ["Millimetres: not measured", "spacing", "Gestational age: not measured"],
        ),
    ],
)
def test_a_split_that_lacks_something_says_so(tmp_path, spoil, told):
    frames = Drawn(replace(f, **spoil) for f in heads(4))
    page = written(tmp_path, frames, list(evaluate_frames(PREDICTOR, frames)))
    for sentence in [*told, "Intervals: not measured, because", "Robustness: not measured, because"]:
        assert sentence in page
    assert "nan" not in re.sub(r'"data:[^"]*"', "", page).lower().replace("nano", "")


def test_what_is_averaged_over_fewer_frames_says_how_many(tmp_path):
    frames = heads(4)
    frames[0] = replace(frames[0], image=np.zeros_like(frames[0].image))  # nothing to find
    page = written(tmp_path, frames, list(evaluate_frames(PREDICTOR, frames)))
    assert "(1 of 4 lack it)" in page
    assert "no figure" in page


# ------------------------------------------------------------------------------------------------- comparison


@pytest.fixture
def two(tmp_path):
    """An evaluation, and one whose circumferences are 2 mm longer; each has a frame that the other lacks."""
    frames = heads(12)
    rows = list(evaluate_frames(PREDICTOR, frames))
    longer = [replace(r, measured_mm=r.measured_mm + 2, error_mm=r.error_mm + 2) for r in rows]
    written(tmp_path / "a", frames, rows[:11])
    written(tmp_path / "b", frames, longer[1:])
    return tmp_path


def test_two_runs_side_by_side(two, capsys):
    assert main(["evaluate", "--compare", str(two / "a"), str(two / "b"), f"--out={two / 'c'}"]) == 0
    assert "10 frames" in capsys.readouterr().out
    found = json.loads((two / "c" / "comparison.json").read_text())
    assert (found["frames"], found["only_in"]) == (10, [["0.png"], ["11.png"]])
    bias = found["hc_mm"]["bias"]
    assert (bias["difference"], bias["pairs"], bias["p"]) == (pytest.approx(2), 10, 0.02)
    assert bias["ci"] == pytest.approx([2, 2])
    assert (found["hc_mm"]["dice"]["difference"], found["hc_mm"]["dice"]["p"]) == (0, 1)
    assert found["plane"]["plane"]["means"] == [1, 1]
    assert found["shared"]["hc_mm"]["apart"] == pytest.approx(2)
    assert found["shared"]["hc_mm"]["correlation"] == pytest.approx(1)
    page = (two / "c" / "comparison.html").read_text()
    asks_for_nothing(page)
    assert "Only in B: 1: 11.png" in page
    assert "A and B are 2.00 mm from each other on average; their errors correlate by 1.00" in page
    assert "Not for clinical use" in page


def test_what_two_networks_share():
    rng = np.random.default_rng(0)
    label, a, b = rng.normal(0, [[3], [1], [1]], (3, 20_000))
    found = shared(label + a, label + b)
    assert found["apart"] == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)  # a normal law of SD √2
    assert found["correlation"] == pytest.approx(0.9, abs=0.01)
    assert found["sd"] == pytest.approx(3, rel=0.02)
    assert shared(a, -a)["sd"] is None
    one = np.array([1.0, 2.0, np.nan])
    assert shared(one, one[::-1]) == {"apart": 0, "correlation": None, "sd": None}


def edit(path, **cells):
    """Set cells of the second frame of a frames.csv."""
    with path.open(newline="") as f:
        rows = list(csv.DictReader(f))
    rows[1] |= cells
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_figure_that_one_lacks_is_in_no_pair_and_counted(two):
    edit(two / "a" / "frames.csv", error_mm="nan", measured_mm="", dice="0.0", failed="True")
    found = compare_runs(two / "a", two / "b", two / "c")["hc_mm"]
    assert (found["mae"]["pairs"], found["mae"]["lacking"]) == (9, [1, 0])
    assert (found["failed"]["pairs"], found["failed"]["means"]) == (10, [0.1, 0])


def test_a_plane_that_the_network_has_no_class_for_is_not_misnamed(two):
    before = compare_runs(two / "a", two / "b", two / "c")["plane"]["plane"]["pairs"]
    edit(two / "a" / "frames.csv", plane_right="")
    assert compare_runs(two / "a", two / "b", two / "c")["plane"]["plane"]["pairs"] == before - 1


def test_what_cannot_be_compared_is_refused(two):
    with pytest.raises(UserError, match="holds no evaluation"):
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


def test_the_matrix_has_a_row_a_network_and_says_what_is_not_in_it(tmp_path):
    rows = list(evaluate_frames(PREDICTOR, heads(4)))
    cells = {
        "one": {"x/heads": summarise(rows), "y/heads": "trained on y/other"},
        "two": {"x/heads": summarise(rows[:3]), "y/heads": summarise([])},
    }
    write_matrix(tmp_path, cells, {"one": "y/other", "two": "<z>"}, "fetal-jax evaluate")
    page = (tmp_path / "matrix.html").read_text()
    asks_for_nothing(page)
    assert page.count("failed 0 of 4") == 1
    assert "not measured<small class=why>trained on y/other" in page
    assert "&lt;z&gt;" in page
    assert json.loads((tmp_path / "matrix.json").read_text())["cells"]["one"]["y/heads"] == "trained on y/other"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (["--predictions=p.csv", "--dataset=a", "--dataset=b"], "one data set"),
        (["--predictions=p.csv", "--dataset=a", "--robustness"], "--bundle or --workdir"),
        (["--predictions=p.csv", "--dataset=a", "--calibrate"], "one --bundle"),
        (["--bundle=a", "--bundle=b", "--calibrate"], "one --bundle"),
        (["--workdir=a", "--runtime=jax"], "--runtime is of a bundle"),
    ],
)
def test_calls_that_make_no_sense(tmp_path, capsys, call, told):
    assert main(["evaluate", *call, f"--out={tmp_path}"]) == 2
    assert told in capsys.readouterr().err
