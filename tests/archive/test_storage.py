"""Buckets through Arrow, with its own file system of the disk in the bucket's place: patterns, copies, results."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fetal_jax.archive import storage
from fetal_jax.archive.worker import Worker
from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
from tests.archive.test_local import run
from tests.support.archives import MM, check, frame, rows, write_tars
from tests.support.command import called


@pytest.fixture
def bucket(tmp_path) -> str:
    for name in ("a/1.png", "a/b/2.png", "a/notes.txt", "a b/3 #.png", "x.tar", "a/IM_1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a" / "IM_2").write_bytes(bytes(128) + b"DICM")
    return f"file://{tmp_path}"


def found(bucket: str, pattern: str) -> list[str]:
    return [place.removeprefix(bucket) for place in storage.objects(bucket + pattern)]


def test_patterns_and_folders_name_objects_as_measure_names_files(bucket):
    assert found(bucket, "/a") == ["/a/1.png", "/a/IM_2", "/a/b/2.png"]
    assert found(bucket, "/a/") == ["/a/1.png", "/a/IM_2", "/a/b/2.png"]
    assert found(bucket, "/*.tar") == ["/x.tar"]
    assert found(bucket, "/x.tar") == ["/x.tar"]
    assert found(bucket, "/*/*.png") == ["/a b/3 #.png", "/a/1.png"]
    assert found(bucket, "/**/*.png") == ["/a b/3 #.png", "/a/1.png", "/a/b/2.png"]
    assert found(bucket, "/a/?.*") == ["/a/1.png"]
    assert found(bucket, "/a/notes.txt") == ["/a/notes.txt"]
    for nothing in ("/none", "/*.jpg"):
        with pytest.raises(UserError, match="does not exist"):
            found(bucket, nothing)
    with pytest.raises(UserError, match="cannot be opened"):
        found("nothing", "://x/y")


def test_a_bucket_that_does_not_answer_is_named_soon(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", "http://127.0.0.1:1")  # nobody listens there
    monkeypatch.setattr(storage, "FIRST_SECONDS", 1)
    since = time.monotonic()
    for call in (["gs://anonymous@b/x", f"--out={tmp_path}/o"], [str(tmp_path), "--out=gs://anonymous@b/o"]):
        assert main(["archive", *call]) == 2
        said = capsys.readouterr().err
        assert "gs://anonymous@b/" in said
        assert "cannot be reached" in said
        assert "the credentials" in said
    assert time.monotonic() - since < 60

    def no_region(uri: str) -> None:
        raise OSError("When resolving region for bucket 'b'")

    monkeypatch.setattr(storage.fs, "FileSystem", SimpleNamespace(from_uri=no_region))
    with pytest.raises(UserError, match=r"s3://b/x cannot be reached .When resolving region"):
        list(storage.objects("s3://b/x"))


def test_a_copy_keeps_its_folders_and_stays_below_the_folder(bucket, tmp_path):
    (tmp_path / "copies").mkdir()
    copy = storage.fetch(f"{bucket}/a b/3 #.png", tmp_path / "copies")
    assert copy.read_bytes() == b"x"
    assert str(copy).endswith("/a b/3 #.png")
    climbing = storage.fetch(f"{bucket}/a/../x.tar", tmp_path / "copies")
    assert climbing.is_relative_to(tmp_path / "copies")
    assert ".." not in climbing.parts


class Store:
    """Arrow's file system of the disk, which does not give out what is called frozen; it may be away."""

    REASON = "AWS Error INVALID_OBJECT_STATE during GetObject operation: not valid for the storage class"
    away = False

    def __init__(self, disk):
        self._disk = disk

    def __getattr__(self, name):
        return getattr(self._disk, name)

    def get_file_info(self, what):
        if self.away:
            raise OSError("AWS Error NETWORK_CONNECTION")
        return self._disk.get_file_info(what)

    def open_input_stream(self, path):
        if "frozen" in path:
            raise OSError(self.REASON)
        return Cut() if "cut" in path else self._disk.open_input_stream(path)


