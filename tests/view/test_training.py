"""Corrections made on the page train the next network: the commands of docs/view.md, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from urllib.request import urlopen

import numpy as np
import pytest

from fetal_jax.data.source import Split
from fetal_jax.geometry import Ellipse
from fetal_jax.view.session import REVIEW
from tests.cli.test_own_data import TINY, environment
from tests.support import ROOT
from tests.view.folder import serving, write_results

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "view.md").read_text()
FRAMES = 12
SPLITS = ("train", "validation", "calibration", "test")


def commands() -> list[list[str]]:
    """`prepare` and `train` of the page."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    lines = [line for line in blocks.splitlines() if line.startswith(("fetal-jax prepare", "fetal-jax train"))]
    return [shlex.split(line)[1:] for line in lines]


def test_corrections_train_the_next_network(tmp_path):
    rows = write_results(tmp_path, FRAMES)
    (tmp_path / "results").rename(tmp_path / "measured")
    cx, cy, a, b, theta = rows[0]["ellipse_px"]
    corrected = [cx + 7, cy - 5, 0.9 * a, 0.85 * b, theta]
    with serving(tmp_path / "measured", "--reader=Ann") as server:
        for n in range(FRAMES):
            with urlopen(f"{server.address}api/frames/{n}") as answer:
                state = json.load(answer)
            change = {"ellipse": corrected} if n == 0 else {}
            for action, more in (("pull", change), ("accept", change | {"decision": "accepted"})):
                event = {"action": action, "after": state["version"], "answer": state["answer"] | more}
                state = server.post(f"api/frames/{n}/events", event)
        assert server.post("api/export", {})["frames"] == FRAMES
    assert (tmp_path / "measured" / REVIEW / "corrected" / "frames.csv").is_file()

    for name in ("configs", "fetal_jax", "tfds_builders"):
        (tmp_path / name).symlink_to(ROOT / name)
    said = {}
    for argv in commands():
        command = [sys.executable, "-m", "fetal_jax.cli.main", *argv, *(TINY if argv[0] == "train" else [])]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=1200
        )
        assert done.returncode == 0, f"{argv}\n{done.stderr[-2000:]}"
        said[argv[0]] = done.stdout
    assert list(said) == ["prepare", "train"]
    splits = [Split("folder/corrected", s, tmp_path / "runs" / "data") for s in SPLITS]
    frames = {frame.filename: frame for split in splits for frame in (split[i] for i in range(len(split)))}
    assert len(frames) == FRAMES
    trained_on = np.asarray(frames["00001.png"].shape)
    assert trained_on == pytest.approx(np.asarray(Ellipse(*corrected)), abs=1e-3)
    assert (
        "the classification head is initialised at random" not in said["train"]
    )  # the shipped network's weights were taken
    logged = [json.loads(line) for line in (tmp_path / "runs" / "next" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in logged if "loss" in row]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
