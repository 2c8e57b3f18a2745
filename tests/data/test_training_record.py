"""The record of the training data in checkpoints and bundles, and of what the weights had seen before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fetal_jax import bundle
from fetal_jax.data.training_record import (
    NOT_RECORDED,
    all_recorded,
    before_mean_of,
    before_run_from,
    seen,
    trained_on,
    training_record,
)

SPLITS = [
    SimpleNamespace(dataset="hc18/benchmark/1.1.0", fingerprint="hc18/benchmark/1.1.0 639 frames b8bd"),
    SimpleNamespace(dataset="folder/mine/1.0.0", fingerprint="folder/mine/1.0.0 13 frames 424d"),
]
EXPECTED = {"hc18/benchmark": SPLITS[0].fingerprint, "folder/mine": SPLITS[1].fingerprint}


def test_record_gives_the_fingerprint_of_each_data_set():
    assert trained_on(training_record(SPLITS)) == EXPECTED
    assert list(trained_on(training_record(SPLITS[::-1]))) == ["folder/mine", "hc18/benchmark"]


def test_records_of_earlier_versions_are_read():
    text = {key: value for key, value in training_record(SPLITS).items() if key != "datasets"}
    assert trained_on(text) == EXPECTED
    assert trained_on({"dataset": text["dataset"]}) == dict.fromkeys(EXPECTED, "")


def test_shipped_bundles_state_their_data_sets():
    trained = trained_on(bundle.read(bundle.find("default")).training)
    assert list(trained) == ["hc18/benchmark", "fetal_planes/outlines", "fetal_phantom/large", "folder/sononet"]
    assert all(" frames " in fingerprint for fingerprint in trained.values())


def record(name, fingerprint="1", leave_out=-1, **more):
    """As a bundle has it."""
    return {"datasets": {f"{name}/1.0.0": fingerprint}, "recipe": {"data.leave_out": leave_out}, **more}


def test_a_run_keeps_what_its_start_and_the_start_of_that_had_seen():
    first = record("hc18/benchmark", before=[])
    second = record("folder/mine", leave_out=2, before=before_run_from(first))
    third = record("folder/mine", "2", before=before_run_from(second))
    assert third["before"] == [
        {"datasets": {"hc18/benchmark/1.0.0": "1"}, "leave_out": -1},
        {"datasets": {"folder/mine/1.0.0": "1"}, "leave_out": 2},
    ]
    assert seen(third) == {"folder/mine": ["2", "1"], "hc18/benchmark": ["1"]}
    assert trained_on(third) == {"folder/mine": "2"}
    assert all_recorded(third)


def test_what_an_older_record_does_not_say_is_not_known():
    old = {"dataset": "hc18/benchmark/1.1.0"}
    tuned = record("folder/mine", before=before_run_from(old))
    assert [seen(old), seen(tuned)] == [{"hc18/benchmark": []}, {"folder/mine": ["1"], "hc18/benchmark": []}]
    assert not all_recorded(old)
    assert not all_recorded(tuned)
    assert all_recorded(old | {"before": []})


def test_the_mean_of_networks_has_seen_what_any_of_them_has():
    starts = [record("hc18/benchmark", leave_out=fold, before=[]) for fold in (0, 0, 1)]
    mean = before_mean_of(map(before_run_from, starts))
    assert [each["leave_out"] for each in mean] == [0, 1]
    assert NOT_RECORDED in before_mean_of([mean, [NOT_RECORDED]])


@pytest.mark.parametrize("name", ["default", "heads"])
def test_shipped_bundles_say_what_they_started_from(name):
    assert all_recorded(bundle.read(bundle.find(name)).training)
