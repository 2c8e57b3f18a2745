"""A run in a bucket ends as one on disk does, against an emulator of Cloud Storage: gcsfs, TensorStore and tensorboardX
speak to it as they would to the real one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from fetal_jax.cli import prepare
from fetal_jax.cli.demo import call
from fetal_jax.errors import UserError
from tests.conftest import ROOT, draw_hc18

TINY = {
    "data.name": "hc18/examinations",
    "input_shape": "(32,48)",
    "model.width": 4,
    "model.groups": 2,
    "model.multipliers": "(1,2)",
    "model.depths": "(1,1)",
    "batch_size": 4,
    "total_steps": 6,
    "checkpoint_every": 2,
    "eval_every": 6,
    "eval_frames": 4,
    "log_every": 1,
    "mesh.data": 1,
}


class Bucket:
    """`gs://bucket` of an emulator, and a `fetal-jax` that has it for Cloud Storage."""

    def __init__(self, home: Path, port: int):
        self._home, self._url = home, f"http://127.0.0.1:{port}"
        self._env = os.environ | {
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(home / "cache"),
            "STORAGE_EMULATOR_HOST": self._url,  # of gcsfs and tensorboardX
            "TENSORSTORE_GCS_HTTP_URL": self._url,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks the real one what kind of bucket it is
            "XLA_FLAGS": "",
        }

    def fetal_jax(self, *args: object) -> str:
        command = [sys.executable, "-m", "fetal_jax.cli.main", *map(str, args)]
        done = subprocess.run(command, env=self._env, cwd=self._home, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def train(self, workdir: object, data_dir: object) -> str:
        overrides = [f"--config.{key}={value}" for key, value in {**TINY, "data.dir": data_dir}.items()]
        return self.fetal_jax("train", f"--config={ROOT / 'configs' / 'hc18.py'}", f"--workdir={workdir}", *overrides)

    def ask(self, path: str, method: str = "GET", data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self._url + path, data, method=method)) as answer:
            return answer.read()

    def read(self, name: str) -> bytes:
        return self.ask(f"/download/storage/v1/b/bucket/o/{quote(name, safe='')}?alt=media")

    def put(self, name: str, data: bytes) -> None:
        self.ask(f"/upload/storage/v1/b/bucket/o?uploadType=media&name={quote(name, safe='')}", "POST", data)

    def delete(self, name: str) -> None:
        self.ask(f"/storage/v1/b/bucket/o/{quote(name, safe='')}", "DELETE")

    def names(self, prefix: str) -> list[str]:
        found = json.loads(self.ask(f"/storage/v1/b/bucket/o?prefix={quote(prefix)}&maxResults=5000"))
        return [item["name"] for item in found.get("items", [])]


@pytest.fixture
def bucket(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}"]
    command += ["--in-memory", "--default-bucket=bucket"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as emulator:
        for _ in range(300):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield Bucket(tmp_path, port)
        emulator.terminate()


def rows(text: bytes) -> list[dict[str, float]]:
    return [{k: v for k, v in json.loads(row).items() if k != "frames_per_s"} for row in text.splitlines()]


@pytest.mark.slow
def test_a_run_in_a_bucket_ends_as_one_on_disk(bucket, tmp_path):
    draw_hc18(tmp_path / "hc18", examinations=40, size=(135, 200))
    call(prepare, ["hc18/examinations", f"--manual-dir={tmp_path / 'hc18'}", f"--data-dir={tmp_path / 'data'}"])
    for file in (tmp_path / "data").rglob("*"):
        if file.is_file() and file.stat().st_size and "decoded-" not in str(file):  # the lock is empty
            bucket.put(str(file.relative_to(tmp_path)), file.read_bytes())
    shutil.rmtree(tmp_path / "hc18")

    there, here = "gs://bucket/run", tmp_path / "run"
    bucket.train(here, tmp_path / "data")
    bucket.train(there, "gs://bucket/data")
    due, last = rows((here / "metrics.jsonl").read_bytes()), "checkpoints/6/meta/metadata"
    assert rows(bucket.read("run/metrics.jsonl")) == due
    assert json.loads(bucket.read(f"run/{last}")) == json.loads((here / last).read_bytes())  # digests of every leaf
    assert any("tfevents" in name for name in bucket.names("run/tensorboard/"))

    bucket.delete(f"run/{last}")
    assert "resumed at step 4 of 6" in bucket.train(there, "gs://bucket/data")
    assert rows(bucket.read("run/metrics.jsonl")) == due
    assert json.loads(bucket.read(f"run/{last}")) == json.loads((here / last).read_bytes())
    assert any(name.startswith("run/damaged/6/") for name in bucket.names("run/damaged/"))

    bucket.fetal_jax("export", f"--workdir={there}", "--out=gs://bucket/bundle")
    assert {"bundle/bundle.json", "bundle/model.stablehlo"} <= set(bucket.names("bundle/"))
    bucket.fetal_jax("evaluate", f"--workdir={there}", "--out=gs://bucket/report")
    assert (
        len(bucket.read("report/frames.csv").splitlines())
        == 1 + json.loads(bucket.read("report/metrics.json"))["frames"]
    )


def test_prepare_refuses_a_bucket_and_says_how_to_fill_it(tmp_path):
    (tmp_path / "hc18").mkdir()
    with pytest.raises(UserError, match="prepare on disk, then copy"):
        call(prepare, ["hc18", f"--manual-dir={tmp_path / 'hc18'}", "--data-dir=gs://bucket/data"])
