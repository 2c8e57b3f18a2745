"""A network that started from another one is tested as one that has seen what that one was trained on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fetal_jax.cli import evaluation
from fetal_jax.data.source import Split
from fetal_jax.data.training_record import before_run_from
from fetal_jax.errors import UserError
from fetal_jax.evaluation.splits import START_NOT_RECORDED, Unseen
from fetal_jax.evaluation.statistics import bootstrap, calibration
from tests.builders.own_folder import prepare
from tests.support.command import called, refused
from tests.support.drawn_heads import PREDICTOR
from tests.support.folders import draw_folder

EXTERNAL = "External test: the network was trained on no data set of this name"
INTERNAL = "Internal test: the network was trained"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two data sets with every split, and one whose every frame is for training."""
    place = tmp_path_factory.mktemp("own")
    for name, frames in (("mine", 12), ("theirs", 15)):  # as many frames would be the same ones
        draw_folder(place / name, frames=frames)
        prepare(place / name, place / "data", f"folder/{name}")
    table = place / "mine" / "frames.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},split", *(f"{line},train" for line in lines[1:])]) + "\n")
    prepare(place / "mine", place / "data", "folder/train_only", allow_partial=True)
    return place / "data"


@pytest.fixture
def evaluate(data_dir, tmp_path, monkeypatch):
    """Evaluate a network with a record; the run and what its page says."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 20)

    def run(training, *arguments):
        network = replace(PREDICTOR, info=replace(PREDICTOR.info, training=training))
        monkeypatch.setattr(evaluation.Predictor, "from_bundle", lambda *_: network)
        done = called("evaluate", "--bundle=b", f"--data-dir={data_dir}", f"--out={tmp_path / 'out'}", *arguments)
        page = tmp_path / "out" / "report.html"
        return done, page.read_text() if page.exists() else ""

    return run


def record(data_dir, name, leave_out=-1, **more):
    datasets = {f"folder/{name}/1.0.0": Split(f"folder/{name}", "train", data_dir).fingerprint}
    return {"datasets": datasets, "recipe": {"data.leave_out": leave_out}, **more}


def test_a_data_set_that_only_the_start_was_trained_on_is_internal(evaluate, data_dir):
    start = record(data_dir, "theirs", before=[])
    tuned = record(data_dir, "mine", before=before_run_from(start))
    done, page = evaluate(tuned, "--dataset=folder/theirs")
    assert done.returncode == 0, done.stderr
    assert INTERNAL in page
    assert EXTERNAL not in page
    assert "its start was trained on" in page
    assert "0: the builder divides frames by subject" in page  # of the start's training split
    _, page = evaluate(record(data_dir, "mine", before=[]), "--dataset=folder/theirs")
    assert EXTERNAL in page


CANNOT_BE_TOLD = "These frames are not new to the network, or it cannot be told whether they are"


def test_a_data_set_that_was_split_anew_is_not_said_to_be_new(evaluate, data_dir):
    """Its test frames may have been trained on; the name is the same."""
    old = {"datasets": {"folder/mine/1.0.0": "folder/mine/1.0.0 7 frames 0123456789ab"}, "before": []}
    done, page = evaluate(old, "--dataset=folder/mine")
    assert "frames may have changed splits" in done.stdout
    assert CANNOT_BE_TOLD in page
    assert INTERNAL not in page
    assert EXTERNAL not in page


def test_without_a_fingerprint_it_cannot_be_told_whether_frames_are_new(evaluate):
    done, page = evaluate({"datasets": {"folder/mine/1.0.0": ""}, "before": []}, "--dataset=folder/mine")
    assert "no fingerprint of folder/mine is recorded" in done.stdout
    assert CANNOT_BE_TOLD in page


def test_the_data_set_of_the_training_under_another_name_is_not_external(evaluate, data_dir):
    renamed = Split("folder/theirs", "train", data_dir).fingerprint_as("folder/before/1.0.0")
    training = {"datasets": {"folder/before/1.0.0": renamed}, "before": []}
    done, page = evaluate(training, "--dataset=folder/theirs")
    assert f"the split train of folder/theirs is what it was trained on, as {renamed}" in done.stdout
    assert INTERNAL in page
    done, page = evaluate(training, "--dataset=folder/theirs", "--split=train")
    assert CANNOT_BE_TOLD in page


def test_a_test_on_the_training_split_is_not_said_to_be_of_other_frames(evaluate, data_dir):
    done, page = evaluate(record(data_dir, "mine", before=[]), "--split=train")
    assert "train of folder/mine is what it was trained on" in done.stdout
    assert INTERNAL not in page


def test_another_configuration_than_the_starts_is_refused(evaluate, data_dir):
    start = {"datasets": {"hc18/benchmark/1.1.0": ""}, "before": []}
    tuned = record(data_dir, "mine", before=before_run_from(start))
    done, _ = evaluate(tuned, "--dataset=hc18/examinations")
    refused(done, "trained on hc18/benchmark", "give --dataset=hc18/benchmark")


def test_a_fold_that_the_start_was_trained_on_is_no_held_out_split(evaluate, data_dir):
    whole = before_run_from(record(data_dir, "mine", before=[]))
    done, _ = evaluate(record(data_dir, "mine", 0, before=whole), "--split=held-out")
    refused(done, "left fold 0 out", "trained on folder/mine with that fold")
    same_fold = before_run_from(record(data_dir, "mine", 0, before=[]))
    done, page = evaluate(record(data_dir, "mine", 0, before=same_fold), "--split=held-out")
    assert done.returncode == 0, done.stderr
    assert "train/fold0, which the run left out" in page


def test_a_start_that_is_not_recorded_is_said_where_it_matters(evaluate, data_dir):
    old = record(data_dir, "mine", 0)  # no `before`: of an older version
    done, page = evaluate(old, "--dataset=folder/theirs")
    assert START_NOT_RECORDED in done.stdout
    assert "it cannot be said whether this test is external" in page
    done, page = evaluate(old, "--split=held-out")
    assert START_NOT_RECORDED in done.stdout
    done, page = evaluate(old)
    assert done.returncode == 0, done.stderr
    assert START_NOT_RECORDED not in done.stdout + page
    assert INTERNAL in page


def test_the_table_of_several_networks_names_what_the_start_was_trained_on(evaluate, data_dir, tmp_path):
    tuned = record(data_dir, "mine", before=before_run_from(record(data_dir, "theirs", before=[])))
    done, _ = evaluate(tuned, "--bundle=c", "--bundle=d")
    assert done.returncode == 0, done.stderr
    trained = json.loads((tmp_path / "out" / "matrix.json").read_text())["trained"]
    assert set(trained.values()) == {"folder/mine, folder/theirs"}


def both(data_dir, first, second, **more):
    """The record of a network that was trained on two data sets."""
    own, other = record(data_dir, first, **more), record(data_dir, second)
    return own | {"datasets": own["datasets"] | other["datasets"]}


def test_data_sets_of_the_network_without_the_split_are_left_out_and_named(evaluate, data_dir, tmp_path):
    training = both(data_dir, "mine", "train_only", before=[])
    done, page = evaluate(training)
    assert done.returncode == 0, done.stderr
    assert "folder/train_only has no split test: it is left out" in done.stdout
    assert "on folder/mine/1.0.0, test" in page
    done, _ = evaluate(training, "--bundle=c")
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "out" / "matrix.json").read_text())["cells"]
    assert [list(row) for row in cells.values()] == [["folder/mine"]] * 2
    refused(evaluate(training, "--split=tests")[0], "has no split tests; it has")


def no_work(*_):
    raise AssertionError("a frame was measured")


@pytest.mark.parametrize("more", [(), ("--calibrate",)])
def test_a_split_that_was_asked_for_is_opened_before_the_work(evaluate, data_dir, monkeypatch, more):
    for module in (evaluation, calibration):
        monkeypatch.setattr(module, "evaluate_frames", no_work)
    asked = ("--dataset=folder/mine", "--dataset=folder/train_only", *more)
    refused(evaluate(record(data_dir, "mine", before=[]), *asked)[0], "folder/train_only has no split test")


def test_a_data_set_of_the_network_that_is_not_prepared_is_refused_before_the_work(evaluate, data_dir, monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate_frames", no_work)
    training = record(data_dir, "mine", before=[])
    training["datasets"] |= {"folder/gone/1.0.0": ""}
    refused(evaluate(training)[0], "run fetal-jax prepare folder/gone")


def test_data_sets_without_a_calibration_split_do_not_calibrate(evaluate, data_dir, monkeypatch):
    monkeypatch.setattr(calibration, "evaluate_frames", no_work)
    opened = []

    def unseen(_, __, dataset, ___):
        opened.append(dataset)
        return [Unseen(dataset, PREDICTOR, [], "")]

    monkeypatch.setattr(evaluation, "unseen", unseen)
    done, _ = evaluate(both(data_dir, "mine", "train_only", before=[]), "--calibrate")
    assert "folder/train_only has no split calibration: it is left out" in done.stdout
    assert "a frame was measured" in done.stderr
    assert opened == ["folder/mine"]


def test_with_many_networks_a_fold_that_a_start_has_seen_is_a_reason_in_its_cell(data_dir):
    start = record(data_dir, "mine", before=[])
    tuned = record(data_dir, "mine", leave_out=0, before=before_run_from(start))
    network = evaluation.Network("tuned", PREDICTOR, tuned, str(data_dir), [])
    with pytest.raises(UserError) as refusal:
        evaluation._frames(network, "folder/mine", many=False, split="held-out")
    assert evaluation._frames(network, "folder/mine", many=True, split="held-out") == str(refusal.value)


def test_a_fold_without_a_subject_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr(evaluation, "Split", lambda *_: [])
    network = evaluation.Network("own", PREDICTOR, record(data_dir, "mine", before=[]), str(data_dir), [])
    with pytest.raises(UserError, match="train/fold4 of folder/mine has no frame: a fold is every fifth subject"):
        evaluation._frames(network, "folder/mine", many=False, split="train/fold4")
