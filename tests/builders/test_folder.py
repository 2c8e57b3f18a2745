"""A folder of own frames: geometry, splits by subject, refusals."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fetal_jax import config as recipe
from fetal_jax.biometry import direct_fit
from fetal_jax.data.decoded import decoded
from fetal_jax.data.pipeline import training_batches
from fetal_jax.data.source import Split, builder
from fetal_jax.errors import UserError
from fetal_jax.evaluation.splits import changed_training, refuse_other_split
from fetal_jax.geometry import HALF_PIXEL, Ellipse, mask
from fetal_jax.planes import GEOMETRIES
from tests.builders.own_folder import SIZE, TABLE, planned, prepare, write_home
from tests.support.command import called, refused
from tests.support.folders import draw_fetal_planes, draw_folder, spoil
from tfds_builders.folder import table
from tfds_builders.hc18 import folder as hc18


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    home = tmp_path_factory.mktemp("own") / "mine"
    return home, draw_folder(home)


@pytest.fixture
def home(tmp_path) -> Path:
    return write_home(tmp_path / "mine")


def test_corrected_labels_change_the_fingerprint_of_the_training_set(home, tmp_path):
    """Otherwise a finished run would not train on them, and a network could be tested on its own training frames."""
    prepare(home, tmp_path / "one")
    text = (home / TABLE).read_text()
    before = Split("folder/mine", "train", tmp_path / "one").fingerprint
    training = {"fingerprint": f"hc18/benchmark/1.1.0 9 frames x, {before}"}
    assert changed_training(training, "folder/mine", str(tmp_path / "one")) == ""
    for old, new in (("50,40,0.3", "50,41,0.3"), ("0.5,s0", "0.4,s0")):
        (home / TABLE).write_text(text.replace(old, new))
        prepare(home, tmp_path / new)
        now = Split("folder/mine", "train", tmp_path / new).fingerprint
        assert now != before
        message = changed_training(training, "folder/mine", str(tmp_path / new))
        assert before in message
        assert now in message
    (home / TABLE).write_text(text)
    prepare(home, tmp_path / "again")
    assert Split("folder/mine", "train", tmp_path / "again").fingerprint == before


def test_masks_and_numbers_become_geometry(synthetic, tmp_path):
    home, phantoms = synthetic
    made = prepare(home, tmp_path)
    found = {}
    for name in made.info.splits:
        split = Split("folder/mine", name, tmp_path)
        found |= {f.filename: f for f in (split[i] for i in range(len(split)))}
    assert len(found) == len(phantoms)
    for i, phantom in enumerate(phantoms):
        frame = found[f"{i:03d}.png"]
        assert frame.subject == f"s{i // 2:02d}"
        np.testing.assert_array_equal(frame.image, phantom.image)
        assert type(frame.shape) is type(phantom.shape)
        if phantom.shape is None:
            assert (frame.plane, frame.geometry) == ("other", "none")
            continue
        exact = 0.15 if frame.plane == "head" else 1e-4  # error of a binary mask
        np.testing.assert_allclose(np.asarray(frame.shape)[:4], np.asarray(phantom.shape)[:4], atol=exact)
        measure = {"head": "hc_mm", "abdomen": "ac_mm", "femur": "fl_mm"}[frame.plane]
        assert frame.truth_mm[measure] == pytest.approx(phantom.millimetres[measure], abs=0.3)


def test_subject_is_in_one_split_and_keeps_it_when_the_set_grows(tmp_path):
    draw_folder(tmp_path / "mine", frames=20)
    rows, missing = table.read(tmp_path / "mine", allow_partial=False)
    assert missing == []
    sides = {s: {r.subject for r in rows if r.split == s} for s in table.SPLITS}
    assert {s: len(part) for s, part in sides.items()} == {"train": 6, "validation": 1, "calibration": 1, "test": 2}
    assert len(set.union(*sides.values())) == 10
    with (tmp_path / "mine" / TABLE).open("a") as f:
        f.write("new.png,other,,s00,,,,,,,,,,,\nnewer.png,other,,s99,,,,,,,,,,,\n")
    for name in ("new.png", "newer.png"):
        (tmp_path / "mine" / name).write_bytes((tmp_path / "mine" / "000.png").read_bytes())
    grown = {r.filename: r.split for r in table.read(tmp_path / "mine", allow_partial=False)[0]}
    assert {r.filename: r.split for r in rows}.items() <= grown.items()


def test_several_sets_are_prepared_and_mixed(home, tmp_path):
    draw_fetal_planes(tmp_path / "set", women=(1, 3, 4, 17))
    where = tmp_path / "data"
    for name, manual in {"folder/one": home, "folder/two": home, "fetal_planes/official": tmp_path / "set"}.items():
        prepare(manual, where, name)
    config = recipe.defaults()
    config.update({"batch_size": 8, "input_shape": (64, 96)})
    config.data.name = "folder/one=1, folder/two=1, fetal_planes/official=2"
    sources = [decoded(Split(name, "train", where)) for name in recipe.mixture(config)]
    batches = training_batches(sources, config)
    seen = [next(batches) for _ in range(3)]
    index = np.concatenate([batch["index"] for batch in seen])
    assert [int(n) for n in np.histogram(index, [0, 2, 4, 16])[0]] == [6, 6, 12]
    assert sorted(index[index >= 4]) == list(range(4, 16))  # one epoch of the third
    kinds = {GEOMETRIES[k] for k in np.concatenate([batch["geometry"] for batch in seen])}
    assert kinds == {"none", "ellipse", "shaft"}
    refuse_other_split(["folder/one"], "folder/two", "test")  # another set, not another cut of one
    with pytest.raises(UserError, match=r"folder/a\.b: .* one word"):
        builder("folder/a.b", tmp_path)
    with pytest.raises(UserError, match="run fetal-jax prepare folder/three"):
        Split("folder/three", "train", where)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "subject",
            "woman",
            "has no column subject: it needs .*; it has filename, plane, spacing_mm, woman,",
        ),
        (",theta", ",angle", "has no column theta: ellipses take cx,cy,a,b,theta"),
        ("h1.png", "h0.png", "line 4: h0.png is in line 2 already"),
        (",head,", ",brain,", "line 2: h0.png has plane 'brain', none of"),
        (",head,", ",cervix,", "line 2: .* ellipse numbers, but the plane cervix is not measured"),
        (",head,", ",femur,", "line 2: .* ellipse numbers, but the plane femur takes x1,y1,x2,y2"),
        ("1.0,s0", "nan,s0", "line 2: spacing_mm is 'nan', not a number"),
        ("1.0,s0", "-1,s0", "line 2: h0.png has -1 mm per pixel"),
        ("1.0,s0", "0,s0", "line 2: h0.png has 0 mm per pixel"),
        ("1.0,s0,", "1.0,,", "line 2: h0.png has no subject"),
        ("train", "training", "line 2: h0.png has split 'training'"),
        ("femur,0.5,s0,train", "femur,0.5,s0,test", "subject s0 is in train and test"),
        ("80,60,50", "80,,50", "line 2: cy is empty: give all of"),
        ("80,60,50", "80,y,50", "line 2: cy is 'y', not a number"),
        ("80,60,50,40", "80,60,50,0", "line 2: the semi-axes are 50 and 0"),
        ("0.3,,,,", "17,,,,", "line 2: theta is 17: give radians"),
        ("0.3,,,,", "0.3,1,,,", "line 2: cx and x1 are given"),
        ("0.3,,,,", "0.3,,,", "line 2 does not have as many cells"),
        ("40,60,120,60", "40,60,40,60", "line 3: the two ends are equal"),
        ("h0.png", "../h0.png", "line 2: the filename is '../h0.png'"),
        ("h0.png", "h9.png", r"lacks h9.png \(a row of frames.csv names it\) and 1 more.*--allow-partial"),
    ],
)
def test_faulty_table_is_refused_before_anything_is_written(home, tmp_path, old, new, message):
    spoil(home / TABLE, old, new)
    with pytest.raises(UserError, match=message):
        planned(home, tmp_path / "data")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("80,60,50,40", "40,60,50,40", None),  # a little outside: kept
        ("80,60,50,40", "20,60,50,40", "h0.png: its ellipse: an end is over 25 % of the length outside the frame"),
        ("1.0,s0", "4.0,s0", r"its ellipse: not within 10 to 145 mm \(400.0 x 320.0 mm at 4 mm per pixel\)"),
        ("40,60,120,60", "-30,60,50,60", r"f0.png: its shaft: an end is over 25 % of the length outside the frame \("),
    ],
)
def test_implausible_shape_is_left_out_and_listed(home, tmp_path, old, new, message):
    spoil(home / TABLE, old, new)
    made, splits = planned(home, tmp_path / "data")
    assert sum(map(len, splits.values())) == (7 if message else 8)
    assert [m for m in made.refused if message and re.search(message, m)] == made.refused
    assert made.missing == []


def write_heads(home, long_mm, factor=2):
    """A table of heads alone, `long_mm` long, whose a and b are semi-axes times `factor`."""
    lines = ["filename,plane,spacing_mm,subject,split,cx,cy,a,b,theta"]
    for i, long in enumerate(long_mm):
        cv2.imwrite(str(home / f"h{i}.png"), np.zeros(SIZE, np.uint8))
        a, b = factor * 30, factor * 24
        lines.append(f"h{i}.png,head,{long / 60},s{i},{table.SPLITS[i % 4]},80,60,{a},{b},0")
    for path in home.glob("f*.png"):
        path.unlink()
    (home / TABLE).write_text("\n".join(lines))


def test_a_table_with_whole_axes_is_refused_as_a_whole(home, tmp_path):
    """The younger half would pass, with heads that are twice too large."""
    write_heads(home, (40, 50, 60, 70, 40, 50, 100, 110, 120))
    for partial in (False, True):
        with pytest.raises(UserError, match=r"3 of 9 ellipses are .*look like whole axes: halve a and b.*h6.png: its"):
            planned(home, tmp_path / "data", allow_partial=partial)
    write_heads(home, (40, 50, 60, 70, 40, 50, 100, 110, 120), factor=1)
    assert planned(home, tmp_path / "data")[0].refused == []


def test_whole_axes_are_refused_without_millimetres(home, tmp_path):
    """Their whole outline is outside the frame, though no end of an axis is far from it."""
    for factor, message in ((4, r"h0.png: its ellipse: over 40 % of its outline is outside .*: whole axes\?"), (2, "")):
        write_heads(home, (40, 50, 60, 70, 40, 50, 60), factor)
        (home / TABLE).write_text(re.sub(r"(?<=,head,)[\d.]+", "", (home / TABLE).read_text()))
        if message:
            with pytest.raises(UserError, match=message):
                planned(home, tmp_path / "data")
        else:
            assert planned(home, tmp_path / "data")[0].refused == []


def test_whole_axes_of_real_heads_are_refused(data_dir, tmp_path):
    """The same numbers with semi-axes are all accepted."""
    rows, _ = hc18.read(hc18.find(data_dir), allow_partial=True)
    for factor, spacing in itertools.product((1, 2), (True, False)):
        home = tmp_path / f"{factor}{spacing}"
        home.mkdir()
        lines = ["filename,plane,spacing_mm,subject,cx,cy,a,b,theta"]
        for row in rows[::25]:
            (home / row.name).symlink_to(row.frame)
            drawn = np.argwhere(cv2.imread(str(row.outline), cv2.IMREAD_GRAYSCALE) > 127)[:, ::-1] + HALF_PIXEL
            cx, cy, a, b, theta = np.asarray(direct_fit(drawn))
            mm = row.spacing_mm if spacing else ""
            lines.append(f"{row.name},head,{mm},{row.examination},{cx},{cy},{factor * a},{factor * b},{theta}")
        (home / TABLE).write_text("\n".join(lines))
        if factor == 1:
            assert planned(home, tmp_path / "data")[0].refused == []
        else:
            with pytest.raises(UserError, match=r"of 36 ellipses are too large.* look like whole axes"):
                planned(home, tmp_path / "data")


def test_few_ellipses_that_are_too_large_are_left_out(home, tmp_path):
    write_heads(home, (40, 50, 60, 70, 40, 50, 60, 100, 110))
    made, splits = planned(home, tmp_path / "data")
    assert (len(made.refused), sum(map(len, splits.values()))) == (2, 7)


def test_bad_frames_are_named_before_the_empty_split(home, tmp_path):
    write_heads(home, (40, 50, 60, 70), factor=1)
    spoil(home / TABLE, "80,60,30,24,0", "-80,60,30,24,0")
    with pytest.raises(
        UserError, match=r"mine: of 4 frames 1 are bad, .*h0.png: its ellipse: .*; of 3 good .* into train: add"
    ):
        planned(home, tmp_path / "data")


def test_damaged_frame_is_left_out_and_listed(home, tmp_path):
    (home / "h0.png").write_bytes((home / "h0.png").read_bytes()[:900])
    made = prepare(home, tmp_path / "data")
    assert [m for m in made.refused if "h0.png is damaged" in m] == made.refused
    assert len(made.refused) == made.info.splits["train"].num_examples == 1


def test_file_without_a_row_is_listed(home):
    cv2.imwrite(str(home / "extra.jpg"), np.zeros(SIZE, np.uint8))
    with pytest.raises(UserError, match=r"lacks a row of frames.csv for extra.jpg: .*--allow-partial"):
        table.read(home, allow_partial=False)
    rows, missing = table.read(home, allow_partial=True)
    assert (len(rows), missing) == (8, ["a row of frames.csv for extra.jpg"])


def test_names_without_a_suffix_are_refused_with_it(home):
    text = (home / TABLE).read_text()
    (home / TABLE).write_text(text.replace(".png", ""))
    with pytest.raises(UserError, match=r"holds none of the 8 frames .*: give their suffix, h0\.png$"):
        table.read(home, allow_partial=True)
    (home / TABLE).write_text(text.replace("h0.png", "h0"))
    with pytest.raises(UserError, match=r"lacks h0 \(a row of frames.csv names it; the file is h0.png\)"):
        table.read(home, allow_partial=False)


def test_an_empty_column_of_splits_is_as_good_as_none(home):
    lines = [line.split(",") for line in (home / TABLE).read_text().splitlines()]
    (home / TABLE).write_text("\n".join(",".join([*c[:4], " " if i else "split", *c[5:]]) for i, c in enumerate(lines)))
    rows, missing = table.read(home, allow_partial=False)
    assert [row.split for row in rows[::2]] == list(table.TURNS[:4])
    assert missing == []
    spoil(home / TABLE, "s0, ,", "s0,train,")
    with pytest.raises(UserError, match=r"line 3: f0.png has split '', none of"):
        table.read(home, allow_partial=False)


def test_a_table_without_rows_says_so(home):
    (home / TABLE).write_text((home / TABLE).read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"frames.csv has no rows: write one for each frame"):
        table.read(home, allow_partial=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_any_spreadsheet_is_read(home, encoding):
    """Semicolons, decimal commas, column names with capitals, blanks, empty lines and trailing separators."""
    before = table.read(home, allow_partial=False)
    head, *rows = (home / TABLE).read_text().splitlines()
    lines = [
        head.replace(",", ";").title(),
        *(re.sub(r"(\d)\.(\d)", r"\1,\2", row.replace(",", " ; ")) for row in rows),
    ]
    text = "sep=;\n" + "\n\n".join(f"{line};;" for line in lines)
    assert "0,3" in text
    (home / TABLE).write_bytes(text.encode(encoding))
    assert table.unused(home) == []
    assert repr(table.read(home, allow_partial=False)) == repr(before)  # NaN is not equal to itself


def test_decimal_commas_between_commas_are_refused_with_the_remedy(home):
    (home / TABLE).write_text((home / TABLE).read_text().replace("0.3", "0,3"))
    with pytest.raises(UserError, match=r"line 2 has more cells than columns: with decimal commas, .* by semicolons"):
        table.read(home, allow_partial=False)


def test_columns_that_are_not_used_are_named(home, tmp_path):
    lines = (home / TABLE).read_text().splitlines()
    (home / TABLE).write_text("\n".join(f"{line},{'x,' if i else 'notes,Maker'}" for i, line in enumerate(lines)))
    made, _ = planned(home, tmp_path / "data")
    assert made.notes == ["frames.csv has columns that are not used: notes, maker"]
    assert made.missing == []


def test_set_too_small_for_its_splits_is_refused(home, tmp_path):
    lines = [",".join(line.split(",")[:4] + line.split(",")[5:]) for line in (home / TABLE).read_text().splitlines()]
    (home / TABLE).write_text("\n".join(lines[:5]))
    for i in (2, 3):
        (home / f"h{i}.png").unlink()
        (home / f"f{i}.png").unlink()
    with pytest.raises(UserError, match=r"of 4 good frames of 2 subjects none falls into .*: add subjects"):
        planned(home, tmp_path / "data")
    made, splits = planned(home, tmp_path / "data", allow_partial=True)
    empty = [name for name in table.SPLITS if name not in splits]
    assert empty == ["calibration", "test"]
    assert made.missing == [f"the split {name}: no frame falls into it" for name in empty]


def test_folder_one_level_off_names_the_right_one(home):
    (home / "images").mkdir()
    for wrong in (home.parent, home / "images"):
        with pytest.raises(UserError, match=f"holds no frames.csv: give {home} with --manual-dir"):
            table.find(wrong)


def test_preparation_speaks_of_no_download(home, tmp_path):
    """TFDS announces one for every data set; somebody's own frames go nowhere."""
    done = called("prepare", "folder/mine", "--manual-dir", home, "--data-dir", tmp_path / "data")
    assert done.returncode == 0
    assert "ownload" not in done.stdout
    assert done.stdout.splitlines()[0] == f"preparing folder/mine in {tmp_path}/data/folder/mine/1.0.0"


