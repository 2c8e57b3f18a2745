"""Paths in a bucket: commands that need a disk refuse them."""

from __future__ import annotations

import pytest

from fetal_jax.cli import prepare
from fetal_jax.cli.demo import call
from fetal_jax.errors import UserError
from fetal_jax.files import absolute, in_bucket


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
