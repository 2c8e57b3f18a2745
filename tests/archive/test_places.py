"""Buckets through Arrow, with its own file system of the disk in the bucket's place: patterns, copies, results."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fetal_jax.archive import places
from fetal_jax.cli.main import main
from fetal_jax.errors import UserError
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
    return [place.removeprefix(bucket) for place in places.objects(bucket + pattern)]


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
    monkeypatch.setattr(places, "FIRST_SECONDS", 1)
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

    monkeypatch.setattr(places.fs, "FileSystem", SimpleNamespace(from_uri=no_region))
    with pytest.raises(UserError, match=r"s3://b/x cannot be reached .When resolving region"):
        list(places.objects("s3://b/x"))


def test_a_copy_keeps_its_folders_and_stays_below_the_folder(bucket, tmp_path):
    (tmp_path / "copies").mkdir()
    copy = places.fetch(f"{bucket}/a b/3 #.png", tmp_path / "copies")
    assert copy.read_bytes() == b"x"
    assert str(copy).endswith("/a b/3 #.png")
    climbing = places.fetch(f"{bucket}/a/../x.tar", tmp_path / "copies")
    assert climbing.is_relative_to(tmp_path / "copies")
    assert ".." not in climbing.parts


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder, draft = places.Folder(str(tmp_path / "out")), tmp_path / "draft"
    draft.write_text("new")
    folder.put(draft, "part/a")
    assert folder.names("part") == ["a"]

    def full(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(places.shutil, "copyfile", full)
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
    assert any(row["what"] == "sr" and "is no DICOM file" in row["reason"] for row in dead)
    assert not any("fetal-jax-" in (row["reason"] or "") for row in (*frames, *dead))
    on_disk = Path(tmp_path / "disk")
    assert called("archive", tmp_path / "in", f"--spacing-mm={MM}", f"--out={on_disk}").returncode == 3
    assert {r["sha256"]: r["hc_mm"] for r in rows(on_disk, "frames")} == {r["sha256"]: r["hc_mm"] for r in frames}
    check(on_disk, expected)
