"""A training run in this process: what it refuses, and what it leaves behind on every way out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import pytest

from fetal_jax import bundle, export, files
from fetal_jax.cli.train import stop_on_signals
from fetal_jax.config import InitConfig, from_json, from_values, load
from fetal_jax.config.files import SHIPPED
from fetal_jax.data import pipeline, training_record
from fetal_jax.errors import UserError
from fetal_jax.training import checkpoints, run, workdir
from fetal_jax.training.start import described
from tests.cli.chaos import TINY
from tests.support.command import heeding_interrupts
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder as Phantoms


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A few synthetic frames, without a validation split."""
    place = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Phantoms.COUNTS, "small", {"train": 8, "test": 1})
        Phantoms(data_dir=place, file_format="array_record", config="small").download_and_prepare()
    return place


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def config(data: Path, **keys):
    return from_values(
        {
            "data.dir": str(data),
            "data.name": "fetal_phantom/small",
            "input_shape": (16, 16),
            "batch_size": 8,
            "total_steps": 2,
            "checkpoint_every": 1,
            "eval_every": 1,
            "log_every": 1,
            "model.width": 4,
            "model.multipliers": (1, 2),
            "model.depths": (1, 1),
            "model.groups": 2,
            **keys,
        }
    )


def test_run_without_a_validation_split_finishes(data, tmp_path, capsys):
    run.train(config(data), tmp_path)
    assert checkpoints.saved_steps(tmp_path) == [1, 2]
    assert "validation  none" in capsys.readouterr().out
    assert from_json(tmp_path / "config.json") == config(data)


@pytest.mark.parametrize(
    ("init", "said"),
    [({}, "random parameters"), ({"init.bundle": "b"}, "bundle b"), ({"init.sononet": "s.npz"}, "SonoNet16 of s.npz")],
)
def test_what_a_run_starts_from_is_described(data, init, said):
    assert described(config(data, **init)) == said


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("[!_]*.py")), ids=lambda path: path.stem)
@pytest.mark.parametrize("steps", [None, 7, 95, 2000])
def test_a_run_is_validated_at_least_ten_times(path, steps):
    made = load(str(path), [f"--config.total_steps={steps}"] if steps else [])
    assert made.total_steps // run.steps_between_validations(made) >= min(10, made.total_steps)


def test_the_way_to_train_a_finished_run_longer_is_named(data, tmp_path, capsys):
    run.train(config(data), tmp_path)
    out = capsys.readouterr().out
    assert out.startswith("compiling")
    assert "\nstart       random parameters\n" in out
    assert "finished" not in out
    run.train(config(data), tmp_path)
    out = capsys.readouterr().out
    assert "the run is finished; to train it longer, export it" in out
    assert "\nstart " not in out  # it resumed
    with pytest.raises(UserError, match=r"total_steps: 2 / 4\).*finished run longer, export it .*init.bundle"):
        run.train(config(data, total_steps=4), tmp_path)
    with pytest.raises(UserError, match=r"give another --workdir$"):
        run.train(config(data, total_steps=4, seed=9), tmp_path)


def test_error_in_the_loop_keeps_the_checkpoint_in_flight(data, tmp_path, monkeypatch):
    put, closed = run.Sharding.put, []
    close = pipeline.Batches.close
    steps = iter(range(1, 9))

    def fails_at_the_second(self, batch):
        if next(steps) == 2:
            raise RuntimeError("device lost")
        return put(self, batch)

    monkeypatch.setattr(run.Sharding, "put", fails_at_the_second)
    monkeypatch.setattr(pipeline.Batches, "close", lambda self: closed.append(True) or close(self))
    with pytest.raises(RuntimeError, match="device lost"):
        run.train(config(data), tmp_path)
    assert checkpoints.saved_steps(tmp_path) == [1]
    assert not list((tmp_path / "checkpoints").glob("*tmp*"))
    assert '"step": 1' in (tmp_path / "metrics.jsonl").read_text()
    assert closed
    with files.lock(tmp_path):
        pass


def test_progress_bar_is_not_forced_on_where_the_command_turned_it_off(monkeypatch):
    given = {}
    monkeypatch.setattr(run, "tqdm", lambda **options: given.update(options))
    run._progress_bar(0, 2)
    assert "disable" not in given  # TQDM_DISABLE decides
    monkeypatch.setattr(run.distributed, "is_first", lambda: False)
    run._progress_bar(0, 2)
    assert given["disable"]


def test_second_run_in_a_work_directory_is_refused(data, tmp_path):
    with files.lock(tmp_path), pytest.raises(UserError, match=str(tmp_path)) as error:
        run.train(config(data), tmp_path)
    assert "\n" not in str(error.value)
    assert "--workdir" in str(error.value)
    assert not (tmp_path / "config.json").exists()


def test_a_bundle_or_a_file_is_no_work_directory(data, tmp_path):
    shutil.copytree(bundle.DEFAULT, tmp_path / "bundle")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"is a bundle, not a run: .*--config\.init\.bundle="):
        run.train(config(data), tmp_path / "bundle")
    with pytest.raises(UserError, match="is a bundle, not a run: evaluate takes it as --bundle"):
        export.load_run(tmp_path / "bundle")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: give a folder"):
        run.train(config(data), tmp_path / "file")