class Cut:
    """A stream that ends in an error."""

    def __init__(self):
        self._pieces = iter([b"begin"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, _):
        if piece := next(self._pieces, None):
            return piece
        raise OSError(Store.REASON)


@pytest.fixture
def store(monkeypatch):
    def opened(*place, real=storage._opened):
        disk, path, prefix = real(*place)
        return Store(disk), path, prefix

    monkeypatch.setattr(storage, "_opened", opened)
    monkeypatch.setattr(Store, "away", False)
    return Store


def test_an_object_that_is_not_given_out_is_listed_and_says_why(bucket, store, tmp_path, monkeypatch):
    for name in ("IM_frozen", "frozen.png", "cut.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    assert found(bucket, "/a") == ["/a/1.png", "/a/IM_2", "/a/IM_frozen", "/a/b/2.png", "/a/cut.png", "/a/frozen.png"]
    for name in ("frozen.png", "cut.png"):
        with pytest.raises(storage.Unreadable, match=rf"/a/{name} cannot be read \(AWS Error INVALID_OBJECT_STATE"):
            storage.fetch(f"{bucket}/a/{name}", tmp_path / "copies")
    with pytest.raises(storage.Unreadable, match=r"/a/none.png does not exist"):
        storage.fetch(f"{bucket}/a/none.png", tmp_path / "copies")
    (tmp_path / "full").write_text("a file where the folder must be")
    with pytest.raises(OSError, match="full"):
        storage.fetch(f"{bucket}/a/1.png", tmp_path / "full")
    monkeypatch.setattr(store, "away", True)
    with pytest.raises(UserError, match=r"/a cannot be reached \(AWS Error NETWORK_CONNECTION"):
        storage.fetch(f"{bucket}/a/frozen.png", tmp_path / "copies")


def in_this_process(job, plan, scratch):
    worker = Worker(job)
    try:
        yield from [(shard, worker.run(shard)) for shard in plan]
    finally:
        worker.close()


def test_an_object_that_is_not_given_out_is_a_dead_letter_with_the_stores_reason(tmp_path, store, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    write_tars(folder, 1, 1, poisoned=False)
    (folder / "00000.tar").rename(folder / "frozen.tar")
    for number, name in enumerate(("good.png", "frozen.png"), start=5):
        (folder / name).write_bytes(frame(number))
    (folder / "IM_frozen").write_bytes(bytes(128) + b"DICM")
    summary = run(f"file://{folder}", out, in_this_process)
    assert [Path(row["file"]).name for row in rows(out, "frames")] == ["good.png"]
    dead = {row["file"]: row["reason"] for row in rows(out, "dead_letters")}
    assert set(dead) == {f"file://{folder}/{name}" for name in ("IM_frozen", "frozen.png", "frozen.tar")}
    for file, reason in dead.items():
        assert reason.startswith(f"{file} cannot be read ({store.REASON})")
    assert summary.tally.statuses["error"] == 3
    monkeypatch.undo()
    run(f"file://{folder}", out, in_this_process)
    assert len(rows(out, "frames")) == 3
    (damaged,) = rows(out, "dead_letters")
    assert damaged["file"] == f"file://{folder}/IM_frozen"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder, draft = storage.Folder(str(tmp_path / "out")), tmp_path / "draft"
    draft.write_text("new")
    folder.put(draft, "part/a")
    assert folder.names("part") == ["a"]

    def full(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(storage.shutil, "copyfile", full)
    draft.write_text("newer")
    with pytest.raises(OSError, match="no space"):
        folder.put(draft, "part/a")
    assert folder.read("part/a") == b"new"
    assert [p.name for p in (tmp_path / "out" / "part").iterdir()] == ["a"]


@pytest.mark.slow
def test_frames_and_results_in_a_bucket(tmp_path):
    expected = write_tars(tmp_path / "in", 6, 3)
    (tmp_path / "in" / "plain.png").write_bytes(frame(70))
    expected["good"] += 1
    where, out = f"file://{tmp_path}/in/*", f"file://{tmp_path}/out"
    done = called("archive", where, f"--spacing-mm={MM}", "--also=sr", f"--out={out}")
    assert done.returncode == 3, done.stderr
    frames, dead = (rows(tmp_path / "out", kind) for kind in ("frames", "dead_letters"))
    assert len(frames) == expected["good"]
    assert all(row["file"].startswith(f"file://{tmp_path}/in/") for row in (*frames, *dead))
    assert any(row["what"] == "sr" and "is not a DICOM file" in row["reason"] for row in dead)
    assert not any("fetal-jax-" in (row["reason"] or "") for row in (*frames, *dead))
    on_disk = Path(tmp_path / "disk")
    assert called("archive", tmp_path / "in", f"--spacing-mm={MM}", f"--out={on_disk}").returncode == 3
    assert {r["sha256"]: r["hc_mm"] for r in rows(on_disk, "frames")} == {r["sha256"]: r["hc_mm"] for r in frames}
    check(on_disk, expected)
