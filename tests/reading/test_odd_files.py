"""Files that people have: the right pixels, or a refusal that names the cause."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from copy import deepcopy
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit
from scipy import ndimage

from fetal_jax.errors import UserError
from fetal_jax.reading import codestream
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.isolated import read, read_ahead
from fetal_jax.reading.sources import ANNOTATION, MASK, Source, find
from tests.support.dicom_files import as_ultrasound, save, ultrasound

RNG = np.random.default_rng(0)
SMOOTH = ndimage.gaussian_filter(RNG.uniform(0, 255, (120, 160)), 2)
SMOOTH = ((SMOOTH - SMOOTH.min()) * 255 / np.ptp(SMOOTH)).astype(np.uint8)


def frames(path: Path) -> list[Frame | Failure]:
    return list(read(Source(path)))


def only(path: Path) -> Frame:
    (frame,) = frames(path)
    assert isinstance(frame, Frame), frame
    return frame


# ------------------------------------------------------------------------------------------------------ images


def test_signed_pixels_of_a_tiff_are_refused(tmp_path):
    """Pillow reads the bytes as unsigned: what is darker than the middle comes out brighter than white."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    Image.fromarray(SMOOTH ^ 0x80).save(tmp_path / "a.tif", tiffinfo=tags)
    (failure,) = frames(tmp_path / "a.tif")
    assert isinstance(failure, Failure)
    assert failure.reason.endswith("a.tif has signed pixels (SampleFormat 2): save it as unsigned 8-bit grey or RGB")
    tags[339] = 1
    Image.fromarray(SMOOTH).save(tmp_path / "b.tif", tiffinfo=tags)
    np.testing.assert_array_equal(only(tmp_path / "b.tif").pixels, SMOOTH)


@pytest.mark.parametrize(("kind", "channels"), [(2, "ggg"), (4, "ga"), (6, "ggga")])
def test_16_bits_in_colour_keep_their_levels_or_are_refused(tmp_path, kind, channels):
    """Their high byte is read: of 12 bits in use it keeps 16 grey levels."""
    for factor in (257, 16):
        parts = {"g": SMOOTH.astype(">u2") * factor, "a": np.full(SMOOTH.shape, 0xFFFF)}
        values = np.stack([parts[c] for c in channels], axis=-1).astype(">u2")
        lines = b"".join(b"\0" + line.tobytes() for line in values)
        head = struct.pack(">IIBBBBB", *SMOOTH.shape[::-1], 16, kind, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
        data = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
        (found,) = frames(tmp_path / "a.png")
        if factor == 257:
            assert isinstance(found, Frame)
            assert np.abs(found.pixels.astype(int) - SMOOTH).max() <= 1
        else:
            assert isinstance(found, Failure)
            assert found.reason.endswith("has 16 bits per channel, but uses fewer: save it as 8-bit grey or RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation_is_honoured(tmp_path, suffix, orientation):
    image = Image.fromarray(SMOOTH)
    exif = image.getexif()
    exif[0x0112] = orientation
    options = {"quality": 98} if suffix == "jpg" else {}
    if suffix == "tif":  # uncompressed: Pillow maps such a file into memory
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        image.save(tmp_path / "a.tif", tiffinfo=tags)
    else:
        image.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    turns = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose}
    turns |= {6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90}
    found = only(tmp_path / f"a.{suffix}").pixels
    assert np.abs(found.astype(int) - turns[orientation](SMOOTH)).max() <= (12 if suffix == "jpg" else 0)


DENSITY = Image.Exif()
DENSITY[282], DENSITY[283] = 200.0, 100.0


@pytest.mark.parametrize(
    ("name", "options", "aspect"),
    [
        ("a.png", {"dpi": (100, 200)}, 0.5),
        ("a.jpg", {"dpi": (200, 100)}, 2.0),
        ("a.tif", {"dpi": (100, 200)}, 0.5),
        ("a.tif", {"x_resolution": 30, "y_resolution": 40, "resolution_unit": 3}, 0.75),
        ("a.bmp", {"dpi": (100, 200)}, 0.5),
        ("a.png", {"dpi": (96, 96)}, None),
        ("a.jpg", {"exif": DENSITY, "dpi": (72, 72)}, 2.0),  # JFIF's own is every writer's default
        ("a.jpg", {"exif": DENSITY, "dpi": (100, 400)}, 0.25),
        ("a.png", {"exif": DENSITY}, 2.0),
        ("a.jpg", {}, None),
    ],
)
def test_pixels_that_are_not_square_are_noticed(tmp_path, name, options, aspect):
    Image.fromarray(SMOOTH).save(tmp_path / name, **options)
    size = only(tmp_path / name).size
    assert size.aspect == (None if aspect is None else pytest.approx(aspect, rel=0.01))


def test_aspect_of_a_tiff_turns_with_the_picture(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "a.tif", dpi=(100, 200), tiffinfo={274: 6})
    assert only(tmp_path / "a.tif").size.aspect == pytest.approx(2.0, rel=0.01)


def test_aspect_turns_with_the_picture(tmp_path):
    image = Image.fromarray(SMOOTH)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif, dpi=(100, 200))
    assert only(tmp_path / "a.png").size.aspect == pytest.approx(2.0, rel=0.01)


