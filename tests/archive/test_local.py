"""Plain processes: a worker that is killed is replaced; files that kill every worker become dead letters."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fetal_jax.archive import local, shards, sweep
from fetal_jax.archive.worker import Job, Worker
from fetal_jax.errors import UserError
from fetal_jax.inference.identity import Naming
from fetal_jax.reading.spacing_table import Spacings
from tests.support.archives import MM, check, frame, rows, write_tars


def job_of(out: Path) -> Job:
    naming = Naming(None, False)
    return Job(str(out), "default", "onnx", "auto", Spacings("flag", constant=MM), (), naming, "hadlock", "")


def run(folder: Path, out: Path, measure, job: Job | None = None) -> sweep.Totals:
    inputs, _ = sweep.inputs([str(folder)], str(out))
    return sweep.run(job or job_of(out), [str(folder)], inputs, measure, lambda _: None)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path):
    expected = write_tars(tmp_path / "in", 40, 5)
    killed = []

    def measure(job, plan, scratch):
        for number, done in enumerate(local.run(job, plan, workers=2)):
            yield done
            if number in (1, 3):
                worker = multiprocessing.active_children()[0]
                os.kill(worker.pid, signal.SIGKILL)
                killed.append(worker.pid)

    summary = run(tmp_path / "in", tmp_path / "out", measure)
    assert len(set(killed)) == 2
    check(tmp_path / "out", expected)
    assert summary.tally.statuses.total() == expected.total()


class Deadly(Worker):
    """Dies of one file, as of memory that ran out."""

    def run(self, shard):
        if any("deadly" in file for file in shard.files):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(shard)


def serve_deadly(job, line):
    local.Worker = Deadly
    local.serve_shards(job, line)


@pytest.mark.slow
def test_files_that_kill_every_worker_are_dead_letters_and_the_next_call_tries_them_again(tmp_path):
    write_tars(tmp_path / "in", 4, 2, poisoned=False)
    write_tars(tmp_path / "in" / "deadly", 1, 1, poisoned=False)

    def measure(job, plan, scratch):
        return local.run(job, plan, workers=1)

    def deadly(job, plan, scratch):
        return local.run(job, plan, workers=1, serve=serve_deadly)

    summary = run(tmp_path / "in", tmp_path / "out", deadly)
    assert summary.tally.statuses["error"] == 1
    assert len(rows(tmp_path / "out", "frames")) == 4
    (dead,) = rows(tmp_path / "out", "dead_letters")
    assert "ended 3 workers" in dead["reason"]
    assert dead["source"] == dead["file"] == str(tmp_path / "in" / "deadly" / "00000.tar")
    assert run(tmp_path / "in", tmp_path / "out", measure).tally.statuses["error"] == 0
    assert len(rows(tmp_path / "out", "frames")) == 5
    assert not rows(tmp_path / "out", "dead_letters")


@pytest.mark.slow
def test_a_measured_file_that_is_replaced_by_one_that_kills_every_worker_leaves_no_old_rows(tmp_path):
    write_tars(tmp_path / "in", 4, 2, poisoned=False)
    write_tars(tmp_path / "in" / "deadly", 2, 2, poisoned=False)
    job = replace(job_of(tmp_path / "out"), also=("svg",))
    run(tmp_path / "in", tmp_path / "out", lambda job, plan, _: local.run(job, plan, workers=1), job)
    assert len(rows(tmp_path / "out", "frames")) == 6
    (tmp_path / "in" / "deadly" / "00000.tar").write_bytes((tmp_path / "in" / "00001.tar").read_bytes())

    def deadly(job, plan, scratch):
        return local.run(job, plan, workers=1, serve=serve_deadly)

    summary = run(tmp_path / "in", tmp_path / "out", deadly, job)
    frames, (dead,) = rows(tmp_path / "out", "frames"), rows(tmp_path / "out", "dead_letters")
    assert {Path(row["source"]).parent.name for row in frames} == {"in"}
    assert Path(dead["file"]).parent.name == "deadly"
    assert (summary.tally.frames, summary.tally.statuses["error"]) == (4, 1)
    assert len(list((tmp_path / "out" / "svg").iterdir())) == 2


def test_a_full_disk_ends_the_call_and_says_so(tmp_path, monkeypatch):
    write_tars(tmp_path / "in", 1, 1, poisoned=False)

    def measure(job, plan, scratch):
        (tmp_path / "out" / "frames").write_text("a file where the folder must be")
        return local.run(job, plan, workers=1)

    with pytest.raises((UserError, OSError), match=r"make room|[Nn]ot a directory|exists"):
        run(tmp_path / "in", tmp_path / "out", measure)


class Failing(Worker):
    """Has another bundle than the call."""

    def __init__(self, _):
        raise UserError("another bundle")


class EndedAtOnce:
    """A line to a parent that ends its worker as soon as it has read the failure."""

    def __init__(self, line):
        self.recv, self._line = line.recv, line

    def send(self, message):
        self._line.send(message)
        os.kill(os.getpid(), signal.SIGTERM)


def serve_failing(job, line):
    local.Worker = Failing
    local.serve_shards(job, EndedAtOnce(line))


def test_a_worker_that_failed_says_why_once_and_without_a_traceback(tmp_path, capfd):
    with pytest.raises(UserError, match="another bundle"):
        list(local.run(job_of(tmp_path), [shards.Shard(("x.png",))], workers=1, serve=serve_failing))
    assert not capfd.readouterr().err


class Unable(Worker):
    """Cannot read its results folder."""

    def __init__(self, _):
        raise OSError("AWS Error ACCESS_DENIED")


def serve_unable(job, line):
    local.Worker = Unable
    local.serve_shards(job, line)


def test_a_folder_that_cannot_be_read_is_not_called_full_alone(tmp_path):
    words = rf"{tmp_path} cannot be written or read \(AWS Error ACCESS_DENIED\): check what is there and who may write"
    with pytest.raises(UserError, match=words):
        list(local.run(job_of(tmp_path), [shards.Shard(("x.png",))], workers=1, serve=serve_unable))


def test_a_worker_of_another_call_refuses_to_measure(tmp_path):
    with pytest.raises(UserError, match="another version, bundle or FETAL_JAX_KEY"):
        Worker(replace(job_of(tmp_path), call=shards.digest(["another"])))


def test_the_network_is_opened_once_a_worker_and_one_reader_serves_all_shards(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(Job, "open", lambda self, real=Job.open: opened.append(1) or real(self))
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(frame(number))

    def measure(job, plan, scratch):
        files = plan[0].files
        opened.clear()
        worker = Worker(job)
        try:
            readers = set()
            for file in files:
                shard = shards.Shard((file,))
                yield shard, worker.run(shard)
                readers.add(id(worker._frames))
            assert len(readers) == len(opened) == 1
        finally:
            worker.close()

    run(tmp_path / "in", tmp_path / "out", measure)
    assert len(opened) == 1
