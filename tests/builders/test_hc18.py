"""HC18's folder: geometry out of outlines, splits, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse
from tests.support.folders import draw_hc18, spoil
from tfds_builders.hc18 import folder
from tfds_builders.hc18.hc18_dataset_builder import example, outline_ellipse

TABLE = "training_set_pixel_size_and_HC.csv"


def test_ellipse_is_fitted_to_the_outline(tmp_path):
    shapes = draw_hc18(tmp_path, examinations=6)
    rows, missing = folder.read(tmp_path, allow_partial=False)
    assert missing == []
    for row in rows:
        made, true = example(row), shapes[row.name]
        np.testing.assert_allclose(made["ellipse"][:4], np.asarray(true)[:4], atol=0.25)
        assert made["ofd_mm"] == pytest.approx(2 * true.a * row.spacing_mm, abs=0.1)
        assert made["hc_mm"] == pytest.approx(row.hc_mm)
        assert (made["plane"], made["geometry"]) == ("head", "ellipse")
        assert np.isnan(made["shaft"]).all()


def test_open_outline_keeps_the_whole_ellipse(tmp_path):
    ellipse = Ellipse(60, 100, 90, 70, 0.2)  # a fifth of it is left of the frame
    cells = np.floor(ellipse.points(20_000)).astype(int)
    cells = cells[(cells >= 0).all(1) & (cells < (300, 200)).all(1)]
    outline = np.zeros((200, 300), np.uint8)
    outline[cells[:, 1], cells[:, 0]] = 255
    cv2.imwrite(str(tmp_path / "o.png"), outline)
    found = outline_ellipse(tmp_path / "o.png", (200, 300))
    np.testing.assert_allclose(np.asarray(found)[:4], np.asarray(ellipse)[:4], atol=0.3)


def test_colour_frames_become_grey(hc18_folder):
    path = hc18_folder / "training_set" / "000_HC.png"
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(path), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    row = folder.read(hc18_folder, False)[0][0]
    stored = cv2.imdecode(np.frombuffer(example(row)["image"].getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, grey)


def test_examination_is_in_one_split(tmp_path):
    draw_hc18(tmp_path, examinations=40, size=(27, 40))
    rows, _ = folder.read(tmp_path, False)
    for tests in (None, {"003", "011"}):
        splits = folder.split(rows, tests)
        sides = [{r.examination for r in part} for part in splits.values()]
        assert sum(len(s) for s in sides) == len(set.union(*sides)) == 40
        assert sum(len(part) for part in splits.values()) == len(rows)
    assert {r.examination for r in splits["test"]} == {"003", "011"}


def test_partial_set_keeps_its_splits(tmp_path):
    draw_hc18(tmp_path, examinations=20, size=(27, 40))
    rows, _ = folder.read(tmp_path, False)
    whole, half = folder.split(rows, None), folder.split(rows[::2], None)
    assert all(set(half[name]) <= set(whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("filename,", "name,", "needs the columns"),
        (",", ";", "needs the columns"),
        ("000_HC.png,", "000_HC.png,x", "not numbers"),
        ("000_HC.png,", "000_HC.png,-", "pixel size -"),
        ("000_HC.png,", "000_HC.png,nan,", "pixel size nan"),
        ("000_2HC.png", "000_HC.png", "twice"),
        ("000_HC.png", "777_HC.png", "777_HC.png"),
    ],
)
def test_faulty_table_is_refused_with_its_row(hc18_folder, old, new, message):
    spoil(hc18_folder / TABLE, old, new)
    with pytest.raises(UserError, match=message):
        folder.read(hc18_folder, allow_partial=False)


def test_frame_without_a_row_is_refused_or_listed(hc18_folder):
    lines = (hc18_folder / TABLE).read_text().splitlines()
    (hc18_folder / TABLE).write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match=r"lacks a row of .* for training_set/002_2HC.png"):
        folder.read(hc18_folder, allow_partial=False)
    rows, missing = folder.read(hc18_folder, allow_partial=True)
    assert (len(rows), len(missing)) == (5, 1)


def test_incomplete_folder_is_refused_or_listed(hc18_folder):
    (hc18_folder / "training_set" / "001_HC_Annotation.png").unlink()
    (hc18_folder / "training_set" / "002_HC.png").unlink()
    with pytest.raises(UserError, match=r"001_HC_Annotation.png .* and 1 more.*--allow-partial"):
        folder.read(hc18_folder, allow_partial=False)
    rows, missing = folder.read(hc18_folder, allow_partial=True)
    assert (len(rows), len(missing)) == (4, 2)


def test_missing_folder_and_one_level_off_are_named(hc18_folder, tmp_path):
    with pytest.raises(UserError, match="give the folder of HC18 with --manual-dir"):
        folder.find(tmp_path / "nowhere" / "else")
    assert folder.find(tmp_path) == hc18_folder  # it holds the set's own folder
    hc18_folder = hc18_folder.rename(tmp_path / "set")
    for wrong in (tmp_path, hc18_folder / "training_set"):
        with pytest.raises(UserError, match=f"give {hc18_folder} with --manual-dir"):
            folder.find(wrong)


def test_official_test_set_is_unlabelled(hc18_folder, tmp_path):
    assert folder.read_unlabelled(hc18_folder, False) == ([], [])
    test_set = hc18_folder / "test_set"
    test_set.mkdir()
    for name in ("000_HC.png", "017_2HC.png"):  # the first is a name of the training set, another head
        cv2.imwrite(str(test_set / name), np.full((135, 200), 30, np.uint8))
    with pytest.raises(UserError, match=r"test_set_pixel_size.csv is missing"):
        folder.read_unlabelled(hc18_folder, False)
    table = hc18_folder / "test_set_pixel_size.csv"
    table.write_text("filename,pixel size(mm)\n000_HC.png,0.2\n017_2HC.png,0.1\n")
    rows, missing = folder.read_unlabelled(hc18_folder, False)
    assert missing == []
    made = [example(row) for row in rows]
    assert [m["filename"] for m in made] == ["test_set/000_HC.png", "test_set/017_2HC.png"]
    assert [m["subject"] for m in made] == ["test_set/000", "test_set/017"]
    assert {(m["plane"], m["geometry"]) for m in made} == {("head", "unknown")}
    assert [float(m["spacing_mm"]) for m in made] == pytest.approx([0.2, 0.1])
    assert all(np.isnan(m["hc_mm"]) and np.isnan(m["ellipse"]).all() for m in made)
    spoil(table, "0.2", "nan")
    with pytest.raises(UserError, match=r"line 2: 000_HC.png has pixel size nan"):
        folder.read_unlabelled(hc18_folder, False)
    spoil(table, "nan", "0.2")
    (test_set / "017_2HC.png").unlink()
    with pytest.raises(UserError, match=r"lacks test_set/017_2HC.png .*--allow-partial"):
        folder.read_unlabelled(hc18_folder, False)


def test_outline_of_fewer_than_20_points_is_refused(hc18_folder):
    path, shape = hc18_folder / "training_set" / "000_HC_Annotation.png", (135, 200)
    dots = np.zeros(shape, np.uint8)
    for x, y in np.floor(Ellipse(100, 60, 50, 40, 0).points(19)).astype(int):
        dots[y, x] = 255
    cv2.imwrite(str(path), dots)
    with pytest.raises(UserError, match=r"000_HC_Annotation.png has an outline of 19 points; .* at least 20"):
        outline_ellipse(path, shape)


def test_outlines_that_are_no_ellipse_are_refused(hc18_folder):
    path, shape = hc18_folder / "training_set" / "000_HC_Annotation.png", (135, 200)
    scribble = np.zeros(shape, np.uint8)
    scribble[20:100, 30] = scribble[60, 30:180] = scribble[100, 30:90] = 255
    cv2.imwrite(str(path), scribble)
    with pytest.raises(UserError, match="is not an ellipse"):
        outline_ellipse(path, shape)
    cv2.imwrite(str(path), np.eye(200, dtype=np.uint8)[:135, :] * 0)
    with pytest.raises(UserError, match="0 points"):
        outline_ellipse(path, shape)
    with pytest.raises(UserError, match="200x135, its frame 100x90"):
        outline_ellipse(path, (90, 100))


def test_truncated_png_is_refused(hc18_folder):
    path = hc18_folder / "training_set" / "000_HC.png"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(UserError, match=r"000_HC.png is damaged"):
        example(folder.read(hc18_folder, False)[0][0])


def test_benchmark_split_file_is_checked(hc18_folder):
    with pytest.raises(UserError, match="hc18/examinations"):
        folder.benchmark_tests(hc18_folder)
    path = hc18_folder.parent / "landmarks" / "annotations" / "HC18" / "Head.csv"
    path.parent.mkdir(parents=True)
    path.write_text("image_name,Split\n000_HC.png,Train\n000_2HC.png,Train\n001_HC.png,Test\n")
    assert folder.benchmark_tests(hc18_folder) == {"001"}
    path.write_text("image_name,Split\n000_HC.png,Train\n000_2HC.png,Test\n")
    with pytest.raises(UserError, match="examination 000 is both"):
        folder.benchmark_tests(hc18_folder)


def real_rows(data_dir, step):
    rows, _ = folder.read(folder.find(data_dir / "hc18"), allow_partial=True)
    return rows[::step]


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_real_outlines_agree_with_the_table(data_dir, step):
    errors = []
    for row in real_rows(data_dir, step):
        shape = cv2.imread(str(row.frame), cv2.IMREAD_GRAYSCALE).shape
        errors.append(outline_ellipse(row.outline, shape).perimeter * row.spacing_mm - row.hc_mm)
    assert np.abs(errors).mean() <= 0.01
    assert np.abs(errors).max() <= 0.05


def test_real_outlines_cut_on_purpose_keep_their_ellipse(data_dir, tmp_path):
    """Up to 30 % of the outline outside the frame: centre and axes within 0.1 mm of the whole one's."""
    checked, worst = 0, 0.0
    for row in real_rows(data_dir, 30):
        outline = cv2.imread(str(row.outline), cv2.IMREAD_GRAYSCALE)
        whole = outline_ellipse(row.outline, outline.shape)
        x = whole.points(2000)[:, 0]
        for edge in (np.quantile(x, 0.3), np.quantile(x, 0.15)):  # what is left of it is cut off
            left = max(int(edge), 0)
            cv2.imwrite(str(tmp_path / "cut.png"), outline[:, left:])
            cut = outline_ellipse(tmp_path / "cut.png", outline[:, left:].shape)
            moved = np.asarray(whole)[:4] - [left, 0, 0, 0] - np.asarray(cut)[:4]
            worst = max(worst, float(np.abs(moved).max()) * row.spacing_mm)
            checked += 1
    assert checked >= 50
    assert worst <= 0.1