def tiff(path: Path, *pages: tuple[np.ndarray, int], tag: int = 254) -> Path:
    images = [Image.fromarray(pixels) for pixels, _ in pages]
    for image, (_, kind) in zip(images, pages, strict=True):
        image.encoderinfo = {"tiffinfo": {tag: kind}}
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as out:
        for image, (_, kind) in zip(images, pages, strict=True):
            image.save(out, format="TIFF", tiffinfo={tag: kind})
            out.newFrame()
    return path


def test_thumbnails_and_masks_among_pages_are_no_frames(tmp_path):
    small = SMOOTH[::4, ::4]
    for pages in ([(SMOOTH, 0), (small, 1)], [(small, 1), (SMOOTH, 0)], [(SMOOTH, 0), (SMOOTH, 4)]):
        np.testing.assert_array_equal(only(tiff(tmp_path / "a.tif", *pages)).pixels, SMOOTH)
    old = tiff(tmp_path / "b.tif", (SMOOTH, 1), (small, 2), tag=255)
    np.testing.assert_array_equal(only(old).pixels, SMOOTH)


@pytest.mark.parametrize("pages", [[(SMOOTH[::4, ::4], 1)], [(SMOOTH[::4, ::4], 1), (SMOOTH, 4)]])
def test_thumbnail_without_its_frame_is_refused(tmp_path, pages):
    (found,) = frames(tiff(tmp_path / "a.tif", *pages))
    assert isinstance(found, Failure)
    assert "a reduced copy or a mask alone (NewSubfileType): save the frame itself" in found.reason


def test_pages_of_different_sizes_have_no_common_spacing(tmp_path):
    found = frames(tiff(tmp_path / "a.tif", (SMOOTH, 0), (SMOOTH[::2, ::2], 0)))
    assert len(found) == 2
    assert all(f.size.final and "different sizes (80x60, 160x120)" in f.size.reason for f in found)


def test_every_frame_of_an_animated_png_is_read(tmp_path):
    pages = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH), Image.fromarray(SMOOTH)]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:], duration=40)
    found = frames(tmp_path / "a.png")
    assert [f.index for f in found] == [0, 1, 2]
    np.testing.assert_array_equal(found[1].pixels, 255 - SMOOTH)