def test_a_quiet_preparation_says_what_is_missing(home, tmp_path):
    (home / "f0.png").unlink()
    where = ("--manual-dir", home, "--data-dir", tmp_path / "data")
    done = called("--quiet", "prepare", "folder/mine", "--allow-partial", *where)
    assert (done.returncode, done.stdout) == (0, "")
    assert "missing: f0.png" in done.stderr


def test_refused_frames_are_counted_and_the_first_is_named(home, tmp_path):
    for name in ("f0.png", "h2.png"):
        (home / name).write_bytes((home / name).read_bytes()[:900])
    done = called("--quiet", "prepare", "folder/mine", "--manual-dir", home, "--data-dir", tmp_path / "data")
    assert (done.returncode, done.stdout) == (0, "")
    told = [line for line in done.stderr.splitlines() if "is damaged" in line]
    assert [line.split(f": {home}")[0] for line in told] == [
        *("refused: f0.png", "refused: h2.png", "2 frames refused, the first: f0.png")
    ]
    assert "missing" not in done.stderr


def test_specks_in_masks_are_told(home, tmp_path):
    spoil(home / TABLE, "h0.png,head,1.0,s0,train,80,60,50,40,0.3", "h0.png,head,1.0,s0,train,,,,,")
    array = 255 * mask(Ellipse(80.0, 60.0, 50.0, 40.0, 0.3), *SIZE).astype(np.uint8)
    array[0, 0] = 255
    cv2.imwrite(str(home / "h0_mask.png"), array)
    done = called("--quiet", "prepare", "folder/mine", "--manual-dir", home, "--data-dir", tmp_path / "data")
    assert f"note: {home}/h0_mask.png has 1 pixel beside its largest area: left out" in done.stderr.splitlines()


def test_a_name_without_its_folder_is_refused_with_the_way_to_write_it(home, tmp_path):
    done = called("prepare", "mine", "--manual-dir", home, "--data-dir", tmp_path)
    refused(done, "mine: no such data set", "your own frames are folder/NAME")
