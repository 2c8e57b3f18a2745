"""What the commands do around the work: devices, signals."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import jax
import pytest

from fetal_jax import config as recipe
from fetal_jax.cli import demo, train
from fetal_jax.errors import UserError
from fetal_jax.training.run import Preempted


@pytest.mark.parametrize(("cores", "accumulate", "devices"), [(8, 1, 8), (8, 2, 4), (4, 4, 2), (3, 1, 2), (2, 8, 1)])
def test_as_many_devices_as_divide_what_is_taken_at_a_time(monkeypatch, cores, accumulate, devices):
    config = recipe.defaults()
    config.batch_size, config.accumulate = 8, accumulate
    told = {}
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    train._use_all_cores(config)
    assert told == {"jax_num_cpu_devices": devices}


@pytest.mark.parametrize("given", ["", f"{train.WAIT}=60"])
def test_a_device_waits_for_another_one_on_a_busy_machine(monkeypatch, given):
    monkeypatch.setenv("XLA_FLAGS", given)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    train._use_all_cores(recipe.defaults())
    assert os.environ["XLA_FLAGS"] == (given or f"{train.WAIT}=86400")


def test_a_demo_that_is_told_to_stop_says_start_me_again(monkeypatch, tmp_path, capsys):
    def stopped(*_):
        raise Preempted("stopped at step 3 of 9: a checkpoint is saved")

    monkeypatch.setattr(demo, "call", lambda *_: None)
    monkeypatch.setattr(demo, "train_config", stopped)
    args = Namespace(config="configs/demo.py", out=tmp_path, data_dir=Path("none"))
    assert demo.run(args, []) == os.EX_TEMPFAIL
    assert "stopped at step 3" in capsys.readouterr().out


def test_a_demo_of_another_configuration_is_refused_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "call", lambda *_: pytest.fail("work before the refusal"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "config.json").write_text(recipe.to_json(recipe.load("demo", [])))
    with pytest.raises(UserError, match=r"\(model\.width: 16 / 8\): add --out=DIR, or remove"):
        demo.run(Namespace(config="demo", out=tmp_path, data_dir=Path("none")), ["--config.model.width=8"])


def test_demo_that_cannot_be_written_is_refused_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "call", lambda *_: pytest.fail("work before the refusal"))
    (tmp_path / "out").touch()
    with pytest.raises(OSError, match="out"):
        demo.run(Namespace(config="demo", out=tmp_path / "out", data_dir=Path("none")), [])


def test_demo_refuses_a_folder_with_other_files(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "call", lambda *_: pytest.fail("work before the refusal"))
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "mine.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"mine\.png is not a frame of the demo"):
        demo.run(Namespace(config="demo", out=tmp_path, data_dir=Path("none")), [])
    assert (tmp_path / "frames" / "mine.png").read_bytes() == b"mine"
    (tmp_path / "frames" / "mine.png").unlink()
    for text in ("mine", "filename,spacing_mm\nmine.png,0.2\n"):
        (tmp_path / "spacing.csv").write_text(text)
        with pytest.raises(UserError, match=r"spacing\.csv is not a table of the demo"):
            demo.run(Namespace(config="demo", out=tmp_path, data_dir=Path("none")), [])
        assert (tmp_path / "spacing.csv").read_text() == text


def test_demo_draws_twice_into_its_own_folder_but_overwrites_no_other_table(tmp_path):
    table = demo.draw_folder(tmp_path / "frames")
    assert demo.draw_folder(tmp_path / "frames") == table
    assert len(table.read_text().splitlines()) == 1 + len(list((tmp_path / "frames").iterdir()))
    table.write_text("mine")
    with pytest.raises(UserError, match=r"spacing\.csv is not a table of the demo"):
        demo.draw_folder(tmp_path / "frames")
    assert table.read_text() == "mine"