def jpeg(pixels: np.ndarray = SMOOTH, **options: object) -> bytes:
    data = BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", **({"quality": 90} | options))
    return data.getvalue()


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 5}, {"progressive": True}])
@pytest.mark.parametrize("shape", [(120, 160), (117, 155), (9, 7)])
def test_sound_jpeg_has_no_damage(shape, options, colour):
    pixels = SMOOTH[: shape[0], : shape[1]]
    data = jpeg(np.stack([pixels, 255 - pixels, pixels // 2], -1) if colour else pixels, **options)
    assert codestream.damage(data) == ""
    assert codestream.header(data) == codestream.Codestream(*shape, 3 if colour else 1, 8)


def test_jpeg_with_bad_bytes_is_reported_wherever_libjpeg_warns(tmp_path, capfd):
    cv2 = pytest.importorskip("cv2", reason="OpenCV prints libjpeg's warnings")
    data, noticed = jpeg(), 0
    for _ in range(60):
        spoilt = np.frombuffer(data, np.uint8).copy()
        at = RNG.integers(700, len(data) - 2, 2)
        spoilt[at] ^= (1 << RNG.integers(0, 8, 2)).astype(np.uint8)
        capfd.readouterr()
        cv2.imdecode(spoilt, cv2.IMREAD_GRAYSCALE)
        if capfd.readouterr().err:
            noticed += 1
            assert codestream.damage(spoilt.tobytes())
            (tmp_path / "a.jpg").write_bytes(spoilt.tobytes())
            (frame,) = frames(tmp_path / "a.jpg")
            assert isinstance(frame, Failure) or "damaged" in frame.warnings[0]
    assert noticed > 5


# ------------------------------------------------------------------------------------------------------- DICOM


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rescale", [False, True])
def test_signed_eight_bits_are_shown_as_unsigned_ones(tmp_path, photometric, rescale):
    shown = SMOOTH if photometric == "MONOCHROME2" else 255 - SMOOTH
    ds = ultrasound(shown, None, photometric)
    ds.PixelRepresentation = 1
    ds.PixelData = (shown.astype(int) - 128).astype(np.int8).tobytes()
    if rescale:
        ds.RescaleSlope, ds.RescaleIntercept, ds.WindowCenter, ds.WindowWidth = 1, 128, 128, 256
    found = only(save(ds, tmp_path / "a.dcm")).pixels
    assert np.abs(found.astype(int) - SMOOTH).max() <= 1


@pytest.mark.parametrize(("bits", "factor"), [(16, 1), (16, 4), (16, 16), (12, 1), (16, 257)])
def test_bits_that_are_not_used_do_not_darken(tmp_path, bits, factor):
    ds = ultrasound(SMOOTH.astype(np.uint16) * factor)
    ds.BitsStored, ds.HighBit = bits, bits - 1
    found = only(save(ds, tmp_path / "a.dcm")).pixels
    assert np.abs(found.astype(int) - SMOOTH).max() <= 2


@pytest.mark.parametrize("scale", [1, 257])
def test_palette_of_eight_bit_values_in_sixteen_bit_entries(tmp_path, scale):
    ds = ultrasound(SMOOTH, None, "PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{name}PaletteColorLookupTableData", (np.arange(256) * scale).astype("<u2").tobytes())
    np.testing.assert_array_equal(only(save(ds, tmp_path / "a.dcm")).pixels, SMOOTH)


def test_deflated_file_is_read(tmp_path):
    ds = ultrasound(SMOOTH)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(only(save(ds, tmp_path / "a.dcm")).pixels, SMOOTH)
    assert frames(Path(get_testdata_file("image_dfl.dcm")))[0].pixels.shape == (512, 512)


def published(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(as_ultrasound(Path(get_testdata_file(name)).read_bytes()))
    return path


def test_signed_jpeg_2000_under_an_unsigned_header_is_read(tmp_path):
    assert only(published("J2K_pixelrep_mismatch.dcm", tmp_path)).pixels.std() > 10


def test_twelve_bit_jpeg_is_refused_plainly(tmp_path):
    (found,) = frames(published("JPGExtended.dcm", tmp_path))
    assert isinstance(found, Failure)
    assert "JPEG Extended" in found.reason
    assert "damaged" not in found.reason


def encapsulated(path: Path, *pictures: bytes, shape: tuple[int, int] = (120, 160), colour: bool = False) -> Path:
    ds = ultrasound(np.zeros((*shape, 3) if colour else shape, np.uint8))
    ds.PixelData, ds.file_meta.TransferSyntaxUID = encapsulate(list(pictures)), JPEGBaseline8Bit
    if len(pictures) > 1:
        ds.NumberOfFrames = 1
    return save(ds, path)


@pytest.mark.parametrize(
    ("picture", "colour", "words"),
    [
        (np.ascontiguousarray(SMOOTH.T), False, "120x160 of 1 channel(s) under a header of 160x120 of 1"),
        (np.stack([SMOOTH] * 3, -1), False, "of 3 channel(s) under a header of 160x120 of 1"),
        (SMOOTH, True, "of 1 channel(s) under a header of 160x120 of 3"),
    ],
)
def test_codestream_that_does_not_fit_its_header_is_refused(tmp_path, picture, colour, words):
    (found,) = frames(encapsulated(tmp_path / "a.dcm", jpeg(picture), colour=colour))
    assert isinstance(found, Failure)
    assert words in found.reason


def test_damaged_jpeg_inside_dicom_warns(tmp_path):
    data = bytearray(jpeg())
    data[len(data) // 2] ^= 0x55
    data[len(data) // 2 + 40] ^= 0x55
    assert codestream.damage(bytes(data))
    found = frames(encapsulated(tmp_path / "a.dcm", bytes(data)))
    assert isinstance(found[0], Failure) or "damaged" in found[0].warnings[0]
    assert only(encapsulated(tmp_path / "b.dcm", jpeg())).warnings == ()


def test_damaged_lossless_jpeg_inside_dicom_warns(tmp_path):
    for pixels in (SMOOTH, np.stack([SMOOTH] * 3, -1)):
        path = save(ultrasound(pixels), tmp_path / "a.dcm", "jpeg_lossless")
        whole = only(path)
        assert whole.warnings == ()
        spoilt, silent, noticed = bytearray(path.read_bytes()), 0, 0
        start = spoilt.index(b"\xff\xd8\xff")  # the header before it has new UIDs, of any length, in each run
        for at in range(start + 2000, len(spoilt) - 400, 499):
            path.write_bytes(bytes(spoilt[:at] + bytes([spoilt[at] ^ 0x24]) + spoilt[at + 1 :]))
            (found,) = frames(path)
            wrong = isinstance(found, Frame) and (np.abs(found.pixels - whole.pixels.astype(int)) > 20).mean() > 0.01
            silent += wrong and not found.warnings
            noticed += isinstance(found, Failure) or bool(found.warnings)
        # a code may become another one of the same length: of all bytes, 1.9 (grey) and 2.7 (colour) are noticed to one
        assert noticed > silent, (noticed, silent)


def test_damaged_jpeg_inside_tiff_warns(tmp_path):
    for options in ({}, {"tiffinfo": {278: 16}}):  # one strip, and several that share their tables
        path = tmp_path / "a.tif"
        Image.fromarray(SMOOTH).save(path, compression="jpeg", quality=90, **options)
        assert only(path).warnings == ()
        data = bytearray(path.read_bytes())
        with Image.open(path) as image:
            at = image.tag_v2[273][-1] + image.tag_v2[279][-1] // 2
        data[at : at + 40] = bytes(range(40, 0, -1))
        path.write_bytes(bytes(data))
        (warning,) = only(path).warnings
        assert warning.startswith("its JPEG data are damaged")


def test_more_frames_than_the_header_says_are_not_dropped(tmp_path):
    ds = ultrasound(np.stack([SMOOTH] * 3))
    ds.NumberOfFrames = 1
    deflated = deepcopy(ds)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    compressed = encapsulated(tmp_path / "b.dcm", jpeg(), jpeg(), jpeg())
    for path in (save(ds, tmp_path / "a.dcm"), compressed, save(deflated, tmp_path / "c.dcm")):
        (found,) = frames(path)
        assert isinstance(found, Failure)
        assert "holds 3 frames, and NumberOfFrames of its header says 1" in found.reason


def test_rows_of_a_cine_that_is_cut_short_are_numbered_apart(tmp_path):
    ds = ultrasound(np.stack([SMOOTH] * 3))
    ds.PixelData = ds.PixelData[: 2 * SMOOTH.size]
    found = frames(save(ds, tmp_path / "a.dcm"))
    assert len({f.index for f in found}) == len(found)
    assert isinstance(found[-1], Failure)


# ---------------------------------------------------------------------------------------- archives and folders


def test_archive_with_a_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", jpeg())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", jpeg())
    (source,) = find([tmp_path / "a.zip"]).sources
    assert "a.png twice" in next(read(source)).reason


def test_pattern_in_a_folder_whose_name_has_brackets(tmp_path):
    for folder in ("dir[1]", "dir1"):
        (tmp_path / folder).mkdir()
        Image.fromarray(SMOOTH).save(tmp_path / folder / "a.png")
    assert [s.path.parent.name for s in find([tmp_path / "dir[1]" / "*.png"]).sources] == ["dir[1]"]
    assert [s.path.parent.name for s in find([tmp_path / "dir[0-9]" / "*.png"]).sources] == ["dir1"]


def test_linked_folders_are_read_once(tmp_path):
    (tmp_path / "store").mkdir()
    Image.fromarray(SMOOTH).save(tmp_path / "store" / "a.png")
    study = tmp_path / "study"
    study.mkdir()
    for name in ("one", "two"):
        (study / name).symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(study)
    assert [str(s.path.relative_to(study)) for s in find([study]).sources] == ["one/a.png"]


def test_annotations_beside_frames_are_left_out(tmp_path):
    for name in ("001_HC.png", "001_HC_Annotation.png", "alone_Annotation.png", "002_2HC_Annotation.png"):
        Image.fromarray(SMOOTH).save(tmp_path / name)
    for path in (tmp_path, tmp_path / "*.png"):
        found = find([path])
        assert [s.filename for s in found.sources] == ["001_HC.png", "alone_Annotation.png"]
        assert found.left_out == {ANNOTATION: 2}
    assert [s.filename for s in find([tmp_path / "001_HC_Annotation.png"]).sources] == ["001_HC_Annotation.png"]
    (tmp_path / "outlines").mkdir()
    (tmp_path / "002_2HC_Annotation.png").rename(tmp_path / "outlines" / "002_2HC_Annotation.png")
    with pytest.raises(UserError, match="nothing but HC18's outlines: give the folder of the frames"):
        find([tmp_path / "outlines"])


def test_masks_of_own_frames_are_left_out(tmp_path):
    """Measured too, a mask would be a head of its own, or take the frame's row of the spacing table."""
    (tmp_path / "masks").mkdir()
    frames = ("a.png", "alone_mask.png", "b.jpg")
    for name in (*frames, "b_mask.png", "masks/a.png"):
        Image.fromarray(SMOOTH).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "before.zip", "w") as zipped:
        for name in (*frames, "b_mask.png", "masks/a.png"):
            zipped.write(tmp_path / name, f"data/{name}")
    assert "masks/a.png" in {
        str(s.path.relative_to(tmp_path)) for s in find([tmp_path]).sources
    }  # no table, no data set
    (tmp_path / "frames.csv").touch()
    with zipfile.ZipFile(tmp_path / "before.zip", "a") as zipped:
        zipped.write(tmp_path / "frames.csv", "data/frames.csv")
    archive = (tmp_path / "before.zip").rename(tmp_path.parent / f"{tmp_path.name}.zip")
    for path in (tmp_path, tmp_path / "**" / "*.[jp]*g", archive):
        found = find([path])
        assert sorted(s.filename for s in found.sources) == sorted(frames)
        assert found.left_out[MASK] == 2
    assert [s.filename for s in find([tmp_path / "masks" / "a.png"]).sources] == ["a.png"]
    with pytest.raises(UserError, match="nothing but masks: give the folder of the frames"):
        find([tmp_path / "masks"])


def test_module_in_the_current_folder_is_not_imported_by_the_reader(tmp_path, monkeypatch):
    Image.fromarray(SMOOTH).save(tmp_path / "a.png")
    for name in ("glob", "zipfile", "csv"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    for path in (sys.path, ["", *sys.path], [str(tmp_path), *sys.path]):
        monkeypatch.setattr(sys, "path", path)
        frame, end = read_ahead([Source(tmp_path / "a.png")])
        assert isinstance(frame, Frame)
        assert end is None


def test_published_ultrasound_that_was_resized_is_refused():
    path = get_testdata_file("examples_ybr_color.dcm")
    assert dcmread(path, stop_before_pixels=True).Columns == 320
    assert "beyond the frame" in frames(Path(path))[0].size.reason