def test_refused_start_leaves_a_directory_for_the_corrected_call(data, tmp_path):
    wrong = replace(config(data), init=InitConfig(sononet=str(tmp_path / "SonoNet16.npz")))
    with pytest.raises(UserError, match=r"config\.model\.width=32"):
        run.train(wrong, tmp_path / "run")
    workdir.check_workdir(tmp_path / "run", config(data, **{"model.width": 8}))  # another network is not refused


def test_an_export_replaces_only_its_own_bundle_that_is_not_calibrated(data, tmp_path):
    out = tmp_path / "bundle"
    for seed in range(2):
        run.train(config(data, total_steps=1, seed=seed), tmp_path / f"seed{seed}")
    for _ in range(2):
        export.write_bundle([tmp_path / "seed0"], out)
    plain = bundle.read(out)
    with pytest.raises(UserError, match=f"{out} is the bundle of another run: give another --out, or remove"):
        export.write_bundle([tmp_path / "seed1"], out)
    for learnt in (
        {"temperature": 1.5},
        {"acceptance": {"head": {"data": "d"}}},
        {"intervals": {"hc_mm": {"level": 0.9, "factor": 2.0}}},
    ):
        bundle.write(out, replace(plain, **learnt))
        with pytest.raises(UserError, match=f"{out} is a calibrated bundle.*: give another --out, or remove"):
            export.write_bundle([tmp_path / "seed0"], out)
        assert bundle.read(out) == replace(plain, **learnt)
    (out / bundle.INFO).write_text("{")  # a killed export
    (out / ".fetal-jax-bundle.draft").mkdir()
    export.write_bundle([tmp_path / "seed0"], out)
    assert bundle.read(out).training == plain.training


def test_an_export_takes_metrics_of_its_own_parameters_only(data, tmp_path):
    for seed in range(2):
        run.train(config(data, total_steps=1, seed=seed), tmp_path / f"seed{seed}")
    export.write_bundle([tmp_path / "seed0"], tmp_path / "bundle")
    own = bundle.read(tmp_path / "bundle").training["parameters"]
    measured, metrics = {"frames": 3, "hc_mm": {"mae": 2.3}}, tmp_path / "metrics.json"
    ours = measured | {"network": {"name": "seed0", "steps": 1, "parameters": own}}
    metrics.write_text(json.dumps(ours))
    export.write_bundle([tmp_path / "seed0"], tmp_path / "bundle", metrics)
    assert bundle.read(tmp_path / "bundle").metrics == ours
    with pytest.raises(UserError, match=r"json: these metrics are of seed0, step 1, .*evaluate --workdir=.*seed1"):
        export.write_bundle([tmp_path / "seed1"], tmp_path / "other", metrics)
    metrics.write_text(json.dumps(measured))  # of another program's predictions, or of an earlier version
    with pytest.raises(
        UserError, match=r"json: .* earlier version .*: call fetal-jax evaluate --workdir=.*seed0 again"
    ):
        export.write_bundle([tmp_path / "seed0"], tmp_path / "other", metrics)
    assert not (tmp_path / "other").exists()


def test_a_run_and_its_bundle_say_what_the_start_was_trained_on(data, tmp_path):
    run.train(config(data, total_steps=1), tmp_path / "first")
    _, _, _, meta = export.load_run(tmp_path / "first")
    assert meta["before"] == []
    export.write_bundle([tmp_path / "first"], tmp_path / "bundle")
    start = bundle.read(tmp_path / "bundle").training
    assert start["before"] == []
    seen = [{"datasets": start["datasets"], "leave_out": -1}]
    for fold in range(2):
        keys = {"data.leave_out": fold, "init.bundle": str(tmp_path / "bundle")}
        tuned = config(data, total_steps=1, **keys)
        run.train(tuned, tmp_path / f"fold{fold}")
        run.train(tuned, tmp_path / f"fold{fold}")  # which resumes, and saves nothing new
        _, _, _, meta = export.load_run(tmp_path / f"fold{fold}")
        assert meta["before"] == seen
    export.write_bundle([tmp_path / "fold0", tmp_path / "fold1"], tmp_path / "mean")
    assert bundle.read(tmp_path / "mean").training["before"] == seen
    card = (tmp_path / "mean" / bundle.CARD).read_text()
    assert "from weights that were trained on fetal_phantom/small." in card


def test_a_resumed_run_keeps_what_its_start_was_trained_on(data, tmp_path, monkeypatch):
    known = [{"datasets": {"hc18/benchmark/1.1.0": ""}, "leave_out": 2}]
    monkeypatch.setattr(run, "start_parameters", lambda _, params, __: (params, "a licence", known))
    monkeypatch.setattr(run, "check_workdir", lambda *_: None)
    started = config(data, total_steps=6, **{"init.sononet": "SonoNet16.npz"})
    with pytest.raises(run.Preempted):
        run.train(started, tmp_path, stop_requested=lambda: True)
    run.train(started, tmp_path)
    _, _, step, meta = export.load_run(tmp_path)
    assert (step, meta["before"]) == (6, known)


