"""Paths in a bucket: a run starts from them, and commands that need a disk refuse them."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from etils.epath import backend
from fsspec.implementations.local import LocalFileSystem

from fetal_jax import bundle
from fetal_jax.cli import prepare
from fetal_jax.cli.demo import call
from fetal_jax.config import load
from fetal_jax.errors import UserError
from fetal_jax.files import absolute, in_bucket
from fetal_jax.model import unet
from fetal_jax.training import start


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Path:
    """A folder that etils reads as gs://bucket."""
    folder = tmp_path / "bucket"
    folder.mkdir()

    class Emulated(LocalFileSystem):
        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(str(path).replace("gs://bucket", str(folder)))

    monkeypatch.setattr(type(backend.fsspec_backend), "fs", lambda *_: Emulated())
    return folder


def test_a_run_starts_from_a_bundle_in_a_bucket(bucket):
    shutil.copytree(bundle.DEFAULT, bucket / "mine")
    config = load("close_ups", ["--config.init.bundle=gs://bucket/mine"])
    network = unet.from_config(config.model, len(config.planes))
    frames = np.zeros((1, *config.input_shape, 1), np.uint8)
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), frames)["params"])
    start.check_start(config)
    params, licence, before = start.start_parameters(config, like, [])
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, like)
    assert "HC18" in licence
    assert before


def test_a_run_starts_from_sononet_in_a_bucket(bucket):
    config = load("unified", ["--config.init.sononet=gs://bucket/SonoNet16.npz"])
    with pytest.raises(UserError, match=r"gs://bucket/SonoNet16\.npz, SonoNet16\.npz, cannot be read"):
        start.check_start(config)
    np.savez(bucket / "SonoNet16.npz", *[np.ones((1, 1, 1, 1) if i % 5 == 0 else 1) for i in range(75)])
    start.check_start(config)


def test_a_start_that_is_not_in_the_bucket_is_refused_with_its_place(bucket):
    with pytest.raises(UserError, match="gs://bucket/none is not a bundle"):
        start.check_start(load("close_ups", ["--config.init.bundle=gs://bucket/none"]))


def test_prepare_refuses_a_bucket_and_says_how_to_fill_it(tmp_path):
    (tmp_path / "hc18").mkdir()
    with pytest.raises(UserError, match="prepare on disk, then copy"):
        call(prepare, ["hc18", f"--manual-dir={tmp_path / 'hc18'}", "--data-dir=gs://bucket/data"])


def test_a_bucket_is_not_taken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert in_bucket("gs://bucket/run")
    assert not in_bucket("runs/gs")
    assert str(absolute("gs://bucket/run")) == "gs://bucket/run"
    assert str(absolute("run")) == str(tmp_path / "run")
