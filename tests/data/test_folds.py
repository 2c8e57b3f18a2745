"""Folds of a training split: which frames a run leaves out, and that no network is judged on what it has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.data.decoded import decoded, without_fold
from fetal_jax.data.source import FOLDS, Split, fold_of
from fetal_jax.data.training_record import before_run_from
from fetal_jax.errors import UserError
from fetal_jax.evaluation import splits
from fetal_jax.evaluation.splits import held_out
from tests.builders.own_folder import prepare
from tests.support.drawn_heads import PREDICTOR
from tests.support.folders import draw_folder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    home = tmp_path_factory.mktemp("own") / "mine"
    draw_folder(home)
    prepare(home, home.parent / "data")
    return home.parent / "data"


def told(datasets, fold, before=()):
    """The record of a network that left a fold out, and of what came before."""
    names = {f"{name}/1.0.0": fingerprint for name, fingerprint in datasets.items()}
    return {"datasets": names, "recipe": {"data.leave_out": fold}, "before": list(before)}


@given(st.lists(st.text("ab12", min_size=1, max_size=3), min_size=1))
def test_every_frame_is_in_one_fold_and_so_is_every_subject(subjects):
    folds = [fold_of(subjects, fold) for fold in range(FOLDS)]
    assert [sum(member) for member in zip(*folds, strict=True)] == [1] * len(subjects)
    for subject in set(subjects):
        assert (
            len({i for i, own in enumerate(folds) for s, o in zip(subjects, own, strict=True) if o and s == subject})
            == 1
        )
    sizes = [len({s for s, o in zip(subjects, own, strict=True) if o}) for own in folds]
    assert max(sizes) - min(sizes) <= 1


def test_a_run_trains_on_all_but_the_fold_that_is_its_held_out_split(data_dir):
    train = Split("folder/mine", "train", data_dir)
    frames = decoded(train)
    assert without_fold(frames, -1) is frames
    everything = {frame.filename for frame in frames}
    tested = set()
    for fold in range(FOLDS):
        left_out = Split("folder/mine", held_out(told({"folder/mine": ""}, fold), "folder/mine"), data_dir)
        trained = without_fold(frames, fold)
        names = {left_out[i].filename for i in range(len(left_out))}
        assert {frame.filename for frame in trained} == everything - names
        assert not {frame.subject for frame in trained} & left_out.subjects
        assert left_out.fingerprint != train.fingerprint
        tested |= names
    assert tested == everything


def test_a_fold_that_leaves_no_subject_to_train_on_is_refused():
    class OneSubject(list):
        folder = Path("data/mine/1.0.0/decoded")

    frames = OneSubject([SimpleNamespace(subject="w1")] * 3)
    with pytest.raises(UserError, match=r"mine/1.0.0: config.data.leave_out=0 leaves no subject to train on"):
        without_fold(frames, 0)
    assert len(without_fold(frames, 1)) == 3


@pytest.mark.parametrize("name", ["train/fold5", "train/fold", "train/fold-1", "other/fold0"])
def test_a_fold_that_does_not_exist_is_refused(data_dir, name):
    with pytest.raises(UserError, match="has no split"):
        Split("folder/mine", name, data_dir)


def test_calibration_takes_the_frames_that_each_fold_left_out(data_dir, monkeypatch):
    train = Split("folder/mine", "train", data_dir).fingerprint

    def network(fold, **changes):
        training = told({"folder/mine": train}, fold) | changes
        return replace(PREDICTOR, info=replace(PREDICTOR.info, training=training))

    whole, folds = network(-1), [network(0), network(3)]
    monkeypatch.setattr(splits, "splits", lambda *_: ("train", "test"))
    found = splits.unseen(whole, folds, "folder/mine", str(data_dir))
    assert [(part.predictor, part.frames.name) for part in found] == [
        (folds[0], "train/fold0"),
        (folds[1], "train/fold3"),
    ]
    assert {part.data for part in found} == {f"{train}, out of fold"}
    with pytest.raises(UserError, match="left no fold out"):
        splits.unseen(whole, [network(-1)], "folder/mine", str(data_dir))
    other = network(0, datasets={"folder/mine/1.0.0": "folder/mine/1.0.0 3 frames 00"})
    with pytest.raises(UserError, match="frames may have changed"):
        splits.unseen(whole, [other], "folder/mine", str(data_dir))
    monkeypatch.setattr(splits, "splits", lambda *_: ("train", "calibration"))
    calibration_split = SimpleNamespace(subjects=range(splits.ENOUGH), fingerprint="mine/1.0.0 9 frames 00")
    opened = {"calibration": calibration_split}
    monkeypatch.setattr(
        splits, "Split", lambda _, split, __: opened.get(split) or SimpleNamespace(name=split, fingerprint=train)
    )
    (own,) = splits.unseen(whole, folds, "folder/mine", str(data_dir))
    assert (own.predictor, own.frames) == (whole, calibration_split)
    calibration_split.subjects = range(splits.ENOUGH - 1)
    found = splits.unseen(whole, folds, "folder/mine", str(data_dir))
    assert [part.frames.name for part in found] == ["train/fold0", "train/fold3"]
    (own,) = splits.unseen(whole, [], "folder/mine", str(data_dir))
    assert own.frames == calibration_split


def test_a_fold_that_the_start_has_seen_is_not_held_out():
    whole = before_run_from(told({"hc18/benchmark": "", "fetal_phantom/large": ""}, -1))
    tuned = told({"hc18/benchmark": ""}, 0, whole)
    with pytest.raises(UserError, match="left fold 0 out, but the weights that it started from were trained on hc18"):
        held_out(tuned, "hc18/benchmark")
    assert held_out(tuned, "folder/mine") == "train/fold0"
    other_fold = told({"hc18/benchmark": ""}, 0, before_run_from(told({"hc18/benchmark": ""}, 1)))
    with pytest.raises(UserError, match="start from a bundle that left it out too"):
        held_out(other_fold, "hc18/benchmark")


def test_the_folds_of_make_unified_are_held_out():
    """The start has seen synthetic frames alone, and each later part leaves the same fold out (Makefile)."""
    start = told({"fetal_phantom/large": "", "folder/sononet": ""}, -1)
    whole = told({"hc18/benchmark": "", "fetal_phantom/large": ""}, 3, before_run_from(start))
    fold = told({"hc18/benchmark": "", "fetal_phantom/large": ""}, 3, before_run_from(whole))
    assert held_out(fold, "hc18/benchmark") == "train/fold3"
    with pytest.raises(UserError, match="trained on fetal_phantom/large"):
        held_out(fold, "fetal_phantom/large")


def test_no_fold_is_calibrated_on_that_has_seen_another_configuration_before():
    start = before_run_from(told({"hc18/examinations": ""}, -1))
    training = told({"hc18/benchmark": ""}, 0, start)
    fold = replace(PREDICTOR, info=replace(PREDICTOR.info, training=training))
    whole = replace(PREDICTOR, info=replace(PREDICTOR.info, training=told({"hc18/benchmark": ""}, -1)))
    with pytest.raises(UserError, match=r"trained on hc18/examinations: .* its splits overlap"):
        splits.unseen(whole, [fold], "hc18/benchmark", "nowhere")


def test_frames_that_changed_since_the_start_was_trained_are_named(data_dir):
    now = Split("folder/mine", "train", data_dir).fingerprint
    start = before_run_from(told({"folder/mine": "folder/mine/1.0.0 3 frames 00"}, -1))
    changed = splits.changed_training(told({"folder/mine": now}, -1, start), "folder/mine", str(data_dir))
    assert "trained on folder/mine/1.0.0 3 frames 00, but" in changed
    assert splits.changed_training(told({"folder/mine": now}, -1), "folder/mine", str(data_dir)) == ""
