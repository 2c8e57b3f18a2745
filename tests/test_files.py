"""Atomic writes and the lock of a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from fetal_jax.errors import UserError
from fetal_jax.files import LOCK, OwnFiles, draft_of, lock, open_whole, spreadsheet_text, user_cache, write_whole


def test_a_write_replaces_text_and_bytes_and_leaves_no_draft(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, "old")
    write_whole(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    assert os.listdir(tmp_path) == ["a.json"]
    write_whole(path, "a name that is no text: \udcff")
    assert path.read_text() == "a name that is no text: \\udcff"


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half():
        with open_whole(path) as file:
            file.write(b"half")
            file.flush()
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failed_write_names_the_file_and_not_its_draft(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        write_whole(tmp_path / "missing" / "a.txt", "new")
    assert error.value.filename == str(tmp_path / "missing" / "a.txt")
    (tmp_path / "b.txt").mkdir()  # the draft is complete, and cannot take the name
    with pytest.raises(IsADirectoryError) as error:
        write_whole(tmp_path / "b.txt", "new")
    assert error.value.filename == str(tmp_path / "b.txt")


def test_a_kill_in_the_middle_keeps_the_old_file_and_the_next_write_takes_the_draft(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from fetal_jax.files import open_whole\n"
        "with open_whole(Path(sys.argv[1])) as f:\n"
        "    f.write(b'half'); f.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert draft_of(path).read_bytes() == b"half"
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_name_of_the_longest_length_can_be_written(tmp_path):
    path = tmp_path / ("胎" * 83 + ".json"[:6])  # 249 + 5 of 255 bytes
    write_whole(path, "x")
    assert path.read_text() == "x"


def test_a_second_process_is_refused_a_locked_folder(tmp_path):
    code = (
        "import sys, time; from fetal_jax.files import lock\n"
        "with lock(sys.argv[1]):\n    print('held', flush=True); time.sleep(600)\n"
    )
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=rf"another process is writing into {folder}: wait"), lock(folder):
            pass
        first.kill()
    with lock(folder):  # which the system released
        pass


def test_a_lock_that_the_block_leaves_by_an_error_is_released(tmp_path):
    with pytest.raises(ValueError, match="x"), lock(tmp_path):
        raise ValueError("x")
    with lock(tmp_path):
        assert (tmp_path / LOCK).read_bytes() == b""


def test_a_file_system_without_locks_locks_nothing(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", unknown)
    with lock(tmp_path), lock(tmp_path):
        pass
    monkeypatch.setattr(filelock.FileLock, "acquire", lambda *_: (_ for _ in ()).throw(OSError(errno.EACCES, "no")))
    with pytest.raises(OSError, match="no"), lock(tmp_path):
        pass


def test_a_user_without_a_home_has_a_cache_of_their_own(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home directory")))
    assert user_cache().name == f"fetal_jax-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/fetal_jax")


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        *(("=1+1", "'=1+1"), ("@x", "'@x"), ("+x", "'+x"), ("-x.png", "'-x.png"), ("\t=1", "'\t=1"), ("a=1", "a=1")),
        *(("-1.5", "-1.5"), ("+2", "+2"), ("-1e-05", "-1e-05"), (-3.0, -3.0), (None, None)),
    ],
)
def test_text_that_a_spreadsheet_would_run_is_quoted_and_numbers_are_not(cell, safe):
    assert spreadsheet_text(cell) == safe


def test_a_list_of_own_files_survives_a_line_cut_short(tmp_path):
    own = OwnFiles(tmp_path)
    own.claim("a/x.png").write_text("ours")
    with (tmp_path / OwnFiles.LIST).open("a") as f:
        f.write('"b')
    again = OwnFiles(tmp_path)
    assert "a/x.png" in again
    (tmp_path / "y").write_text("mine")
    with pytest.raises(UserError, match="y was not written by this program"):
        again.claim("y")
    draft_of(tmp_path / "a" / "x.png").write_text("half")
    again.clear(keep=lambda _: False)
    assert not list((tmp_path / "a").iterdir())
    assert (tmp_path / "y").read_text() == "mine"
    assert "a/x.png" not in OwnFiles(tmp_path)


def test_a_list_that_names_files_outside_its_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    OwnFiles(tmp_path / "out").claim("a.png")
    with (tmp_path / "out" / OwnFiles.LIST).open("a") as f:
        f.write('"../victim.txt"\n')
    (tmp_path / "victim.txt").write_text("mine")
    with pytest.raises(UserError, match="give another --out"):
        OwnFiles(tmp_path / "out")
    assert (tmp_path / "victim.txt").read_text() == "mine"
