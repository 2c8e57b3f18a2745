"""Folds of a training split: which frames a run leaves out, and that no network is judged on what it has seen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_jax.data.decoded import decoded, without_fold
from fetal_jax.data.source import FOLDS, Split, fold_of
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
        left_out = Split("folder/mine", held_out({"recipe": {"data.leave_out": fold}}), data_dir)
        trained = without_fold(frames, fold)
        names = {left_out[i].filename for i in range(len(left_out))}
        assert {frame.filename for frame in trained} == everything - names
        assert not {frame.subject for frame in trained} & left_out.subjects
        assert left_out.fingerprint != train.fingerprint
        tested |= names
    assert tested == everything


@pytest.mark.parametrize("name", ["train/fold5", "train/fold", "train/fold-1", "other/fold0"])
def test_a_fold_that_does_not_exist_is_refused(data_dir, name):
    with pytest.raises(UserError, match="has no split"):
        Split("folder/mine", name, data_dir)


def test_calibration_takes_the_frames_that_each_fold_left_out(data_dir, monkeypatch):
    train = Split("folder/mine", "train", data_dir).fingerprint
    training = {"datasets": {"folder/mine/1.0.0": train}}

    def network(fold, **changes):
        told = training | {"recipe": {"data.leave_out": fold}} | changes
        return replace(PREDICTOR, info=replace(PREDICTOR.info, training=told))

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
