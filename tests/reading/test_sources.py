"""What is looked for in folders, patterns and archives: what cannot be read is a row that says why, never left out."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import ANNOTATION, EARLIER, Source, expand, find

GREY = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path)
    return path


def reason(source: Source) -> str:
    (item,) = read(source)
    return item.reason


# ------------------------------------------------------------------------------------ folders that are not listed


@pytest.fixture
def listings(monkeypatch) -> Counter[str]:
    """Folders that are listed, by name; one that is called `locked` is not: tests may run as root."""
    counts, scandir = Counter(), os.scandir

    def counted(path="."):
        name = Path(path).name
        counts[name] += 1
        if name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    return counts


@pytest.mark.parametrize("pattern", ["", "**/*.png", "**", "*", "*/*.png", "[b-l]*/*.png"])
@pytest.mark.usefixtures("listings")
def test_a_folder_that_cannot_be_listed_is_a_row(tmp_path, pattern):
    picture(tmp_path / "b" / "a.png")
    picture(tmp_path / "locked" / "c.png")
    found = find([tmp_path / pattern])
    assert sorted(str(s.path.relative_to(tmp_path)) for s in found.sources) == ["b/a.png", "locked"]
    (locked,) = (s for s in found.sources if s.path.name == "locked")
    expected = (
        f"{tmp_path / 'locked'} cannot be listed (Permission denied): allow reading it, or give the other folders"
    )
    assert reason(locked) == expected


@pytest.mark.parametrize("pattern", ["locked", "locked/*.png", "locked/**/*.png"])
@pytest.mark.usefixtures("listings")
def test_nothing_but_a_folder_that_cannot_be_listed_is_said_before_the_work(tmp_path, pattern):
    picture(tmp_path / "locked" / "a.png")
    with pytest.raises(UserError, match=r"locked cannot be listed \(Permission denied\): allow"):
        find([tmp_path / pattern])


def test_a_folder_that_could_not_be_listed_for_a_moment_asks_to_call_again(tmp_path):
    """As `archive` has it, whose workers are given names."""
    (source,) = expand(tmp_path, Counter())
    assert "could not be listed, and now can: call again" in reason(source)


# ------------------------------------------------------------------------------------------------- many matches


def test_folders_are_listed_as_often_for_many_matches_as_for_one(tmp_path, listings):
    """A listing for each match made a folder of 100,000 frames take hours."""
    counts = []
    for count in (1, 30):
        for i in range(count):
            for name in ("HC", "HC_Annotation", "Annotation"):
                picture(tmp_path / f"{i:03d}_{name}.png")
        listings.clear()
        found = find([tmp_path / "*.png"])
        assert len(found.sources) == 2 * count
        assert found.left_out == {ANNOTATION: count}
        counts.append(listings.total())
    assert counts[0] == counts[1] <= 2


def test_results_are_looked_for_once_a_folder(tmp_path, listings):
    (tmp_path / "results" / "frames").mkdir(parents=True)
    for name in ("call.json", "frames/0.parquet"):
        (tmp_path / "results" / name).touch()
    counts = []
    for count in (1, 30):
        for i in range(count):
            picture(tmp_path / "results" / f"{i}.png")
        listings.clear()
        found = find([tmp_path / "results" / "*.png", picture(tmp_path / "a.png")])
        assert found.left_out == {EARLIER: count}
        counts.append(listings["frames"])
    assert counts[0] == counts[1]
