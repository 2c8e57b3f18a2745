"""FETAL_PLANES_DB's folder: calipers into geometry, splits, download, and what is refused."""

from __future__ import annotations

import csv
import functools
import hashlib
import http.server
import math
import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.core.download.checksums import UrlInfo

from fetal_jax import geometry
from fetal_jax.data.source import Split, builder
from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse
from fetal_jax.reading.images import write_png
from fetal_jax.reading.spacing import PixelSize
from tests.support.folders import FP, TABLE, draw_fetal_planes
from tfds_builders.fetal_planes import calipers, fetal_planes_dataset_builder, folder, outlines

PLANE_OF = {"Abdomen": 2, "Head": 3, "Femur": 5}


@pytest.fixture
def home(tmp_path):
    draw_fetal_planes(tmp_path / "set")
    return tmp_path / "set"


def prepare(home, data_dir, config="official", **options):
    made = builder(f"fetal_planes/{config}", data_dir, **options)
    made.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=home))
    return made


@given(
    st.floats(20, 60), st.floats(0.6, 0.95), st.floats(-math.pi / 2, 1.57), st.floats(-14, 14), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_two_diameters_keep_their_lengths(a, ratio, theta, skew, turned, swapped):
    ellipse = Ellipse(60, 45, a, a * ratio, theta)
    ends = ellipse.ends.reshape(2, 2, 2)
    turn = [np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]]) for r in np.radians([-skew / 2, skew / 2])]
    ends = np.stack([(e - (60, 45)) @ t.T + (60, 45) for e, t in zip(ends, turn, strict=True)])
    if turned:
        ends[0] = ends[0, ::-1]
    found = geometry.ellipse_of_diameters(ends[::-1] if swapped else ends)
    assert found is not None
    np.testing.assert_allclose(np.asarray(found)[:4], np.asarray(ellipse)[:4], rtol=1e-9)
    assert abs(math.sin(found.theta - theta)) < 1e-9


def test_diameters_that_are_none():
    square = Ellipse(60, 45, 40, 30, 0.3).ends.reshape(2, 2, 2)
    assert geometry.ellipse_of_diameters(square + np.array([[[8.1, 0.0]], [[0.0, 0.0]]])) is None
    assert geometry.ellipse_of_diameters(np.array([[[0.0, 0], [80, 0]], [[40 - 12, -30], [40 + 12, 30]]])) is None


def test_a_whole_set(home, tmp_path):
    made = prepare(home, tmp_path / "data")
    splits = {name: Split("fetal_planes/official", name, tmp_path / "data") for name in made.info.splits}
    women = [{f.subject for f in frames_of(split)} for split in splits.values()]
    assert sum(map(len, women)) == len(set.union(*women)) == 30
    assert {int(w) % 3 for w in women[list(splits).index("test")]} == {0}
    frames = {f.plane: f for f in frames_of(splits["train"])}
    assert {p: f.geometry for p, f in frames.items()} == {
        "other": "none", "abdomen": "ellipse", "head": "ellipse", "cervix": "none", "femur": "shaft", "thorax": "none",
    }  # fmt: skip
    np.testing.assert_allclose(np.asarray(frames["head"].shape)[:4], (60.5, 45.5, 40, 30))
    assert frames["head"].truth_mm["ofd_mm"] == 80
    assert frames["femur"].truth_mm == {"fl_mm": 50}


def test_a_woman_is_test_if_any_file_says_so(home, tmp_path):
    made = prepare(home, tmp_path / "data", "biometry")
    test = Split("fetal_planes/biometry", "test", tmp_path / "data")
    assert {int(f.subject) for f in frames_of(test)} == {4, 8, 12, 16, 20, 24, 28}
    assert {f.plane for f in frames_of(test)} == {"head", "abdomen", "femur"}
    assert sum(s.num_examples for s in made.info.splits.values()) == 90


@pytest.mark.parametrize(
    ("structure", "old", "new", "fault", "shaped"),
    [
        ("Head", "45.0,1.0", "45.0,0.01", "not within 10 to 145 mm", False),
        ("Head", "45.0,1.0", "45.0,", "no usable rate", True),
        ("Head", "45.0,1.0", "45.0,-1", "no usable rate", True),
        ("Head", "45.0,1.0", "45.0,nan", "no usable rate", True),
        ("Femur", "45.0,1.0", "45.0,2.1", "not within 5 to 90 mm", False),
        ("Head", "60.0,45.0,", "320,196,", "Aloka", True),
        ("Abdomen", "60.0,45.0,", "320,196,", "Aloka", True),
        ("Femur", "60.0,45.0,", "320,196,", "Aloka", True),
        ("Femur", "30,45,80,45", "30,45,30,45", "equal", False),
        ("Femur", "30,45,80,45", "-9,45,80,45", "a little outside", True),
        ("Femur", "30,45,80,45", "-29,45,40,45", "over 25 %", False),
    ],
)
def test_faults_are_found_by_rule(home, structure, old, new, fault, shaped):
    spoil(home / FP / f"{structure}.csv", old, new)
    found = calipers.read(home / FP, {p.stem for p in (home / "Images").iterdir()})
    assert [(fault in name, n) for name, n in found.faults.items()] == [(True, 1)]
    first = found.calipers[f"Patient00001_Plane{PLANE_OF[structure]}_1_of_1.png"]
    assert (first.shape is not None) == shaped
    assert math.isnan(first.spacing_mm) == (fault != "a little outside")


