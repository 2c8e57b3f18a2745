"""The report: whole, self-contained, and stating what was not measured."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.cli.evaluation import table
from fetal_jax.cli.main import main
from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.evaluation.report import checklist
from fetal_jax.evaluation.report.cross_dataset import write_cross_dataset
from fetal_jax.evaluation.robustness import measure_robustness
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.summary import summarise
from tests.support.drawn_heads import PREDICTOR, Drawn, heads
from tests.support.reports import loads_nothing, write_report


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def test_report_is_complete_and_self_contained(tmp_path):
    frames = heads(10)
    rows = list(evaluate_frames(PREDICTOR, frames))
    page = write_report(tmp_path, frames, rows, robustness=measure_robustness(PREDICTOR, heads(3)))
    loads_nothing(page)
    assert "Not for clinical use" in page
    assert "a &lt;title&gt;" in page
    for part in (
        "Agreement",
        "Gestational age",
        "Planes",
        "Robustness",
        "Worst frames",
        "Frames at random",
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
    ("spoil", "messages"),
    [
        ({"shape": None, "geometry": "unknown", "truth_mm": {}}, ["overlap: not measured", "Agreement: not measured"]),
        ({"plane": None}, ["no frame of the split has a class", "Planes: not measured"]),
        (
            {"spacing_mm": None, "truth_mm": {}},
            ["Millimetres: not measured", "spacing", "Gestational age: not measured"],
        ),
    ],
)
def test_report_says_what_the_split_lacks(tmp_path, spoil, messages):
    frames = Drawn(replace(f, **spoil) for f in heads(4))
    page = write_report(tmp_path, frames, list(evaluate_frames(PREDICTOR, frames)))
    for sentence in [*messages, "Intervals: not measured, because", "Robustness: not measured; give --robustness"]:
        assert sentence in page
    assert "nan" not in re.sub(r'"data:[^"]*"', "", page).lower().replace("nano", "")


def test_cell_says_how_many_frames_lack_the_value(tmp_path):
    frames = heads(4)
    frames[0] = replace(frames[0], image=np.zeros_like(frames[0].image))  # nothing to find
    page = write_report(tmp_path, frames, list(evaluate_frames(PREDICTOR, frames)))
    assert "(1 of 4 lack it)" in page
    assert "no measurement" in page


def test_means_over_few_frames_say_so_on_the_page_and_in_the_terminal(tmp_path):
    """Of four heads one shows nothing, and one has no length in millimetres."""
    frames = heads(4)
    frames[0] = replace(frames[0], image=np.zeros_like(frames[0].image))
    frames[1] = replace(frames[1], spacing_mm=None, truth_mm={})
    rows = list(evaluate_frames(PREDICTOR, frames))
    assert "%) on average over 2 of 4 frames, no interval" in write_report(tmp_path, frames, rows)
    assert " mm over 2 of 4 frames  Dice" in table(summarise(rows))[0]
    assert " over " not in table(summarise(rows[2:]))[0]


def test_cross_dataset_table_has_a_row_for_each_network(tmp_path):
    rows = list(evaluate_frames(PREDICTOR, heads(4)))
    cells = {
        "one": {"x/heads": summarise(rows), "y/heads": "trained on y/other"},
        "two": {"x/heads": summarise(rows[:3]), "y/heads": summarise([])},
    }
    write_cross_dataset(tmp_path.joinpath, cells, {"one": "y/other", "two": "<z>"}, "fetal-jax evaluate")
    page = (tmp_path / "matrix.html").read_text()
    loads_nothing(page)
    assert page.count("failed 0 of 4") == 1
    assert "not measured<small>trained on y/other" in page
    assert "&lt;z&gt;" in page
    assert json.loads((tmp_path / "matrix.json").read_text())["cells"]["one"]["y/heads"] == "trained on y/other"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["--predictions=p.csv", "--dataset=a", "--dataset=b"], "one data set"),
        (["--predictions=p.csv", "--dataset=a", "--robustness"], "--bundle or --workdir"),
        (["--predictions=p.csv", "--dataset=a", "--calibrate"], "one --bundle"),
        (["--bundle=a", "--bundle=b", "--calibrate"], "one --bundle"),
        (["--workdir=a", "--runtime=jax"], "--runtime needs a bundle"),
        (["--workdir=a", "--fold=heads"], "give both"),
    ],
)
def test_contradictory_flags_are_refused(tmp_path, capsys, call, message):
    assert main(["evaluate", *call, f"--out={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


def page_of(tmp_path, frames):
    return write_report(tmp_path, frames, list(evaluate_frames(PREDICTOR, frames)))


def test_script_in_a_file_name_is_shown_as_text(tmp_path):
    frames = heads(2)
    evil = '"><script>alert(1)</script>.png'
    frames[0] = replace(frames[0], filename=evil, device="<b onclick=alert(1)>")
    page = page_of(tmp_path, frames)
    loads_nothing(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.png" in page
    assert "&lt;b onclick" in page
    assert "<b onclick" not in page


def test_policy_allows_the_style_sheet_of_the_page(tmp_path):
    page = page_of(tmp_path, heads(2))
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{digest}" in page


def test_annotated_and_measured_outlines_differ_by_line_style(tmp_path):
    page = page_of(tmp_path, heads(2))
    assert page.count('<polyline class="annotated"') == page.count('<polyline class="measured"') == 4
    assert re.search(r"\.annotated \{ stroke-dasharray", page)
    assert page.count('<input type="checkbox" aria-label="enlarge">') == 4


def test_summary_is_five_lines(tmp_path):
    page = page_of(tmp_path, heads(6))
    lines = re.findall("<li>(.*)</li>", page)
    assert len(lines) == 5
    assert lines[0].startswith("6 frames of 3 subjects; 6 compared with an annotation, 6 of them in millimetres")
    assert "no interval (fewer than 20 subjects)" in lines[1]
    assert " over " not in lines[1]
    assert "cannot be said" in lines[3]  # nothing is known of the training data


def test_checklists_name_every_item_once_and_what_is_not_done(tmp_path):
    assert [item for item, *_ in checklist.CLAIM] == [str(i) for i in range(1, 45)]
    main_items = list(dict.fromkeys(re.sub("[a-g]$", "", item) for item, *_ in checklist.TRIPOD_AI))
    assert main_items == [str(i) for i in range(1, 28)]
    assert len({item for item, *_ in checklist.TRIPOD_AI}) == len(checklist.TRIPOD_AI) == 52
    answers = {item: where for item, _, where in checklist.answered(checklist.CLAIM, {checklist.FLOW})}
    assert answers["35"] == checklist.FLOW
    assert answers["30"] == answers["33"] == answers["44"] == "not done"
    page = page_of(tmp_path, heads(4))
    assert 'robustness</td><td class="text">not done' in page
    assert 'analysis of failures</td><td class="text">Worst frames' in page


@pytest.mark.parametrize(
    ("flag", "message"), [("HC", "not a margin"), ("BPD=3", "not a margin"), ("AC=-1", "not a margin")]
)
def test_margin_that_is_none_is_refused(tmp_path, capsys, flag, message):
    assert main(["evaluate", "--bundle=heads", f"--margin={flag}", f"--out={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
