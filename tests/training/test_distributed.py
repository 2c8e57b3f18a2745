"""Several processes on this machine against one: the same steps, each frame counted once, one stop for all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.training import distributed
from tests.support import ROOT
from tfds_builders.fetal_phantom.fetal_phantom_dataset_builder import Builder as Phantoms

STEPS, STOPPED = 30, 12  # after the first of three validations
KEYS = {
    "data.name": "fetal_phantom/small",
    "input_shape": "(32,48)",
    "batch_size": 8,
    "total_steps": STEPS,
    "checkpoint_every": 5,
    "eval_every": 10,
    "eval_frames": 5,  # no multiple of the processes
    "log_every": 1,
    "model.dtype": "float64",
    "model.width": 16,  # a kernel is large enough to be split
    "model.multipliers": "(1,2)",
    "model.depths": "(1,1)",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A few synthetic frames, prepared."""
    place = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Phantoms.COUNTS, "small", {"train": 24, "validation": 6, "test": 1})
        Phantoms(data_dir=place / "data", file_format="array_record", config="small").download_and_prepare()
    return place / "data"


def start(
    workdir: Path, data: Path, processes: int, first: str = "", keys: dict[str, Any] | None = None
) -> list[subprocess.Popen[str]]:
    """Start a run of several processes with one device each; given by the environment if two, by flags if more.

    `first` is run in each process before the command; `keys` go over `KEYS`.
    """
    values = {**KEYS, **(keys or {}), "data.dir": data, "mesh.fsdp": processes}
    overrides = [f"--config.{key}={value}" for key, value in values.items()]
    config = f"--config={ROOT / 'configs' / 'demo.py'}"
    program = f"import sys\nfrom fetal_jax.cli.main import main\n{first}\nsys.exit(main())"
    command = [sys.executable, "-c", program, "train", config, f"--workdir={workdir}", *overrides]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(data / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = f"localhost:{free.getsockname()[1]}"
    running = []
    for k in range(processes):
        env = os.environ | cache | {"JAX_ENABLE_X64": "1", "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
        flags: list[str] = []
        if processes == 2:
            env |= {"FETAL_COORDINATOR": where, "FETAL_PROCESSES": "2", "FETAL_PROCESS_ID": str(k)}
        elif processes > 2:
            flags = [f"--coordinator={where}", f"--processes={processes}", f"--process-id={k}"]
        running.append(subprocess.Popen([*command, *flags], env=env, **quiet))
    return running


def finish(running: list[subprocess.Popen[str]], code: int = 0) -> list[str]:
    """Output of each process; all must end with the exit code."""
    output = [process.communicate(timeout=1200)[0] for process in running]
    assert [process.returncode for process in running] == [code] * len(running), "\n".join(output)
    return output


def rows(workdir: Path) -> list[dict[str, float]]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "frames_per_s"} for line in lines]


def same(one: Path, other: Path) -> None:
    """Two runs' rows agree: losses to 1e-9, counts exactly, millimetres but for the rounding of a fit."""
    assert [r.keys() for r in rows(one)] == [r.keys() for r in rows(other)]
    assert sum("validation/hc_mm_mae" in r for r in rows(one)) == STEPS // KEYS["eval_every"]
    for a, b in zip(rows(one), rows(other), strict=True):
        for key, value in a.items():
            if value is None or key.endswith(("step", "frames", "missing", "skipped")):  # None: no figure in either
                assert value == b[key], (a["step"], key)
            else:
                close = 1e-9 if "loss" in key else 1e-4
                assert b[key] == pytest.approx(value, rel=close, abs=close), (a["step"], key)