def frames_of(split):
    return [split[i] for i in range(len(split))]


def spoil(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (TABLE, ";Plane;", ";Plan;", "needs the columns .* separated by ;"),
        (TABLE, "Image_name;Patient_num;", "Image_name,Patient_num,", "needs the columns .* separated by ;"),
        (FP / "Head.csv", "image_name,center_w,", "image_name;center_w;", "Head.csv has no column .*comma-separated"),
        (TABLE, "Plane2_1_of_1", "Plane1_1_of_1", "line 3: .* twice"),
        (TABLE, "Fetal brain", "Brain", "has plane 'Brain'"),
        (TABLE, ";1 \n", ";2 \n", "has Train '2'"),
        (FP / "Head.csv", "bpd_2_y", "bpd", "has no column bpd_2_y"),
        (FP / "Head.csv", "Patient00002", "Patient00001", "line 3: .* twice"),
        (FP / "Head.csv", "Patient00002", "Patient00777", "is not a frame of the data set"),
        (FP / "Femur.csv", "30,45", "x,45", "not a number"),
    ],
)
def test_a_spoilt_table_is_named(home, tmp_path, file, old, new, message):
    spoil(home / file, old, new)
    with pytest.raises(UserError, match=message):
        prepare(home, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.array_record*"))


def test_a_partial_set_builds_when_asked_for(home, tmp_path):
    (home / "Images" / "Patient00001_Plane1_1_of_1.png").unlink()
    with pytest.raises(
        UserError, match=r"lacks Images/Patient00001_Plane1_1_of_1.png of \d+ frames: .*--allow-partial"
    ):
        prepare(home, tmp_path / "data")
    assert prepare(home, tmp_path / "data", allow_partial=True).missing == ["Images/Patient00001_Plane1_1_of_1.png"]


def test_a_damaged_frame_is_left_out_and_listed(home, tmp_path):
    path = home / "Images" / "Patient00001_Plane3_1_of_1.png"
    path.write_bytes(path.read_bytes()[:150])
    made = prepare(home, tmp_path / "data")
    assert len(made.refused) == 1
    assert path.name in made.refused[0]
    assert made.missing == []
    assert sum(s.num_examples for s in made.info.splits.values()) == 179


def test_a_folder_one_level_off(home, tmp_path):
    for wrong in (tmp_path, home / "Images"):
        with pytest.raises(UserError, match=f"give {home} with --manual-dir"):
            folder.find(wrong)


@pytest.fixture
def served(home, tmp_path, monkeypatch):
    """The set as the archive of a local server that the builder downloads from: (URL, archive)."""
    archive = Path(shutil.make_archive(str(tmp_path / "served" / "FETAL_PLANES_ZENODO"), "zip", home))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(archive.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(fetal_planes_dataset_builder, "ARCHIVE", url)
        yield url, archive
        server.shutdown()


def register(monkeypatch, url, size, digest):
    """As a line of checksums.tsv would."""
    info = UrlInfo(size=size, checksum=digest, filename="FETAL_PLANES_ZENODO.zip")
    monkeypatch.setattr(fetal_planes_dataset_builder.Builder, "url_infos", {url: info})


def test_the_archive_is_downloaded_and_checked(served, tmp_path, monkeypatch):
    url, archive = served
    size, digest = archive.stat().st_size, hashlib.sha256(archive.read_bytes()).hexdigest()
    for wrong in ((size, "0" * 64), (size + 1, digest)):
        register(monkeypatch, url, *wrong)
        with pytest.raises(UserError, match=rf"{url} came with another size or SHA-256 than"):
            prepare(None, tmp_path / "refused")
    register(monkeypatch, url, size, digest)
    made = prepare(None, tmp_path / "data")
    assert sum(s.num_examples for s in made.info.splits.values()) == 180


def test_an_archive_that_is_damaged_or_not_there(served, tmp_path):
    url, archive = served
    whole = archive.read_bytes()
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    with pytest.raises(UserError, match=r"is damaged \(.*: remove it and prepare again"):
        prepare(None, tmp_path / "damaged")
    archive.unlink()
    with pytest.raises(UserError, match=rf"{url} cannot be downloaded .* give --manual-dir"):
        prepare(None, tmp_path / "gone")


def test_real_frames(data_dir, tmp_path):
    home = data_dir / "fetal_planes"
    made = prepare(home, tmp_path, allow_partial=True)
    assert sum(s.num_examples for s in made.info.splits.values()) == 42
    assert made.faults["Head: not within 10 to 145 mm, dropped"] == 3
    assert made.faults["Head: a little outside the frame, kept"] == 35
    assert made.faults["Femur: not within 5 to 90 mm, dropped"] == 5


def test_an_aloka_frame_without_a_readable_ruler_has_no_millimetres(home, tmp_path):
    for structure, plane in PLANE_OF.items():
        spoil(home / FP / f"{structure}.csv", "60.0,45.0,1.0", "320,196,1.0")
        write_png(home / "Images" / f"Patient00001_Plane{plane}_1_of_1.png", np.full((392, 640), 40, np.uint8))
    prepare(home, tmp_path / "data", "biometry")
    parts = [Split("fetal_planes/biometry", part, tmp_path / "data") for part in ("train", "validation", "test")]
    frames = [frame for part in parts for frame in frames_of(part)]
    aloka = [frame for frame in frames if frame.subject == "00001"]
    assert len(aloka) == 3
    assert all(frame.shape is not None and frame.spacing_mm is None and not frame.truth_mm for frame in aloka)
    assert all(frame.spacing_mm == 1 for frame in frames if frame.subject != "00001")


def test_the_half_rates_of_real_aloka_frames_are_not_taken(data_dir):
    home = data_dir / "fetal_planes_3"
    with (home / "ruler.csv").open(newline="") as f:
        ruler = {r["filename"]: float(r["ruler_mm_per_px"]) for r in csv.DictReader(f) if r["ruler_mm_per_px"]}
    rows = {row.name: row for row in folder.read(home)}
    marks = calipers.read(calipers.find(home), {Path(name).stem for name in rows}).calipers
    aloka = [name for name in ruler if name in marks and marks[name].size == calipers.ALOKA]
    example = fetal_planes_dataset_builder.example
    found = {name: float(example(rows[name], marks[name], Counter())["spacing_mm"]) for name in aloka}
    half = ("Patient01010_Plane2_1_of_1.png", "Patient01272_Plane2_1_of_1.png", "Patient01486_Plane3_3_of_3.png")
    assert all(math.isnan(found[name]) for name in half)  # no ruler is read there
    known = [name for name in aloka if not math.isnan(found[name])]
    assert len(known) > len(aloka) / 2
    assert all(abs(found[name] / ruler[name] - 1) < 0.02 for name in known)


def test_outlines_of_ours_replace_calipers_on_all_but_test_frames(home, tmp_path, monkeypatch):
    name = "Patient{:05d}_Plane{}_1_of_1.png".format
    (tmp_path / "women.csv").write_text("patient,split\n00001,train\n00004,test\n")
    (tmp_path / "outlines.csv").write_text(
        "filename,plane,cx,cy,a,b,theta,x1,y1,x2,y2,reader,how\n"
        f"{name(1, 2)},abdomen,60,40,30,25,0.5,,,,,reader1,drawn\n"
        f"{name(1, 5)},femur,,,,,,20,30,90,50,reader1,proposed\n"
        f"{name(4, 2)},abdomen,60,40,30,25,0.5,,,,,reader1,drawn\n"
    )
    monkeypatch.setattr(outlines, "HERE", tmp_path)
    prepare(home, tmp_path, "outlines")
    parts = [Split("fetal_planes/outlines", part, tmp_path) for part in ("train", "test")]
    train, test = ({split[i].filename: split[i] for i in range(len(split))} for split in parts)
    assert len(train) == len(test) == 6
    assert np.asarray(train[name(1, 2)].shape).tolist() == pytest.approx([60, 40, 30, 25, 0.5])
    assert train[name(1, 5)].shape.ends.tolist() == [[20, 30], [90, 50]]
    assert (train[name(1, 3)].shape, train[name(1, 3)].geometry) == (None, "unknown")
    assert np.asarray(test[name(4, 2)].shape)[2:4] == pytest.approx([40, 30])


@pytest.mark.parametrize(
    ("rate", "ruler", "spacing", "fault"),
    [
        (0.2, (0.4, 0.4), 0.4, "rate over 3% off"),
        (0.2, (0.205, 0.205), 0.2, ""),
        (math.nan, (0.4, 0.4), 0.4, "no usable rate"),
        (0.2, (0.4, 0.3), 0.2, ""),  # one number cannot be the scale of oblong pixels
        (0.2, None, 0.2, ""),
    ],
)
def test_a_ruler_that_contradicts_the_rate_gives_the_scale(rate, ruler, spacing, fault):
    marks = calipers.Calipers(Ellipse(60, 45, 40, 30, 0), rate, {"ofd": 80.0}, (120, 90), False)
    found, name = calipers.with_ruler(marks, PixelSize(ruler, "ruler" if ruler else None))
    assert found.spacing_mm == spacing
    assert found.millimetres == {"ofd_mm": 80 * spacing}
    assert name.startswith(fault)
    assert bool(name) == bool(fault)
