"""What a results folder holds of cines, of files that cannot be read, and of each frame's picture."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.outputs import overlay
from fetal_jax.outputs.rows import caption
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.reading.study import Labels
from fetal_jax.results.folder import BEHIND, measure_files
from tests.support.counting import HEADS, counting, three_heads

KNOWN = Spacings("flag", constant=0.3)


def measured(path, out, spacings=KNOWN) -> list[dict]:
    return list(measure_files(counting(), [Source(path)], spacings, "head", out))


def test_two_frames_are_a_cine_and_one_is_none(tmp_path):
    measured(three_heads(tmp_path)[0].path, tmp_path / "one")
    assert not (tmp_path / "one" / "cines.csv").exists()
    page = Image.fromarray(HEADS[0].image)
    page.save(tmp_path / "sweep.tif", save_all=True, append_images=[page])
    rows = measured(tmp_path / "sweep.tif", tmp_path / "two")
    with (tmp_path / "two" / "cines.csv").open() as f:
        (cine,) = csv.DictReader(f)
    assert (cine["frames"], cine["plane"]) == ("2", "head")
    assert float(cine["median_hc_mm"]) == pytest.approx(rows[0]["hc_mm"], rel=1e-4)


def test_a_file_that_cannot_be_read_keeps_the_examination_of_the_table(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    table = Spacings("csv", table={"bad.png": 0.3}, labels={"bad.png": Labels("visit 1", fetus="2", ga_weeks=30.0)})
    (row,) = measured(tmp_path / "bad.png", tmp_path / "out", table)
    assert row["status"] == "error"
    assert (row["fetus"], row["stated_ga_weeks"]) == ("2", 30.0)
    assert row["examination"]
    assert json.loads((tmp_path / "out" / "measurements.json").read_text()) == [row]
    with (tmp_path / "out" / "measurements.csv").open() as f:
        assert [line["status"] for line in csv.DictReader(f)] == ["error"]


def test_a_picture_has_its_frames_width_and_a_name_of_at_most_100_bytes(tmp_path):
    (path := tmp_path / "in").mkdir()
    wide = np.pad(HEADS[0].image, ((0, 0), (0, 200)))
    Image.fromarray(wide).save(path / f"{'h' * 150}.png")
    (row,) = measured(path / f"{'h' * 150}.png", tmp_path / "out")
    assert row["overlay"] == f"overlays/{'h' * 100}.png"
    band = overlay.band_height(overlay.wrapped(caption(row), wide.shape[1]))
    with Image.open(tmp_path / "out" / row["overlay"]) as picture:
        assert picture.size == (wide.shape[1], wide.shape[0] + band)


def test_a_picture_that_cannot_be_written_stops_the_run_soon(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "full")

    page = Image.fromarray(HEADS[0].image[::4, ::4])
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * 11)
    monkeypatch.setattr("fetal_jax.results.folder.write_png", full)
    predictor = counting()
    with pytest.raises(UserError, match=r"cannot be written \(full\)"):
        list(measure_files(predictor, [Source(tmp_path / "a.tif")], KNOWN, "head", tmp_path / "out"))
    assert len(predictor.seen[0]) <= BEHIND + 1
