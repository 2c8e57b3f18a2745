"""`configs/hc18.py`, shrunk, end to end on synthetic heads in HC18's layout: training, a kill, export, millimetres."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import onnx
import orbax.checkpoint as ocp
import pytest

from fetal_jax.reading.images import read_image
from fetal_jax.training import distributed
from tests.support import ROOT
from tests.support.command import called, fetal_jax, refused
from tests.support.folders import draw_hc18
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder as Phantoms

pytestmark = pytest.mark.slow

STEPS = 60
SHRINK = [
    "--config.input_shape=(64,96)",
    "--config.model.width=8",
    "--config.model.multipliers=(1,2,4)",
    "--config.model.depths=(1,1,1)",
    "--config.batch_size=8",  # one for each of the eight host devices
    f"--config.total_steps={STEPS}",
    "--config.checkpoint_every=10",
    "--config.eval_every=30",
    "--config.log_every=1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A synthetic HC18, prepared."""
    place = tmp_path_factory.mktemp("way")
    draw_hc18(place / "hc18", examinations=24, size=(135, 200))
    for config in ("examinations", "benchmark"):
        if config == "benchmark":
            path = place / "landmarks" / "annotations" / "HC18" / "Head.csv"
            path.parent.mkdir(parents=True)
            lines = [f"{i:03d}_HC.png,{'Test' if i % 4 == 0 else 'Train'}" for i in range(24)]
            path.write_text("\n".join(["image_name,Split", *lines]) + "\n")
        where = ["--manual-dir", place / "hc18", "--data-dir", place / "data", "--contact-sheet", place / "sheet.png"]
        done = fetal_jax("prepare", f"hc18/{config}", *where)
        assert done.returncode == 0, done.stderr
    return place


def train_command(place: Path, workdir: Path, *more: str) -> list[str]:
    config = f"--config={ROOT / 'configs' / 'hc18.py'}"
    data = [f"--config.data.dir={place / 'data'}", "--config.data.name=hc18/examinations"]
    return ["train", config, f"--workdir={workdir}", *data, *SHRINK, *more]


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """A run that was never stopped."""
    done = fetal_jax(*train_command(place, place / "run"))
    assert done.returncode == 0, done.stderr
    planned = 1e6 * float(re.search(r"checkpoint +([\d.]+) MB", done.stdout)[1])
    parameters = int(re.search(r"parameters +([\d,]+)", done.stdout)[1].replace(",", ""))
    assert planned == pytest.approx(16 * parameters, rel=0.01)  # parameter, its mean, two moments: four bytes each
    # The arrays, not the files: Orbax's tables beside them weigh up to 1.8 MB here, by how its parallel writes fell.
    newest = ocp.StandardCheckpointer().metadata(place / "run" / "checkpoints" / str(STEPS) / "state")
    held = sum(math.prod(array.shape) * array.dtype.itemsize for array in jax.tree.leaves(newest.item_metadata.tree))
    assert planned == pytest.approx(held, rel=0.01)
    return place / "run"


@pytest.fixture(scope="module")
def exported(place, trained) -> Path:
    """The run's bundle."""
    done = fetal_jax("export", f"--workdir={trained}", f"--out={place / 'bundle'}", "--onnx")
    assert done.returncode == 0, done.stderr
    return place / "bundle"


