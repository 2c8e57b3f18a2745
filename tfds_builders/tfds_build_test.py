"""`tfds build` on the command line builds each of the four data sets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


# none of the dummy data's women is in women.csv, so that `outlines` has no frame
OPTIONS: dict[str, list[str]] = {"fetal_phantom": [], "fetal_planes": ["--config=official"], "folder": [], "hc18": []}


@pytest.mark.parametrize("name", OPTIONS)
def test_tfds_build(name: str, tmp_path: Path) -> None:
    """Build one example per split from the dummy data."""
    manual = [f"--manual_dir={HERE / name / 'dummy_data'}"] if (HERE / name / "dummy_data").is_dir() else []
    command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build", *manual]
    command += [f"--data_dir={tmp_path}", "--max_examples_per_split=1", *OPTIONS[name]]
    done = subprocess.run(command, cwd=HERE / name, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / name).rglob("dataset_info.json"))
