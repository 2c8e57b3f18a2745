"""What README.md and docs/ tell a reader to run is there."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support import ROOT

TEXT = "\n".join(p.read_text() for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


TARGETS = sorted(set(re.findall(r"(?m)(?:^|`)make ([a-z0-9]+)", TEXT)))


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_its_targets(target):
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:benchmarks|configs|launch|docs|tests)/\w+\.\w+", TEXT))))
def test_files_are_there(path):
    assert (ROOT / path).is_file()
