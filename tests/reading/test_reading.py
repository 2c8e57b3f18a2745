"""Files -> frames: every format the same pixels, spacing with its unit checked, what is damaged named."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections import Counter
from copy import deepcopy
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, JPEGBaseline8Bit

from fetal_jax.errors import UserError
from fetal_jax.reading import isolated
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.images import MAX_PIXELS, read_image, write_png
from fetal_jax.reading.isolated import _waited, read, read_ahead
from fetal_jax.reading.sources import EARLIER, HIDDEN, Source, find, suffixes_in_words
from fetal_jax.reading.spacing import of_dicom
from tests.support import ROOT
from tests.support.bad_sources import Killer, Sleeper, Slow
from tests.support.dicom_files import GDCM_SYNTAXES, region, save, ultrasound

GREY = np.random.default_rng(0).integers(0, 255, (40, 60)).astype(np.uint8)
RGB = np.repeat(GREY[..., None], 3, 2)


def only(path: Path) -> Frame:
    (frame,) = read(Source(path))
    assert isinstance(frame, Frame), frame
    return frame


def failure(path: Path) -> Failure:
    found = list(read(Source(path)))[-1]
    assert isinstance(found, Failure), found
    return found


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_image_is_read_by_its_bytes_not_its_suffix(tmp_path, pixels, suffix):
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    os.rename(tmp_path / f"a.{suffix}", tmp_path / "a.dcm")
    frame = only(tmp_path / "a.dcm")
    np.testing.assert_array_equal(frame.pixels, GREY)
    assert frame.size.mm is None


def test_the_pages_of_a_tiff_are_a_cine(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    frames = list(read(Source(tmp_path / "a.tif")))
    assert [(f.index, f.cine) for f in frames] == [(0, True), (1, True)]
    np.testing.assert_array_equal(frames[1].pixels, 255 - GREY)


def test_frames_of_a_picture_have_the_digest_of_its_file_and_those_of_dicom_have_none(tmp_path):
    """DICOM states its object; a large cine is not read twice."""
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.bmp", "a.bmp")
    digest = hashlib.sha256((tmp_path / "a.bmp").read_bytes()).hexdigest()
    assert only(tmp_path / "a.bmp").sha256 == digest
    (member,) = find([tmp_path / "a.zip"]).sources
    assert [frame.sha256 for frame in read(member)] == [digest]
    assert only(save(ultrasound(GREY), tmp_path / "a.dcm")).sha256 is None


@pytest.mark.parametrize("syntax", [None, *(s for s in GDCM_SYNTAXES if s != "jpeg_baseline")])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_dicom_of_every_lossless_syntax(tmp_path, pixels, syntax):
    frame = only(save(ultrasound(pixels, [region(0.3, 0.2)]), tmp_path / "a.dcm", syntax))
    np.testing.assert_array_equal(frame.pixels, GREY)
    assert frame.size.mm == pytest.approx((0.3, 0.2))
    assert frame.size.source == "dicom"


def test_a_lossy_colour_cine_as_scanners_store_it(tmp_path):
    smooth = np.repeat(np.linspace(20, 200, 60, dtype=np.uint8)[None], 40, 0)
    jpeg = BytesIO()
    Image.fromarray(np.repeat(smooth[..., None], 3, 2)).save(jpeg, "JPEG", quality=95)
    ds = ultrasound(np.stack([RGB, RGB]), [region()], "YBR_FULL_422")
    ds.PixelData, ds.file_meta.TransferSyntaxUID = encapsulate([jpeg.getvalue()] * 2), JPEGBaseline8Bit
    frames = list(read(Source(save(ds, tmp_path / "a.dcm"))))
    assert [f.index for f in frames] == [0, 1]
    assert np.abs(frames[1].pixels.astype(int) - smooth).max() <= 3


def test_monochrome1_ybr_and_sixteen_bits_show_the_same(tmp_path):
    ybr = np.stack([GREY, np.full_like(GREY, 128), np.full_like(GREY, 128)], -1)
    cases = [
        ultrasound(255 - GREY, None, "MONOCHROME1"),
        ultrasound(ybr, None, "YBR_FULL"),
        ultrasound(GREY.astype(np.uint16) * 257),
    ]
    windowed = ultrasound(GREY.astype(np.uint16) * 16)
    windowed.BitsStored, windowed.HighBit = 12, 11
    windowed.WindowCenter, windowed.WindowWidth = 2040.5, 4081
    rescaled = deepcopy(windowed)  # a rescale moves the window's ends with it
    rescaled.RescaleSlope, rescaled.RescaleIntercept = 0.5, -20
    rescaled.WindowCenter, rescaled.WindowWidth = 2040 / 2 - 20 + 0.5, 4080 / 2 + 1
    for ds in [*cases, windowed, rescaled]:
        frame = only(save(ds, tmp_path / "a.dcm"))
        assert np.abs(frame.pixels.astype(int) - GREY).max() <= 1


def test_a_palette_and_a_file_without_the_preamble(tmp_path):
    ds = ultrasound(GREY, None, "PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        table = (np.arange(255, -1, -1) * 257).astype("<u2").tobytes()
        setattr(ds, f"{name}PaletteColorLookupTableData", table)
    np.testing.assert_array_equal(only(save(ds, tmp_path / "a.dcm")).pixels, 255 - GREY)

    old = ultrasound(GREY, [region()])
    old.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = save(old, tmp_path / "b.dcm").read_bytes()
    length = int.from_bytes(data[140:144], "little")  # of group 2, after its own element
    (tmp_path / "old").write_bytes(data[144 + length :])
    np.testing.assert_array_equal(only(tmp_path / "old").pixels, GREY)


# ----------------------------------------------------------------------------------------------------- spacing


def test_tissue_region_gives_the_spacing():
    doppler = region(7, 7, 4, RegionSpatialFormat=3, RegionDataType=3)
    tissue = region(0.3, 0.2, RegionLocationMinX0=10, RegionLocationMaxX1=49)
    for regions in ([doppler, tissue], [tissue]):
        size = of_dicom(ultrasound(GREY, regions))
        assert size.mm == pytest.approx((0.3, 0.2))
        assert [r.box for r in size.regions] == [(10, -np.inf, 50, np.inf)]  # open where the frame ends


def test_negative_delta_is_a_length():
    assert of_dicom(ultrasound(GREY, [region(PhysicalDeltaY=-0.03)])).mm == pytest.approx((0.3, 0.2))


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([region(units=4)], ["PhysicalUnitsYDirection", "4 (seconds)", "not 3 (cm)"]),
        ([region(units=None)], ["PhysicalUnitsYDirection", "missing"]),
        ([region(PhysicalDeltaX=0.0)], ["PhysicalDeltaX", "not a length"]),
        ([region(0.2, 0.2), region(0.3, 0.3)], ["different scales", "0.2000, 0.3000"]),
        ([region(RegionDataType=3)], ["no 2-D tissue region"]),
        (None, ["no ultrasound region and no PixelSpacing"]),
    ],
)
def test_unusable_spacing_is_refused_with_the_reason(regions, words):
    size = of_dicom(ultrasound(GREY, regions))
    assert size.mm is None
    for word in words:
        assert word in size.reason


def test_pixel_spacing_is_used_without_a_region_and_must_not_contradict_one():
    ds = ultrasound(GREY)
    ds.PixelSpacing = [0.3, 0.2]
    assert of_dicom(ds).mm == (0.3, 0.2)
    ds = ultrasound(GREY, [region(0.3, 0.2)])
    ds.PixelSpacing = [0.302, 0.2]
    assert of_dicom(ds).mm == pytest.approx((0.3, 0.2))
    ds.PixelSpacing = [0.2, 0.3]  # rows and columns swapped
    assert "contradicts itself" in of_dicom(ds).reason


# ------------------------------------------------------------------------------------------------ bad files


def test_report_is_refused_and_not_called_damaged(tmp_path):
    ds = ultrasound(GREY)
    del ds.Rows, ds.PixelData
    found = failure(save(ds, tmp_path / "a.dcm"))
    assert not found.damaged
    assert "holds no image" in found.reason


@pytest.mark.parametrize("modality", ["CT", "MR", "ES", "IVUS", "DOC"])
def test_another_modality_is_not_measured(tmp_path, modality):
    ds = ultrasound(GREY)
    ds.SOPClassUID, ds.Modality, ds.PixelSpacing = CTImageStorage, modality, [0.5, 0.5]
    found = failure(save(ds, tmp_path / "a.dcm"))
    assert not found.damaged
    assert f"a.dcm: Modality {modality} is not ultrasound" in found.reason


@pytest.mark.parametrize("modality", ["US", "OT", "SC", "", None])
def test_captures_that_do_not_say_what_they_are_of_are_read(tmp_path, modality):
    ds = ultrasound(GREY)
    ds.Modality = modality
    if modality is None:
        del ds.Modality
    np.testing.assert_array_equal(only(save(ds, tmp_path / "a.dcm")).pixels, GREY)


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, b"IEND")
    )


def test_damaged_file_is_refused_with_its_name(tmp_path):
    whole = save(ultrasound(GREY, [region()]), tmp_path / "whole.dcm", "jpeg_2000_lossless").read_bytes()
    huge = ultrasound(GREY)
    huge.Rows = huge.Columns = 30_000
    save(huge, tmp_path / "huge.dcm")
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "huge.png").write_bytes(png_header(30_000, 30_000))
    (tmp_path / "empty.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    Image.fromarray(GREY.astype(np.int32) * 1000).save(tmp_path / "deep.tif")
    words = {
        "cut.dcm": "damaged",
        "huge.dcm": "30000 x 30000",
        "text.png": "not a readable image",
        "huge.png": f"over {MAX_PIXELS // 10**6} million",
        "empty.png": "is empty",
        "link.png": "link to nothing",
        "pipe.png": "not a regular file",
        "deep.tif": "has 32 bits per channel: save",
    }
    for name, word in words.items():
        found = failure(tmp_path / name)
        assert found.damaged
        assert name in found.reason
        assert word in found.reason


def test_a_text_in_place_of_a_source_is_not_called_a_damaged_file(tmp_path):
    with pytest.raises(TypeError, match=r"give Source\(Path\(\.\.\.\)\), not 'frame.png'"):
        Source("frame.png")
    for wrong in ("frame.png", tmp_path / "frame.png"):
        with pytest.raises(TypeError, match=r"give Source\(Path"):
            next(read(wrong))
        with pytest.raises(TypeError, match=r"give Source\(Path"):
            next(read_ahead([wrong]))


def test_an_archive_is_read_in_place(tmp_path):
    inner = tmp_path / "a.png"
    Image.fromarray(GREY).save(inner)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "../../escape.png")
        archive.write(inner, "deep/b.png")
        archive.writestr("bomb.png", b"\0" * 300_000_000)
        archive.writestr("notes.txt", "x")
        archive.writestr("inner.zip", b"PK")
        archive.write(save(ultrasound(GREY, [region()]), tmp_path / "c.dcm"), "deep/IM_0001")
    inner.unlink()
    (tmp_path / "c.dcm").unlink()
    found = find([tmp_path])
    assert [s.member for s in found.sources] == [
        "../../escape.png",
        "bomb.png",
        "deep/IM_0001",
        "deep/b.png",
        "inner.zip",
    ]
    assert found.left_out == {".txt": 1}
    items = [next(read(s)) for s in found.sources]
    assert "leads out of the archive" in items[0].reason
    for i in (2, 3):
        np.testing.assert_array_equal(items[i].pixels, GREY)
    assert "not a readable image" in items[1].reason
    assert "archive within an archive" in items[4].reason
    assert not list(tmp_path.parent.rglob("escape.png"))


def test_a_damaged_archive_is_one_bad_file(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 and nothing more")
    (source,) = find([tmp_path / "x.zip"]).sources
    assert "x.zip is damaged" in next(read(source)).reason


def test_folders_patterns_and_what_is_left_out(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt", "deep/c.bmp", "out/overlays/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / name, "PNG")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    found = find([tmp_path], leave_out=tmp_path / "out")
    assert [s.filename for s in found.sources] == ["a.JPG", "b.png", "c.bmp"]
    assert set(found.left_out) == {".txt", HIDDEN, EARLIER}
    assert [s.filename for s in find([tmp_path / "*.png"]).sources] == ["b.png"]
    with pytest.raises(UserError, match="does not exist"):
        find([tmp_path / "none.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no PNG"):
        find([tmp_path / "empty"])


def test_results_of_an_earlier_call_are_left_out(tmp_path):
    for name in ("a.png", "first/overlays/a.png", "first/seg/a.png", "first/contact_sheet_01.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "first" / "measurements.csv").touch()
    for name in ("archived/seg/0/a.png", "archived/call.json", "archived/frames/0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tmp_path / "a.png", tmp_path / name)
    for path in (tmp_path, tmp_path / "**" / "*.png", tmp_path / "**", tmp_path / "*"):
        found = find([path], leave_out=tmp_path / "second")
        assert [s.path for s in found.sources] == [tmp_path / "a.png"]
        assert found.left_out[EARLIER]
    (tmp_path / "frames").mkdir()  # beside a call.json of `measure` it is a folder of frames
    shutil.copyfile(tmp_path / "a.png", tmp_path / "frames" / "b.png")
    (tmp_path / "call.json").touch()
    assert [s.filename for s in find([tmp_path / "frames" / "*.png"]).sources] == ["b.png"]
    for pattern in ("", "*", "*/*", "seg/*"):
        with pytest.raises(UserError, match="nothing but results"):
            find([tmp_path / "first" / pattern])
    with pytest.raises(UserError, match=r"\*\.bmp matches no file"):
        find([tmp_path / "*.bmp"])
    with pytest.raises(UserError, match=f"^{tmp_path} is --out too, .*: give another --out$"):
        find([tmp_path], leave_out=tmp_path)


def test_hidden_files_are_not_counted_by_their_suffix(tmp_path):
    for name in ("a.png", "._a.png", ".DS_Store", "b.txt"):
        Image.fromarray(GREY).save(tmp_path / name, "PNG")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "e/._a.png")
    found = find([tmp_path])
    assert found.left_out == {HIDDEN: 3, ".txt": 1}
    assert suffixes_in_words(found.left_out) == "3 hidden files, 1 .txt"
    assert suffixes_in_words(Counter({HIDDEN: 1})) == "1 hidden file"


def test_dicom_without_its_package_is_named(tmp_path, monkeypatch):
    save(ultrasound(GREY), tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (item,) = read(Source(tmp_path / "a.dcm"))
    assert item.reason == f"{tmp_path / 'a.dcm'}: reading DICOM needs the dicom extra: pip install '.[dicom]'"


def test_file_that_crashes_or_hangs_the_reader_costs_one_file(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "good.png")
    good = Source(tmp_path / "good.png")
    killer, sleeper = Killer(tmp_path / "killer.png"), Sleeper(tmp_path / "sleeper.png")
    monkeypatch.setattr("fetal_jax.reading.isolated.SECONDS", 4.0)
    items = list(read_ahead([good, killer, good, sleeper, good]))
    assert [type(i) for i in items if i] == [Frame, Failure, Frame, Failure, Frame]
    assert sum(i is None for i in items) == 5
    reasons = [i.reason for i in items if isinstance(i, Failure)]
    assert "killer.png crashes its decoder" in reasons[0]
    assert "sleeper.png takes over 4 s" in reasons[1]


def test_slow_start_of_the_reader_is_not_blamed_on_a_file(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep(4)\n")
    Image.fromarray(GREY).save(tmp_path / "good.png")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("fetal_jax.reading.isolated.SECONDS", 3.0)
    frame, end = read_ahead([Source(tmp_path / "good.png")])
    assert isinstance(frame, Frame)
    assert end is None


def test_waiting_for_a_core_is_not_blamed_on_a_file(tmp_path, monkeypatch):
    """On a machine with load 25 every good file took over 7 s: the reading process got a core for 1 % of them."""
    Image.fromarray(GREY).save(tmp_path / "slow.png")
    monkeypatch.setattr("fetal_jax.reading.isolated.SECONDS", 0.5)
    monkeypatch.setattr("fetal_jax.reading.isolated._waited", lambda _: time.monotonic())
    frame, end = read_ahead([Slow(tmp_path / "slow.png")])
    assert isinstance(frame, Frame)
    assert end is None


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel does not count it")
def test_time_spent_waiting_for_a_core_is_counted():
    """Two busy processes on one core: each waits for about half of the time."""
    core = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    pair = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(2)]
    try:
        time.sleep(2)
        assert max(_waited(child.pid) for child in pair) > 0.3
    finally:
        for child in pair:
            child.kill()
            child.wait()
    assert _waited(pair[0].pid) == 0


def test_a_script_without_a_main_guard_reads_too(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "script.py").write_text(
        "from pathlib import Path\n"
        "from fetal_jax.reading.isolated import read_ahead\n"
        "from fetal_jax.reading.sources import Source\n"
        "print([type(i).__name__ for i in read_ahead([Source(Path('a.png'))])])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "['Frame', 'NoneType']\n", done.stderr


def test_reading_stops_when_the_consumer_closes(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    frames = read_ahead([Source(tmp_path / "a.png")] * 500)
    next(frames)
    frames.close()
    assert not [t for t in threading.enumerate() if t.name == "reading"]


# ------------------------------------------------------------------------------------------------- pictures out


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (7, 1), (5, 1, 3), (1, 9), (30, 41), (30, 41, 3)])
def test_a_written_picture_is_read_as_it_was(tmp_path, shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_the_reading_process_starts_without_scipy():
    """SciPy takes as long as all else that it loads."""
    code = "import sys, fetal_jax.reading.isolated\nsys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_process_that_reads_rulers_imports_scipy_before_the_time_of_a_file_begins():
    code = "import sys\nfrom fetal_jax.reading.isolated import serve\nserve()\nsys.exit('scipy' not in sys.modules)"
    for with_ruler in (True, False):
        told = {"input": pickle.dumps(with_ruler), "stdout": subprocess.DEVNULL}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, **told)
        assert done.returncode == (0 if with_ruler else 1)


def test_a_process_started_early_reads_the_next_frames_and_only_those(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    started = []
    monkeypatch.setattr(isolated, "_early", [])  # a command of another test may have left one
    monkeypatch.setattr(isolated, "_Child", lambda child=isolated._Child: started.append(child()) or started[-1])
    isolated.start_early()
    assert len(started) == 1
    for n in (1, 2):
        frame, end = read_ahead([Source(tmp_path / "a.png")], with_ruler=True)
        assert (type(frame), end, len(started)) == (Frame, None, n)


def test_a_process_started_early_for_nothing_ends_with_its_parent():
    code = (
        "import sys\nfrom fetal_jax.reading import isolated\nisolated.start_early()\n"
        "print(isolated._early[0]._process.pid)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert not done.stderr
    assert not Path(f"/proc/{int(done.stdout)}").exists()