def test_a_resumed_run_goes_on_naming_the_start_that_it_had(data, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "start_parameters", lambda _, params, __: (params, "a licence", []))
    monkeypatch.setattr(workdir, "check_start", lambda _: None)
    run.train(config(data, **{"init.bundle": "b"}), tmp_path)
    run.train(config(data, log_every=2), tmp_path)
    found = from_json(tmp_path / "config.json")
    assert (found.init, found.log_every) == (InitConfig(bundle="b"), 2)


@pytest.mark.parametrize(
    ("init", "said"), [({}, ""), ({"init.bundle": "b"}, ""), ({"init.bundle": "c"}, "c"), ({"init.sononet": "s"}, "s")]
)
def test_a_start_that_a_resumed_run_does_not_use_is_said(data, tmp_path, capsys, init, said):
    used = config(data, **{"init.bundle": "b"})
    workdir.write_config(tmp_path, used)
    assert workdir.keep_start(tmp_path, config(data, **init)) == used
    line = f"{said} is not used: the run started from b, and resumes from its checkpoint\n"
    assert capsys.readouterr().out == (line if said else "")


def test_a_checkpoint_of_an_earlier_version_resumes_and_its_start_is_not_known(data, tmp_path, monkeypatch):
    save = checkpoints.save

    def without_record(*args):
        save(*args[:-1], {key: value for key, value in args[-1].items() if key != "before"})

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", without_record)
        with pytest.raises(run.Preempted):
            run.train(config(data, total_steps=6), tmp_path, stop_requested=lambda: True)
    assert not training_record.all_recorded(export.load_run(tmp_path)[3])
    run.train(config(data, total_steps=6), tmp_path)
    _, _, step, meta = export.load_run(tmp_path)
    assert step == 6
    assert meta["before"] == [training_record.NOT_RECORDED]
    export.write_bundle([tmp_path], tmp_path / "bundle")
    assert not training_record.all_recorded(bundle.read(tmp_path / "bundle").training)


def test_a_run_of_other_data_is_refused_before_the_step_is_compiled(data, tmp_path, monkeypatch):
    def compiled(*_):
        raise AssertionError("the step was compiled")

    run.train(config(data), tmp_path)
    known = checkpoints.newest_meta(tmp_path)
    assert training_record.trained_on(known)
    monkeypatch.setattr(run, "compiled_step", compiled)
    monkeypatch.setattr(
        training_record, "training_record", lambda _: {"datasets": {"a/1": "a/1 2 frames 3"}, "fingerprint": "a"}
    )
    with pytest.raises(UserError, match=r"was trained on fetal_phantom/small.*here is a: give the --config.data.dir"):
        run.train(config(data), tmp_path)
    meta = tmp_path / "checkpoints" / "2" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace("fetal_phantom", "fetal_phantoms"))  # damaged: the one before it tells
    assert checkpoints.newest_meta(tmp_path)["fingerprint"] == known["fingerprint"]
    assert checkpoints.newest_meta(tmp_path / "none") is None


def test_both_starts_are_refused(data, tmp_path):
    both = replace(config(data), init=InitConfig(bundle="default", sononet="SonoNet16.npz"))
    with pytest.raises(UserError, match="give one of them"):
        workdir.check_workdir(tmp_path, both)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_noted_and_its_handler_is_restored(number):
    with heeding_interrupts():
        before = signal.getsignal(number)
        with stop_on_signals() as received:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            assert received == [number]
            if number == signal.SIGINT:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(number)
        assert signal.getsignal(number) is before


def test_ignored_interrupt_stays_ignored():
    """As `nohup` and a shell's background leave it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as received:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            assert received == []
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_first_interrupt_saves_a_checkpoint_and_the_same_call_resumes_there(data, tmp_path):
    """Sent to the whole group, as a terminal does: the processes that make batches get it too."""
    keys = {
        **TINY,
        "total_steps": 5000,
        "checkpoint_every": 4000,
        "eval_every": 4000,
        "data.workers": 1,
        "data.dir": data,
    }
    command = [sys.executable, "-m", "fetal_jax.cli.main", "train", "--config=configs/demo.py", f"--workdir={tmp_path}"]
    command += [f"--config.{key}={value}" for key, value in keys.items()]

    def stopped_after(rows: int) -> str:
        with heeding_interrupts():
            started = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
            )
        metrics = tmp_path / "metrics.jsonl"
        while started.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= rows):
            time.sleep(0.02)
        os.killpg(started.pid, signal.SIGINT)
        said = started.communicate(timeout=300)[0]
        assert started.returncode == 130, said
        return said

    said = stopped_after(3)
    (step,) = re.findall(r"stopped at step (\d+) of 5000: a checkpoint is saved", said)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()] == [step]
    assert f"resumed at step {step} of 5000" in stopped_after(int(step) + 3)