@pytest.fixture(scope="module")
def alone(data) -> Path:
    """A run of one process, never stopped."""
    output = finish(start(data.parent / "alone", data, 1))[0]
    assert "1 cpu, processes 1" in output
    told = re.findall(r"^step (\d+) of \d+: loss=.*HC=(?:\S+mm|not found)", output, re.M)  # a pipe has no bar
    assert [int(step) for step in told] == list(range(KEYS["eval_every"], STEPS + 1, KEYS["eval_every"]))
    counts = next(r for r in rows(data.parent / "alone") if "validation/hc_mm_frames" in r)
    drawn = sum(counts.get(f"validation/{name}_mm_frames", 0) for name in ("hc", "ac", "fl"))
    assert 0 < drawn <= KEYS["eval_frames"]
    return data.parent / "alone"


@pytest.fixture(scope="module")
def stopped(data) -> Path:
    """A run of two processes, stopped by a SIGTERM to the second one alone."""
    workdir = data.parent / "stopped"
    running = start(workdir, data, 2)
    deadline = time.monotonic() + 280
    while time.monotonic() < deadline and running[1].poll() is None:
        if (workdir / "metrics.jsonl").exists() and len(rows(workdir)) >= STOPPED:
            break
        time.sleep(0.02)
    running[1].send_signal(signal.SIGTERM)
    output = finish(running, 75)
    assert "a checkpoint is saved" in output[0]
    assert "2 cpu, processes 2" in output[0]
    assert "parameters" not in output[1]  # the first process prints for all
    assert "saved" not in output[1]
    return workdir


def resume(data: Path, stopped: Path, processes: int) -> Path:
    workdir = data.parent / f"on_in_{processes}"
    shutil.copytree(stopped, workdir)
    assert "resumed at step" in finish(start(workdir, data, processes))[0]
    return workdir


@pytest.mark.parametrize("processes", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_run_of_two_processes_resumes_in_another_number_and_all_train_like_one(data, alone, stopped, processes):
    same(alone, resume(data, stopped, processes))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])  # the coordinator, and one that is not
def test_lost_process_ends_the_others_with_a_code_that_starts_them_again(data, victim):
    workdir = data.parent / f"lost_{victim}"
    running = start(workdir, data, 2, keys={"total_steps": 1_000_000, "eval_every": 1_000_000})
    deadline = time.monotonic() + 280
    while time.monotonic() < deadline and not (workdir / "metrics.jsonl").exists():
        time.sleep(0.05)
    os.kill(running[victim].pid, signal.SIGKILL)
    running[victim].communicate()
    assert_starts_again(running[1 - victim])


def assert_starts_again(process: subprocess.Popen[str]) -> None:
    """The process has ended with our exit code and line about a lost process, or with JAX's own abort."""
    output = process.communicate(timeout=10 * distributed.DEAD_AFTER)[0]
    assert process.returncode in (134, -signal.SIGABRT), output
    if process.returncode == 134:
        (line,) = [line for line in output.splitlines() if line.startswith("fetal-jax train: ")]
        assert "another process of the run is gone or late" in line
        assert "the same call resumes at the newest checkpoint" in line


LATE = """
import jax
from functools import partial
jax.distributed.initialize = partial(jax.distributed.initialize, initialization_timeout=1)  # s, in place of 300
"""


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 1])
def test_process_that_waits_for_a_late_one_ends_with_a_code_that_starts_it_again(data, late):
    running = start(data.parent / "late", data, 2, first=LATE)
    running[late].kill()
    running[late].communicate()
    assert_starts_again(running[1 - late])


WITHOUT_A_FIRST = """
from fetal_jax.training import distributed
def start(*_):
    raise RuntimeError("Failed to recognize coordinator address t1v-0")  # as JAX on Cloud TPU, after 300 s
distributed.start = start
"""


def test_process_that_does_not_find_the_first_ends_with_a_code_that_starts_it_again(data):
    (alone,) = start(data.parent / "without", data, 1, first=WITHOUT_A_FIRST)
    assert_starts_again(alone)


FAULT = """
import jax
from fetal_jax.cli import train
from fetal_jax.training import distributed
def train_config(*_):
    distributed.all_agree(True)
    if jax.process_index() == 1:
        raise KeyError("ours")
    distributed.all_agree(True)
train.train_config = train_config
"""


