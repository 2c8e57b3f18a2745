"""The folder of an evaluation: whole files, one writer, nobody else's files."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from fetal_jax import bundle, files
from fetal_jax.cli import evaluation
from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.frames import evaluate_frames
from fetal_jax.evaluation.report.report import Origin
from fetal_jax.evaluation.statistics import bootstrap
from fetal_jax.evaluation.summary import summarise
from fetal_jax.files import OwnFiles
from tests.support.drawn_heads import PREDICTOR, heads

THREE = {outputs.METRICS, outputs.FRAMES, outputs.REPORT}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def evaluate(out, count=2):
    frames = heads(count)
    rows = list(evaluate_frames(PREDICTOR, frames))
    with outputs.claiming(out) as claim:
        outputs.write(claim, summarise(rows), rows, frames, Origin("a title", "a command"))


@pytest.mark.parametrize("name", sorted(THREE))
def test_file_of_somebody_else_stays(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"{name} was not written by this program"):
        evaluate(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert THREE & {p.name for p in tmp_path.iterdir()} == {name}


def test_report_of_measure_stays(tmp_path):
    """Both commands call their page report.html."""
    OwnFiles(tmp_path).claim("report.html").write_text("of measure")
    with pytest.raises(UserError, match="or by another of its commands"):
        evaluate(tmp_path)
    assert (tmp_path / "report.html").read_text() == "of measure"


def test_evaluation_replaces_the_one_before(tmp_path):
    evaluate(tmp_path, 2)
    evaluate(tmp_path, 3)
    assert outputs.read(tmp_path)[0]["frames"] == 3


def test_second_process_is_refused(tmp_path):
    with outputs.claiming(tmp_path) as claim:
        claim("a.txt")
        with pytest.raises(UserError, match="another process is writing"):
            evaluate(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (["--bundle=default", "--dataset=none"], "none: no such data set"),
        (["--bundle=default", "--dataset=none", "--calibrate"], "none: no such data set"),
        (["--workdir=none"], "none is not a run"),
        (["--compare", "a", "b"], "a holds no evaluation"),
        (["--predictions=none.csv", "--dataset=heads"], "none.csv does not exist"),
        (["--results=none", "--scanner-reports=none"], "none holds neither"),
    ],
)
def test_a_refused_call_leaves_no_folder(tmp_path, monkeypatch, capsys, source, message):
    monkeypatch.chdir(tmp_path)
    if "--dataset=heads" in source:
        monkeypatch.setattr(evaluation, "Split", lambda *_: heads(2))
    assert main(["evaluate", *source, "--out=out"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_calibration_that_may_not_use_its_frames_leaves_no_folder(tmp_path, monkeypatch):
    def unseen(*_):
        raise UserError("a fold was trained on other frames")

    monkeypatch.setattr(evaluation, "unseen", unseen)
    call = {"bundle": [bundle.find("default")], "runtime": "onnx", "dataset": ["heads"], "data_dir": None, "fold": None}
    with outputs.claiming(tmp_path / "out") as claim, pytest.raises(UserError, match="a fold was"):
        evaluation.calibrate(Namespace(**call), claim, ["heads"], "data")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("written", [0, 1, 2])
def test_evaluation_that_is_killed_leaves_no_mixture(tmp_path, monkeypatch, written):
    evaluate(tmp_path, 2)
    replace, done = files.os.replace, []

    def killed(draft, path):
        if path.name in THREE:
            if len(done) == written:
                raise KeyboardInterrupt
            done.append(path.name)
        replace(draft, path)

    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, 3)
    monkeypatch.undo()
    assert len(done) == written
    with pytest.raises(UserError, match="holds no evaluation"):
        outputs.read(tmp_path)
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)
    evaluate(tmp_path, 3)
    summary, rows = outputs.read(tmp_path)
    assert summary["frames"] == len(rows) == 3
    assert json.loads((tmp_path / outputs.METRICS).read_text())["command"] == "a command"
