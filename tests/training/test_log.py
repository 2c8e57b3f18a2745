"""Rows of a run: skipped steps are counted, rows after the resumed step are removed, a trace is readable."""

from __future__ import annotations

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax.config import from_values
from fetal_jax.training.log import Log, Progress, Trace

NAMES = ["a.png", "b.png", "c.png", "d.png"]


def log(folder, start=0, every=1):
    return Log(folder, start, from_values({"log_every": every, "max_bad_steps": 3}), Progress(), float, NAMES)


def push(to, step, loss, stop=False):
    bad = int(not np.isfinite(loss))
    to.push(step, {"loss": np.float32(loss), "skipped": np.int32(bad), "stop": np.bool_(stop)}, np.array([2, 0]))


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_skipped_steps_are_counted_and_a_finite_one_ends_the_streak(tmp_path):
    to = log(tmp_path)
    for step, loss in enumerate([1.0, np.nan, np.inf, 0.5, np.nan, np.nan], 1):
        push(to, step, loss)
    to.flush()
    to.close()
    assert [r["skipped"] for r in rows(tmp_path)] == [0, 1, 2, 2, 3, 4]
    assert [r["loss"] for r in rows(tmp_path)] == [1.0, None, None, 0.5, None, None]
    assert to.progress.consecutive_nonfinite == 2


def test_learning_rate_is_that_of_the_step(tmp_path):
    to = log(tmp_path)  # its schedule is the number of updates before
    for step, loss in enumerate([1.0, np.nan, 1.0, 1.0], 1):
        push(to, step, loss)
    to.flush()
    to.close()
    assert [r["lr"] for r in rows(tmp_path)] == [0, 1, 1, 2]  # a skipped step is no update


def test_too_many_nonfinite_steps_stop_the_run_and_name_the_frames(tmp_path):
    to = log(tmp_path)
    for step in range(1, 4):
        push(to, step, np.nan)
    with pytest.raises(FloatingPointError, match=r"3 steps in a row, up to step 3.*a\.png, c\.png"):
        to.flush()


def test_a_structure_that_the_network_never_found_is_called_so(tmp_path):
    to = log(tmp_path)
    to.validation(1, {"hc_mm_mae": 2.5, "ac_mm_mae": float("nan"), "ac_mm_missing": 3.0}, 0.5, 0.0)
    to.close()
    assert to.summary(1) == "HC=2.50mm, AC=not found"
    assert rows(tmp_path)[0]["validation/ac_mm_mae"] is None


def test_a_line_of_a_step_repeats_no_value_of_an_older_one(tmp_path):
    to = log(tmp_path, every=2)
    said = []
    for step, loss in enumerate([4.0, 3.0, 2.0], 1):
        push(to, step, loss)
        to.flush()
        if step != 3:
            to.validation(step, {"hc_mm_mae": 2.5 / step}, 0.5, 0.0)
        said.append([value.split("=")[0] for value in to.summary(step).split(", ")])
    to.close()
    assert said == [["loss", "HC"], ["loss", "HC", "frames/s"], ["loss"]]
    assert to.summary(3) == "loss=2.0000"
    assert to.summary().startswith("loss=2.0000, HC=1.25mm, frames/s=")  # the bar keeps the newest of each


def test_progress_survives_a_restart():
    before = Progress(skipped=5, consecutive_nonfinite=2, validation_scores={10: 0.25})
    meta = json.loads(json.dumps({"dataset": "x", "progress": before.to_meta()}))
    after = Progress()
    after.restore(meta)
    assert after == before
    assert meta == {"dataset": "x"}


def test_progress_of_older_checkpoints_is_read():
    progress = Progress()
    progress.restore({"progress": {"skipped": 5, "bad_in_a_row": 2, "failures": {"10": 0.25}}})
    assert progress == Progress(skipped=5, consecutive_nonfinite=2, validation_scores={10: 0.25})
    first = Progress()
    first.restore({})  # the first checkpoints had none
    assert first == Progress()


def test_stop_request_is_seen_one_step_late(tmp_path):
    to = log(tmp_path)
    push(to, 1, 1.0, stop=True)
    assert not to.stopped
    push(to, 2, 1.0)
    assert to.stopped
    to.close()


def test_rows_after_the_resumed_step_and_a_truncated_row_are_removed(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    to = log(tmp_path, start=2)
    push(to, 3, 1.0)
    to.flush()
    to.close()
    assert [r["step"] for r in rows(tmp_path)] == [1, 2, 3]


def test_trace_is_a_perfetto_trace(tmp_path, capsys):
    trace, double = Trace(tmp_path / "profile", first=3, count=2), jax.jit(lambda x: x @ x)
    for step in range(1, 7):
        x = double(jnp.ones((64, 64)))
        trace.after(step, x)
    trace.close()
    (found,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    assert str(found) in capsys.readouterr().out
    names = [event.get("name", "") for event in json.loads(gzip.decompress(found.read_bytes()))["traceEvents"]]
    assert any("Execute" in name for name in names)  # XLA's part, beside Python's
