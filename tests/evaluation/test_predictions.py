"""Predictions of other programs: perfect ones give zeros; faults of a file are reported in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fetal_jax import geometry
from fetal_jax.data.source import Frame
from fetal_jax.errors import UserError
from fetal_jax.evaluation.predictions import evaluate_predictions
from fetal_jax.evaluation.summary import summarise
from fetal_jax.geometry import Ellipse, Shaft

HEADS = [Ellipse(60 + i, 50, 38 + i, 30, 0.1 * i) for i in range(6)]


class Heads(list):
    """A split of drawn heads."""

    dataset = "heads"


@pytest.fixture
def heads():
    blank = np.zeros((100, 120), np.uint8)
    return Heads(
        Frame(blank, "head", "ellipse", e, 0.5, {"hc_mm": 0.5 * e.perimeter}, f"s{i // 2}", f"{i}.png")
        for i, e in enumerate(HEADS)
    )


def write(path, rows, header="filename,cx,cy,a,b,theta"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def perfect():
    return [f"{i}.png," + ",".join(str(v) for v in np.asarray(e)) for i, e in enumerate(HEADS)]


def summary(path, heads):
    return summarise(list(evaluate_predictions(path, heads)))["hc_mm"]


def test_perfect_predictions_give_zeros_and_ones(tmp_path, heads):
    found = summary(write(tmp_path / "p.csv", perfect()), heads)
    assert (found["frames"], found["missing"], found["failed"]) == (6, 0, 0)
    assert (found["mae"], found["hausdorff_mm"], found["surface_mm"]) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (found["dice"], found["within_5_percent"], found["agreement"]["icc"]) == pytest.approx((1, 1, 1))
    assert found["endpoint_error"]["bpd"]["mean"] == pytest.approx(0, abs=1e-9)
    assert "mae" not in found["ci"]  # three subjects


def test_missing_frames_are_failures(tmp_path, heads):
    rows = perfect()
    found = summary(write(tmp_path / "p.csv", [*rows[:4], "4.png,,,,,"]), heads)
    assert (found["frames"], found["missing"], found["failed"]) == (6, 2, 2)
    assert found["dice"] == pytest.approx(4 / 6)
    assert found["within_5_percent"] == pytest.approx(4 / 6)


def test_landmarks_and_masks_are_measured_too(tmp_path, heads):
    header = "image_name," + ",".join(f"{d}_{i}_{axis}" for d in ("ofd", "bpd") for i in (1, 2) for axis in "xy")
    rows = [f"{i}.png," + ",".join(str(v) for v in (e.ends - 0.5).ravel()) for i, e in enumerate(HEADS)]
    assert summary(write(tmp_path / "p.csv", rows, header), heads)["mae"] == pytest.approx(0, abs=1e-9)
    folder = tmp_path / "masks"
    folder.mkdir()
    for i, e in enumerate(HEADS):
        Image.fromarray(geometry.mask(e, 100, 120).astype(np.uint8) * 255).save(folder / f"{i}.png")
    found = summary(folder, heads)
    assert found["mae"] < 0.4
    assert found["dice"] > 0.99


def test_masks_are_found_by_folder_and_stem_and_cut_at_half(tmp_path, heads):
    """Frames `s0/0.jpg`; masks `s0/0.PNG`, with a soft edge that must not widen the head."""
    frames = Heads(replace(f, filename=f"{f.subject}/{Path(f.filename).stem}.jpg") for f in heads)
    for frame in frames:
        soft = cv2.blur(geometry.mask(frame.shape, 100, 120).astype(np.uint8) * 255, (5, 5))
        place = (tmp_path / frame.filename).with_suffix(".PNG")
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(soft).save(place)
    found = summary(tmp_path, frames)
    assert found["missing"] == 0
    assert found["dice"] > 0.98
    Image.fromarray(soft).save(place.with_suffix(".bmp"))
    with pytest.raises(UserError, match="both for"):
        summary(tmp_path, frames)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image"):
        summary(tmp_path / "empty", frames)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_tables_of_all_spreadsheets_are_read(tmp_path, heads, encoding):
    """Semicolons, decimal commas, upper case, and a file name that is not ASCII."""
    named = Heads(replace(f, filename=f"Kopfgröße {f.filename}") for f in heads)
    rows = [f"Kopfgröße {row}".replace(",", ";").replace(".", ",").replace(",png", ".png") for row in perfect()]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["Filename;CX;CY;A;B;Theta", *rows]), encoding=encoding)
    found = summary(path, named)
    assert (found["missing"], found["mae"]) == (0, pytest.approx(0, abs=1e-9))


def test_a_repeated_column_is_refused(tmp_path, heads):
    with pytest.raises(UserError, match="column cx twice"):
        summary(write(tmp_path / "p.csv", ["0.png,9,60,50,38,30,0"], "filename,cx,cx,cy,a,b,theta"), heads)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: [*rows, "x.png,1,1,1,1,0"], "1 frame not in the split, such as x.png: take them out"),
        (lambda rows: [r.replace(".png", "") for r in rows], "6 frames .* or name them as its frames, such as 0.png$"),
        (lambda rows: [*rows, ",1,1,1,1,0"], "line 8: a row without a file name"),
        (lambda rows: [*rows, rows[0]], "line 8.*occurs twice"),
        (lambda rows: ["0.png,nan,1,1,1,0", *rows[1:]], "line 2.*not a number"),
        (lambda rows: ["0.png,a,1,1,1,0", *rows[1:]], "line 2.*not a number"),
        (lambda rows: ["0.png,9,9,-1,1,0", *rows[1:]], "semi-axes"),
        (lambda rows: ["0.png,9,9,2,1,40", *rows[1:]], "line 2: theta is 40: give radians"),
        (lambda rows: [f"{i}.png,30,25,12,9,0" for i in range(len(rows))], "give pixels"),
        (lambda rows: ["0.png,60,5,50,38,30,0", *rows[1:]], "line 2 has more cells than columns"),
        (lambda rows: ['"0.png,60,50,38,30,0', *rows[1:]], "holds no table"),
    ],
)
def test_faulty_predictions_are_refused(tmp_path, heads, spoil, message):
    with pytest.raises(UserError, match=message):
        summary(write(tmp_path / "p.csv", spoil(perfect())), heads)


LANDMARK_HEADER = [f"{d}_{i}_{axis}" for d in ("ofd", "bpd", "fl") for i in (1, 2) for axis in "xy"]


@pytest.mark.parametrize("header", [["cx", "cy", "a", "b", "theta", "x1", "y1", "x2", "y2"], LANDMARK_HEADER])
def test_a_file_of_heads_and_femurs_gives_each_row_its_own_shape(tmp_path, heads, header):
    """The layout of frames.csv: heads fill the columns of the ellipse, femurs those of the ends."""
    bone = Shaft.from_ends([[20, 30], [90, 40]], 6)
    femur = Frame(heads[0].image, "femur", "shaft", bone, 0.5, {"fl_mm": 0.5 * bone.length}, "s9", "f.png")
    landmarks, heads_too = header[0] != "cx", len(header) - 4
    shapes = [(e.ends - 0.5).ravel() if landmarks else np.asarray(e) for e in HEADS]
    rows = [",".join([f"{i}.png", *map(str, values), *[""] * 4]) for i, values in enumerate(shapes)]
    ends = np.subtract([[20, 30], [90, 40]], 0.5 if landmarks else 0).ravel()
    rows.append(",".join(["f.png", *[""] * heads_too, *map(str, ends)]))
    path = write(tmp_path / "p.csv", rows, ",".join(["filename", *header]))
    found = summarise(list(evaluate_predictions(path, Heads([*heads, femur]))))
    for measure in ("hc_mm", "fl_mm"):
        assert (found[measure]["missing"], found[measure]["mae"]) == (0, pytest.approx(0, abs=1e-9))
    write(path, [rows[0].rstrip(",") + ",1,2,3,4"], ",".join(["filename", *header]))
    with pytest.raises(UserError, match=f"line 2: {header[0]} and {header[-4]} are given"):
        summary(path, heads)


def test_a_set_of_columns_is_whole(tmp_path, heads):
    with pytest.raises(UserError, match="no column theta"):
        summary(write(tmp_path / "p.csv", ["0.png,1,2,3,4,,,,"], "filename,x1,y1,x2,y2,cx,cy,a,b"), heads)


def test_file_without_geometry_is_refused(tmp_path, heads):
    with pytest.raises(UserError, match="cx"):
        summary(write(tmp_path / "p.csv", ["0.png,200"], "filename,hc"), heads)
    with pytest.raises(UserError, match="does not exist"):
        summary(tmp_path / "none.csv", heads)
