"""`fetal-jax view FRAMES`: measured while the page is open, and opened again without a second measurement."""

from __future__ import annotations

import json
import time
from urllib.request import urlopen

from tests.support.command import fetal_jax, refused
from tests.view.folder import serving, write_results


def changes(address: str) -> dict:
    with urlopen(f"{address}api/changes") as answer:
        return json.load(answer)


def test_frames_are_measured_while_the_page_is_open(tmp_path):
    write_results(tmp_path, 3, dicom=True)
    with serving(tmp_path / "frames") as server:
        end = time.monotonic() + 120
        while not (found := changes(server.address))["complete"] and time.monotonic() < end:
            time.sleep(0.2)
        assert [r["name"] for r in found["rows"]] == ["frame_00", "frame_01", "frame_02"]
        assert any(r["mm"] for r in found["rows"])
        assert server.stop()[0] == 130
    written = (tmp_path / "frames-measured" / "measurements.json").stat().st_mtime_ns
    with serving(tmp_path / "frames") as server:
        assert len(changes(server.address)["rows"]) == 3
    assert (tmp_path / "frames-measured" / "measurements.json").stat().st_mtime_ns == written


def test_results_of_other_frames_are_not_shown(tmp_path):
    (tmp_path / "p-measured").mkdir()
    (tmp_path / "p-measured" / "measurements.json").write_text("[]")
    (tmp_path / "p-measured" / "call.json").write_text(json.dumps({"paths": [str(tmp_path / "p.1")]}))
    (tmp_path / "p.2").mkdir()
    refused(fetal_jax("view", tmp_path / "p.2", "--no-browser"), "holds results of other frames")
