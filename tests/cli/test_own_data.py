"""docs/own-data.md, run as it stands: from a folder of own frames to measured ones."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from fetal_jax import bundle
from fetal_jax.cli.main import main
from fetal_jax.data.source import Split
from fetal_jax.errors import UserError
from fetal_jax.reading.images import read_image
from tests.support import ROOT
from tests.support.command import called, refused
from tests.support.folders import SMALL, draw_folder
from tfds_builders.fetal_phantom.phantom import draw
from tfds_builders.folder import table

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "own-data.md").read_text()
TINY = [
    f"--config.{k}" for k in ("total_steps=2", "batch_size=2", "input_shape=(32,64)", "eval_frames=4", "log_every=1")
]
# one device in place of the session's eight, and no time for fast code that runs for two steps
FLAGS = "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0"


def environment() -> dict[str, str]:
    """Read when a command starts: the session's folder of compiled programs is in it by then."""
    return os.environ | {"XLA_FLAGS": FLAGS, "PYTHONPATH": str(ROOT)}


def commands() -> list[list[str]]:
    blocks = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in blocks.splitlines() if line.startswith("fetal-jax ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the page's commands are run: a folder with own frames and new ones, outside the clone."""
    place = tmp_path_factory.mktemp("own")
    draw_folder(place / "frames", frames=24)
    (place / "new").mkdir()
    for i in range(2):
        cv2.imwrite(str(place / "new" / f"{i}.png"), draw("head", 310_000 + i, SMALL).image)
    return place


def test_every_command_of_the_page_runs(place):
    said = {}
    for argv in commands():
        tiny = TINY if argv[0] == "train" else []
        command = [sys.executable, "-m", "fetal_jax.cli.main", *argv, *tiny]
        done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}\n{done.stderr[-2000:]}"
        said[argv[0]] = done.stdout
    assert list(said) == ["prepare", "train", "evaluate", "export", "measure"]

    assert "folder/mine/1.0.0 in runs/data: train 14, validation 4, calibration 2, test 4" in said["prepare"]
    sheet = read_image(place / "sheet.png")
    assert (np.ptp(sheet, axis=-1) > 100).any()  # outlines in colour
    assert (
        "the classification head is initialised at random" not in said["train"]
    )  # the shipped network knows the recipe's planes
    losses = [json.loads(line) for line in (place / "runs/mine/train/metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([row["loss"] for row in losses if "loss" in row]).sum() == 2
    assert json.loads((place / "runs/mine/report/metrics.json").read_text())["frames"] == 4
    info = bundle.read(place / "runs/mine/bundle")
    assert info.training["dataset"] == "folder/mine/1.0.0"
    assert info.metrics["frames"] == 4
    assert "the exporter's own frames" in info.licence
    assert bundle.read(bundle.DEFAULT).licence in info.licence  # what it started from
    with (place / "measured" / "measurements.csv").open() as f:
        assert [row["status"] != "error" for row in csv.DictReader(f)] == [True] * 2


def test_the_table_of_the_page_is_read(tmp_path):
    block = next(b for b in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if b.startswith("filename"))
    (tmp_path / "frames.csv").write_text(block)
    (tmp_path / "a").mkdir()
    for name in re.findall(r"^[^,]+\.png", block, re.MULTILINE):
        cv2.imwrite(str(tmp_path / name), np.zeros((9, 9), np.uint8))
    rows, missing = table.read(tmp_path, allow_partial=False)
    assert missing == []
    assert [(r.plane, type(r.shape).__name__, r.split) for r in rows] == [
        ("head", "Ellipse", "train"), ("femur", "Shaft", "train"), ("head", "NoneType", "test"),
        ("other", "NoneType", "test"),
    ]  # fmt: skip
    assert rows[0].filename == "a/0001.png"


def test_contact_sheet_does_not_take_the_place_of_a_frame(tmp_path, capsys):
    frame = tmp_path / "in" / "frame.png"
    frame.parent.mkdir()
    Image.new("L", (40, 30)).save(frame)
    before = frame.read_bytes()
    argv = ["prepare", "folder/mine", f"--manual-dir={frame.parent}", f"--data-dir={tmp_path / 'data'}"]
    assert main([*argv, f"--contact-sheet={frame}"]) == 2
    assert f"{frame} exists and was not written by this program" in capsys.readouterr().err
    assert frame.read_bytes() == before
    assert not (tmp_path / "data").exists()


def test_a_refused_preparation_leaves_no_folder_of_its_name(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "note.txt").write_text("no table")
    data = tmp_path / "data"
    done = called("prepare", "folder/mistyped", "--manual-dir", tmp_path / "in", f"--data-dir={data}")
    refused(done, "holds no frames.csv")
    assert not list(data.rglob("*mistyped*"))
    assert not list(data.rglob(".fetal-jax.lock"))


def test_a_killed_preparation_leaves_nothing_that_looks_finished(place, tmp_path):
    argv = ["prepare", "folder/killed", "--manual-dir", str(place / "frames"), "--data-dir", str(tmp_path)]
    command = [sys.executable, "-m", "fetal_jax.cli.main", *argv]
    home, nowhere = tmp_path / "folder" / "killed", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **nowhere)
    deadline = time.monotonic() + 300
    while not list(home.glob("incomplete.*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    busy = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    refused(busy, str(home), "another process is writing into")
    assert list(home.glob("incomplete.*"))
    with pytest.raises(UserError, match="run fetal-jax prepare folder/killed"):
        Split("folder/killed", "train", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not list(home.glob("incomplete.*"))
    assert len(Split("folder/killed", "train", tmp_path)) == 14