def test_fault_of_the_program_in_one_of_several_processes_ends_it_with_1(data):
    other, faulty = start(data.parent / "fault", data, 2, first=FAULT)
    output = faulty.communicate(timeout=10 * distributed.DEAD_AFTER)[0]
    assert faulty.returncode == 1, output
    assert "Traceback" in output
    assert "gone or late" not in output
    assert_starts_again(other)


LOST = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed:\nConnection closed by peer")


@pytest.mark.parametrize(
    ("first", "then", "lost"),
    [
        (LOST, UserError("no checkpoint can be written"), True),  # a save that waits for the lost process
        (LOST, TimeoutError("barrier"), True),
        (ValueError(str(LOST)), UserError("then"), True),  # JAX's, where it does not compute ahead
        (ValueError("UNKNOWN: no space [tensorstore_spec='{}']"), UserError("no checkpoint can be written"), False),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), ValueError("then"), False),
        (UserError("no such data set"), LOST, False),
        (KeyError("ours"), ValueError("ours"), False),
        (RuntimeError("Failed to recognize coordinator address t1v-0"), ValueError("then"), True),
    ],
)
def test_first_known_error_tells_whether_a_process_is_lost(first, then, lost, monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    for chained in (from_cause, in_handler):
        said = distributed.lost_peer(chained(first, then))
        assert bool(said) == lost
        assert "\n" not in said


def test_one_process_has_none_to_lose():
    assert not distributed.lost_peer(LOST)


def from_cause(first: Exception, then: Exception) -> Exception:
    then.__cause__, then.__context__ = first, None
    return then


def in_handler(first: Exception, then: Exception) -> Exception:
    then.__cause__, then.__context__ = None, first
    return then


DIFFERENT_STARTS = """
import jax
import numpy as np
from fetal_jax.training import run, workdir
def start_parameters(config, params, sources):
    return jax.tree.map(lambda x: np.full(x.shape, jax.process_index() + np.pi, x.dtype), params), "drawn", []
def with_parameters(state, abstract, params, place=run.with_parameters):
    state = place(state, abstract, params)
    held = {float(x) for leaf in jax.tree.leaves(state.params) for x in np.unique(leaf.addressable_data(0))}
    print(f"process {jax.process_index()} holds {held}")
    return state
run.start_parameters, run.with_parameters, workdir.check_start = start_parameters, with_parameters, lambda _: None
"""


def test_every_process_starts_from_the_first_one_s_parameters(data):
    """A start that is computed twice may differ in bits, and what every process holds would differ for ever."""
    keys = {"init.bundle": "drawn", "total_steps": 1, "eval_every": 1}
    output = finish(start(data.parent / "starts", data, 2, first=DIFFERENT_STARTS, keys=keys))
    for k, text in enumerate(output):
        assert f"process {k} holds {{{np.pi}}}" in text


def test_one_process_keeps_its_own_start():
    tree = {"a": np.arange(3.0)}
    assert distributed.from_first(tree) is tree


def test_gathered_is_exact_bit_for_bit():
    own = np.array([[np.pi, np.nan], [1e-300, -0.0]])
    every = distributed.gathered(own)
    assert every.dtype == own.dtype
    assert every.shape == (1, 2, 2)
    assert every.tobytes() == own.tobytes()
    assert distributed.all_agree(True)
    assert not distributed.all_agree(False)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (("localhost:1", None, None), "processes"),
        (("localhost:1", 2, None), "process-id"),
        (("localhost:1", 2, 2), "process-id=2"),
        ((None, 2, 0), "coordinator"),
    ],
)
def test_incomplete_addresses_are_refused(given, names):
    with pytest.raises(UserError, match=names):
        distributed.start(*given)


def test_variable_must_be_a_number(monkeypatch):
    monkeypatch.setenv("FETAL_PROCESSES", "two")
    with pytest.raises(UserError, match="FETAL_PROCESSES"):
        distributed.start("localhost:1", None, 0)
