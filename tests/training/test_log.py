"""Rows of a run: what is skipped is counted, what comes after the resumed step is cut off, a trace is readable."""

from __future__ import annotations

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import config as recipe
from fetal_jax.training.log import Log, Progress, Trace

NAMES = ["a.png", "b.png", "c.png", "d.png"]


def log(folder, start=0, **keys):
    config = recipe.defaults()
    config.update({"log_every": 1, "max_bad_steps": 3} | keys)
    return Log(folder, start, config, Progress(), float, NAMES)


def push(to, step, loss, stop=False):
    bad = int(not np.isfinite(loss))
    to.push(step, {"loss": np.float32(loss), "skipped": np.int32(bad), "stop": np.bool_(stop)}, np.array([2, 0]))


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_bad_steps_are_counted_and_forgiven_by_a_good_one(tmp_path):
    to = log(tmp_path)
    for step, loss in enumerate([1.0, np.nan, np.inf, 0.5, np.nan, np.nan], 1):
        push(to, step, loss)
    to.close()
    assert [r["skipped"] for r in rows(tmp_path)] == [0, 1, 2, 2, 3, 4]
    assert [r["loss"] for r in rows(tmp_path)] == [1.0, None, None, 0.5, None, None]
    assert to.progress.bad_in_a_row == 2


def test_too_many_in_a_row_end_the_run_with_the_frames_names(tmp_path):
    to = log(tmp_path)
    for step in range(1, 4):
        push(to, step, np.nan)
    with pytest.raises(FloatingPointError, match=r"3 steps in a row, up to step 3.*a\.png, c\.png"):
        to.close()


def test_a_row_counts_bad_steps_across_a_restart(tmp_path):
    before = Progress(skipped=5, bad_in_a_row=2, failures={10: 0.25})
    meta = json.loads(json.dumps({"dataset": "x", "progress": before.to_meta()}))
    after = Progress()
    after.take(meta)
    assert after == before
    assert meta == {"dataset": "x"}
    after.take({})  # saved before there was any
    assert after.skipped == 0


def test_one_process_told_to_stop_is_seen_a_step_late(tmp_path):
    to = log(tmp_path)
    push(to, 1, 1.0, stop=True)
    assert not to.stopped
    push(to, 2, 1.0)
    assert to.stopped
    to.close()


def test_rows_after_the_resumed_step_and_a_cut_one_go(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    to = log(tmp_path, start=2)
    push(to, 3, 1.0)
    to.close()
    assert [r["step"] for r in rows(tmp_path)] == [1, 2, 3]


def test_perfetto_reads_the_trace(tmp_path, capsys):
    trace, double = Trace(tmp_path / "profile", first=3, count=2), jax.jit(lambda x: x @ x)
    for step in range(1, 7):
        x = double(jnp.ones((64, 64)))
        trace.after(step, x)
    trace.close()
    (found,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    assert str(found) in capsys.readouterr().out
    names = [event.get("name", "") for event in json.loads(gzip.decompress(found.read_bytes()))["traceEvents"]]
    assert any("Execute" in name for name in names)  # what XLA ran, beside what Python did
