"""`.ci/run` installs what tests want, says what is skipped, and calls `make test` in any case."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import ROOT

NAMES = ("chromium", "orthanc", "orthanc-dicomweb", "dicom3tools", "pixelmed-apps")


@pytest.fixture
def ci(tmp_path):
    """Run `.ci/run` with stand-ins; (its messages, its calls, what `make` saw of the environment)."""

    def run(installable: tuple[str, ...], **environment):
        scripts = {
            "id": "echo 0",
            "dpkg-query": f'for last; do :; done; grep -qx "$last" {tmp_path}/have && echo "install ok installed"',
            "apt-get": f'case "$*" in *install*) for last; do :; done; grep -qx "$last" {tmp_path}/offered && '
            f'echo "$last" >>{tmp_path}/have ;; *) exit 100 ;; esac',
            "make": f"env >{tmp_path}/environment",
        }
        (tmp_path / "offered").write_text("\n".join(installable) + "\n")
        (tmp_path / "have").write_text("")
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/calls\n{script}\n')
            (folder / name).chmod(0o755)
        env = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path)} | environment
        done = subprocess.run([ROOT / ".ci" / "run"], env=env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        calls = (tmp_path / "calls").read_text().splitlines()
        assert calls[-1] == "make test"
        return done.stderr, calls, (tmp_path / "environment").read_text()

    return run


def test_packages_are_installed_and_their_tests_switched_on(ci, tmp_path):
    said, calls, environment = ci(NAMES, FETAL_DATA_DIR=str(tmp_path))
    assert "skipped" not in said
    assert [c.split()[-1] for c in calls if "install --yes" in c] == list(NAMES)
    assert all("--no-install-recommends" in c for c in calls if "install --yes" in c)
    assert calls.index("apt-get update --quiet=2") < min(i for i, c in enumerate(calls) if "install --yes" in c)
    for line in ("FETAL_BROWSER_TESTS=1", "FETAL_PACS_TESTS=1", f"FETAL_DATA_DIR={tmp_path}"):
        assert line in environment.splitlines()


def test_without_packages_the_rest_runs_and_the_skipped_tests_are_named(ci, tmp_path):
    said, _, environment = ci(("dicom3tools",), FETAL_DATA_DIR=str(tmp_path / "nowhere"))
    assert len([line for line in said.splitlines() if line.startswith("skipped: ")]) == 4
    for part in ("browser", "PACS", "TID 1500", "real frames"):
        assert part in said
    assert not [line for line in environment.splitlines() if line.startswith("FETAL_")]
