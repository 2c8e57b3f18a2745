"""The record of the training data in checkpoints and bundles."""

from __future__ import annotations

from types import SimpleNamespace

from fetal_jax import bundle
from fetal_jax.data.source import trained_on, training_record

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
