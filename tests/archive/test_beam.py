"""The same shards through Apache Beam. `make beam` makes its environment and runs this file in it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam has an environment of its own: make beam")

from fetal_jax.archive import local
from fetal_jax.archive.beam import run as run_beam
from fetal_jax.errors import UserError
from tests.archive.test_local import run
from tests.support.archives import check, write_tars


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.parquet")}


def by_beam(*flags: str):
    def measure(job, plan, scratch):
        run_beam(job, plan, scratch / "plan.jsonl", "direct", flags, lambda _: None)
        yield from ((shard, "") for shard in plan)

    return measure


def test_beam_writes_the_files_of_local(tmp_path):
    expected = write_tars(tmp_path / "in", 40, 10)
    run(tmp_path / "in", tmp_path / "beam", by_beam())
    check(tmp_path / "beam", expected)
    run(tmp_path / "in", tmp_path / "local", lambda job, plan, _: local.run(job, plan, workers=1))
    assert contents(tmp_path / "beam") == contents(tmp_path / "local")
    assert not (tmp_path / "beam" / "plan.jsonl").exists()


def test_a_pipeline_that_fails_is_told_and_the_same_call_resumes(tmp_path, monkeypatch):
    expected = write_tars(tmp_path / "in", 6, 2)
    from fetal_jax.archive import beam

    real, done = beam.Worker.run, []

    def fails(self, shard):
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(shard.key)
        return real(self, shard)

    with monkeypatch.context() as patch:
        patch.setattr(beam.Worker, "run", fails)
        with pytest.raises(UserError, match="No space left"):
            run(tmp_path / "in", tmp_path / "out", by_beam())
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 2
    run(tmp_path / "in", tmp_path / "out", by_beam())
    check(tmp_path / "out", expected)


def test_workers_are_processes_where_beams_flags_say_so(tmp_path):
    expected = write_tars(tmp_path / "in", 6, 2)
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    run(tmp_path / "in", tmp_path / "out", by_beam(*flags))
    check(tmp_path / "out", expected)