@pytest.fixture
def here(monkeypatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run commands in this process: a new one needs 4 s to import JAX, and what is compiled is kept only on disk."""
    monkeypatch.setattr(distributed, "start", lambda *_: None)  # JAX looks for a cluster only before it computes

    def call(*argv: object) -> subprocess.CompletedProcess[str]:
        with jax.numpy_dtype_promotion("standard"):  # as in a process of its own: optax needs it
            return called(*argv)

    return call


def metrics(workdir: Path) -> list[dict[str, float]]:
    clock = ("frames_per_s",)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines]


def test_training_learns_and_logs_every_step(trained):
    rows = [r for r in metrics(trained) if "loss" in r]
    assert [r["step"] for r in rows] == list(range(1, STEPS + 1))
    assert np.mean([r["loss"] for r in rows[-10:]]) < 0.7 * rows[0]["loss"]
    assert any("validation/hc_mm_mae" in r for r in metrics(trained))


def wait_for_group_to_end(group: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("processes of the killed run are still there")


def test_a_killed_run_resumes_and_ends_the_same(place, trained):
    workdir = place / "killed"
    with_workers = train_command(place, workdir, "--config.data.workers=2")  # whose number changes no batch
    command = [sys.executable, "-m", "fetal_jax.cli.main", *with_workers]
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **nowhere)
    deadline = time.monotonic() + 200
    while not any(p.name.isdigit() for p in workdir.glob("checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_for_group_to_end(process.pid)  # its workers do not stay
    done = fetal_jax(*train_command(place, workdir))
    assert done.returncode == 0, done.stderr
    assert "resumed at step" in done.stdout
    one, other = metrics(trained), metrics(workdir)
    assert [r["step"] for r in other] == [r["step"] for r in one]
    assert other == one


def test_sigterm_saves_and_the_run_resumes_to_the_same_end(place, trained):
    workdir = place / "stopped"
    command = [sys.executable, "-m", "fetal_jax.cli.main", *train_command(place, workdir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    rows = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not (rows.exists() and rows.read_text().count("\n") >= 13) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 75
    assert "a checkpoint is saved" in out
    with rows.open("a") as f:
        f.write('{"step": 4')  # a row that a kill cut short
    done = fetal_jax(*train_command(place, workdir))
    assert done.returncode == 0, done.stderr
    assert metrics(workdir) == metrics(trained)


def test_a_mixture_is_trained_and_each_data_set_evaluated(place, monkeypatch):
    monkeypatch.setitem(Phantoms.COUNTS, "small", {"train": 16, "validation": 4, "test": 8})
    Phantoms(data_dir=place / "data", file_format="array_record", config="small").download_and_prepare()
    workdir, out = place / "mixed", place / "mixed_report"
    mixture = "--config.data.name=hc18/examinations=2, fetal_phantom/small=1"
    done = fetal_jax(*train_command(place, workdir, mixture, "--config.total_steps=10", "--config.eval_every=10"))
    assert done.returncode == 0, done.stderr
    keys = metrics(workdir)[-1]
    assert {"validation/hc18/examinations/hc_mm_mae", "validation/fetal_phantom/small/fl_mm_mae"} <= keys.keys()
    done = fetal_jax("evaluate", f"--workdir={workdir}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "hc18/examinations/metrics.json").read_text())["hc_mm"]["frames"] > 0
    assert json.loads((out / "fetal_phantom/small/metrics.json").read_text())["frames"] == 8
    assert not (out / "metrics.json").exists()
    refused(called("evaluate", f"--workdir={workdir}", "--dataset=fetal_phantom/large", f"--out={out}"), "small")
    done = fetal_jax("export", f"--workdir={workdir}", f"--out={place / 'mixed_bundle'}")
    assert done.returncode == 0, done.stderr
    card = (place / "mixed_bundle" / "MODEL_CARD.md").read_text()
    assert "CC BY 4.0" in card
    assert "synthetic frames" in card


def test_prepare_draws_a_contact_sheet(place):
    sheet = read_image(place / "sheet.png")
    assert sheet.shape == (12 * (192 + 48), 4 * 2 * 288, 3)


def test_a_finished_run_says_so_and_changes_nothing(place, trained):
    before = metrics(trained)
    done = fetal_jax(*train_command(place, trained))
    assert done.returncode == 0, done.stderr
    assert f"resumed at step {STEPS} of {STEPS}" in done.stdout
    assert metrics(trained) == before


def test_the_best_checkpoint_is_kept_and_exported(place, trained):
    workdir = place / "best"
    shutil.copytree(trained, workdir)
    meta = workdir / "checkpoints" / str(STEPS) / "meta" / "metadata"
    failures = json.loads(meta.read_text())["progress"]["validation_scores"]
    assert failures.keys() == {"30", str(STEPS)}
    best = min(failures, key=failures.get)
    kept = {p.name for p in (workdir / "checkpoints").iterdir()}
    assert kept == {best, str(STEPS - 10), str(STEPS)}
    done = fetal_jax("export", f"--workdir={workdir}", f"--out={place / 'best_bundle'}", "--best")
    assert done.returncode == 0, done.stderr
    assert f"Trained for {best} steps" in (place / "best_bundle" / "MODEL_CARD.md").read_text()


def test_bundle_and_checkpoint_measure_the_same(place, trained, exported):
    data = f"--data-dir={place / 'data'}"
    sources = {
        "run": [f"--workdir={trained}"],
        "onnx": [f"--bundle={exported}", "--runtime=onnx"],
        "jax": [f"--bundle={exported}", "--runtime=jax"],
    }
    tables = {}
    for name, source in sources.items():
        out = place / f"report_{name}"
        done = fetal_jax("evaluate", *source, data, "--split=train", f"--out={out}")
        assert done.returncode == 0, done.stderr
        with (out / "frames.csv").open() as f:
            tables[name] = [(r["filename"], r["measured_mm"]) for r in csv.DictReader(f)]
        page = (out / "report.html").read_text()
        assert "Not for clinical use" in page
        assert "://" not in re.sub(r'"data:[^"]*"', "", page)  # base64 spells anything
    for name in ("onnx", "jax"):
        compared = 0
        for (file, mm), (_, expected) in zip(tables[name], tables["run"], strict=True):
            assert bool(mm) == bool(expected), file
            if mm:
                compared += 1
                assert float(mm) == pytest.approx(float(expected), abs=0.02), file
        assert compared > 10


def test_fine_tuning_starts_from_the_bundle(place, trained, exported, here):
    more = [f"--config.init.bundle={exported}", "--config.total_steps=2", "--config.optim.warmup_steps=1"]
    done = here(*train_command(place, place / "tuned", *more))
    assert done.returncode == 0, done.stderr
    first = next(r["loss"] for r in metrics(place / "tuned") if "loss" in r)
    assert first < 0.75 * next(r["loss"] for r in metrics(trained) if "loss" in r)
    # two runs with other seeds and folds are averaged; runs from random weights are not, nor such with other keys
    left_out = "--config.data.leave_out=1"
    done = here(*train_command(place, place / "tuned_1", *more, "--config.seed=1", left_out))
    assert done.returncode == 0, done.stderr
    for names in (["tuned"], ["tuned_1"], ["tuned", "tuned_1"]):
        runs = [f"--workdir={place / name}" for name in names]
        done = here("export", *runs, f"--out={place / '+'.join(names)}-bundle")
        assert done.returncode == 0, done.stderr
    one, other, both = (weights(place / f"{name}-bundle") for name in ("tuned", "tuned_1", "tuned+tuned_1"))
    assert one.keys() == other.keys() == both.keys()
    assert any((one[k] != other[k]).any() for k in one)
    for k in one:
        np.testing.assert_allclose(both[k], (one[k].astype(float) + other[k]) / 2, rtol=1e-5, atol=1e-7, err_msg=k)
    training = {name: json.loads((place / f"{name}-bundle/bundle.json").read_text())["training"] for name in (
        "tuned_1", "tuned+tuned_1")}  # fmt: skip
    assert training["tuned+tuned_1"]["averaged_runs"] == 2
    assert [told["recipe"]["data.leave_out"] for told in training.values()] == [1, -1]
    again = f"--out={place / 'refused'}"
    tuned_too = f"--workdir={place / 'tuned'}"
    refused(called("export", f"--workdir={trained}", tuned_too, again), "random weights")
    refused(called("export", tuned_too, f"--workdir={trained}", again), "only seed and")
    # the fold that a run left out is a split to test it on, if its start had not seen that fold
    held_out = [f"--data-dir={place / 'data'}", "--split=held-out", f"--out={place / 'held-out'}"]
    refused(called("evaluate", f"--bundle={place / 'tuned_1-bundle'}", *held_out), "left fold 1 out", "started from")
    done = here(*train_command(place, place / "from_random", *more[1:], left_out))
    assert done.returncode == 0, done.stderr
    done = here("evaluate", f"--workdir={place / 'from_random'}", *held_out)
    assert done.returncode == 0, done.stderr
    metrics_of = json.loads((place / "held-out/metrics.json").read_text())
    assert metrics_of["source"]["split"] == "train/fold1"
    refused(called("evaluate", f"--bundle={exported}", *held_out), "left no fold out")


def weights(bundle):
    """The weights in a bundle's model.onnx, by name."""
    graph = onnx.load(bundle / "model.onnx").graph
    found = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    return {name: array for name, array in found.items() if array.dtype == np.float32}


def test_wrong_calls_end_with_one_line(place, trained, here):
    refused(here(*train_command(place, place / "x", "--config.modell.width=8")), "modell")
    refused(here(*train_command(place, place / "x", "--config.model.width=none")), "width")
    refused(here(*train_command(place, place / "x", "--config.batch_size=4")), "batch_size", "8 devices")
    refused(here(*train_command(place, place / "x", "--config.data.name=hc19")), "hc19", "hc18")
    refused(here(*train_command(place, trained, "--config.optim.lr=1.0")), "optim.lr", "--workdir")
    refused(here("train", "--config=nothing.py", f"--workdir={place / 'x'}"), "nothing.py")
    data, out = f"--data-dir={place / 'data'}", f"--out={place / 'o'}"
    other = here("evaluate", f"--workdir={trained}", "--dataset=hc18/benchmark", data, out)
    refused(other, "hc18/examinations", "hc18/benchmark")
    refused(here("evaluate", f"--workdir={place / 'no'}", out), "is not a run")
    refused(here("evaluate", f"--workdir={trained}", "--split=tests", data, out), "tests", "validation")
    refused(here("export", f"--workdir={place}", f"--out={place / 'b'}"), "is not a run")
    refused(here("prepare", "hc18", "--manual-dir", place / "nowhere"), "nowhere", "--manual-dir")
    refused(here("prepare", "hc20"), "hc20")
    refused(here("prepare", "fetal_phantom/small", "--contact-sheet", place / "sheet.txt"), "sheet.txt", ".png")
    refused(here(*train_command(place, place / "x", "--config.data.name=hc18, fetal_phantom")), "data.name", "A=3")
    refused(here(*train_command(place, place / "x", "--config.data.workers=-1")), "data.workers")
    refused(here(*train_command(place, Path("/sys/fetal_jax"))), "/sys/fetal_jax", "give another --workdir")
    refused(here(*train_command(place, place / "x", "--config.accumulate=2")), "accumulate", "8 devices")
    wild = ["--config.optim.lr=1e30", "--config.optim.warmup_steps=1", "--config.max_bad_steps=3"]
    refused(fetal_jax(*train_command(place, place / "wild", *wild)), "3 steps in a row", "_HC.png", "optim.lr")
    refused(here("evaluate", f"--bundle={place}", "--best", out), "--workdir")
    refused(here("evaluate", f"--workdir={trained}", data, "--out=/sys/fetal_jax"), "/sys/fetal_jax")
    refused(here("evaluate", "--compare", place, place, "--split=validation", out), "--split")
    damaged = place / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    refused(here(*train_command(place, damaged)), "config.json", "damaged")


def test_prepare_of_damaged_data_ends_with_one_line_and_writes_nothing(place, tmp_path):
    draw_hc18(tmp_path / "hc18", examinations=24, size=(135, 200))
    frame = tmp_path / "hc18" / "training_set" / "001_HC.png"
    frame.write_bytes(frame.read_bytes()[:-3000])
    done = fetal_jax("prepare", "hc18/examinations", "--manual-dir", tmp_path / "hc18", "--data-dir", tmp_path / "data")
    refused(done, "001_HC.png", "damaged")
    assert not list((tmp_path / "data").rglob("dataset_info.json"))
