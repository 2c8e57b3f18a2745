"""The ruler: right or refused, never wrong by a factor."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fetal_jax.inference.spacing import Spacings
from fetal_jax.preprocess import to_grey
from fetal_jax.reading import depth_ruler
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import Source
from tests.support.dicom_files import region, save, ultrasound
from tests.support.ruler_readings import BY_HAND, OTHER_VOLUSON, by_hand_mm


def draw(
    period: float, sizes: tuple[int, int, int], dots: bool = True, height: int = 700, start: float = 20
) -> np.ndarray:
    """A frame with a ruler on speckle: dot, dash, long dash wide as told, an edge in line at column 30."""
    rng = np.random.default_rng(1)
    frame = rng.gamma(2, 8, (height, 300)).clip(0, 120).astype(np.uint8)
    for i in range(int((height - start - 3) / period) + 1):
        row = round(start + i * period)
        kind = 2 if i % 10 == 4 else i % 2 == 0
        if kind or dots:
            frame[row : row + 2 + (kind == 2), 30 : 30 + sizes[kind]] = 255
    return frame


@settings(deadline=None, max_examples=25)
@given(st.floats(25, 90), st.sampled_from([(1, 3, 9), (2, 4, 10), (3, 5, 11)]), st.floats(3, 60))
def test_a_drawn_ruler(period, sizes, start):
    size = depth_ruler.pixel_size(draw(period, sizes, start=start))
    assert size.source == "ruler"
    assert size.mm == pytest.approx((5 / period,) * 2, rel=0.004)
    assert 0.5 <= size.confidence <= 1


def test_a_deep_rulers_dashes_are_ten_millimetres_apart():
    assert depth_ruler.pixel_size(draw(20.5, (1, 3, 9), dots=False)).mm[0] == pytest.approx(5 / 20.5, rel=0.004)


def test_on_the_right_edge_too():
    frame = draw(38, (1, 3, 9))[:, ::-1]
    assert depth_ruler.pixel_size(frame).mm[0] == pytest.approx(5 / 38, rel=0.004)


def test_marks_that_are_alike_are_refused():
    frame = np.zeros((600, 300), np.uint8)
    for row in range(10, 590, 38):
        frame[row : row + 2, 30:33] = 255
    assert "alike" in depth_ruler.pixel_size(frame).reason


@pytest.mark.parametrize("wrong", [7, 15])
def test_a_long_mark_out_of_place_is_refused(wrong):
    frame = draw(38, (1, 3, 9))
    row = round(20 + wrong * 38)
    frame[row : row + 3, 30:39] = 255
    assert depth_ruler.pixel_size(frame).mm is None


def test_noise_text_and_nothing_are_refused():
    rng = np.random.default_rng(0)
    for frame in (np.zeros((400, 500)), rng.uniform(0, 255, (400, 500)), np.full((400, 500), 255), np.eye(300) * 255):
        assert depth_ruler.pixel_size(frame.astype(np.uint8)).mm is None


def test_a_header_is_believed_before_a_ruler(tmp_path):
    frame = draw(38, (1, 3, 9))
    path = save(ultrasound(frame, [region(0.2, 0.2)]), tmp_path / "a.dcm")
    (read_frame,) = read(Source(path), with_ruler=True)
    assert read_frame.size.source == "dicom"
    path = save(ultrasound(frame, [region(units=4)]), tmp_path / "a.dcm")
    (read_frame,) = read(Source(path), with_ruler=True)
    assert isinstance(read_frame, Frame)
    assert Spacings("ruler").of(read_frame).source == "ruler"
    (read_frame,) = read(Source(path))
    assert read_frame.size.mm is None


# ------------------------------------------------------------------------------------------------- real frames


def frame_of(data_dir, name: str) -> np.ndarray:
    folder = data_dir / "fetal_planes" / "Images" if name.startswith("Patient") else data_dir / "sononet_examples"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return to_grey(np.asarray(Image.open(folder / f"{name}.png").convert("RGB")))


def test_voluson_frames_are_read_as_a_person_reads_them(data_dir):
    found = {name: depth_ruler.pixel_size(frame_of(data_dir, name)) for name in BY_HAND | OTHER_VOLUSON}
    accepted = {name: size for name, size in found.items() if size.mm}
    assert len(accepted) >= 0.8 * len(found)
    for name, size in accepted.items():
        assert size.mm[0] == pytest.approx(by_hand_mm((BY_HAND | OTHER_VOLUSON)[name]), rel=0.005), name


def test_spoilt_voluson_frames_are_right_or_refused(data_dir):
    rng = np.random.default_rng(3)
    accepted = 0
    for name, marks in BY_HAND.items():
        frame = Image.fromarray(frame_of(data_dir, name))
        scale, quality = rng.uniform(0.4, 1.6), int(rng.integers(50, 96))
        small = frame.resize((round(frame.width * scale), round(frame.height * scale)), Image.Resampling.BILINEAR)
        jpeg = BytesIO()
        small.save(jpeg, "JPEG", quality=quality)
        size = depth_ruler.pixel_size(np.asarray(Image.open(jpeg)))
        if size.mm:
            accepted += 1
            assert size.mm[0] * small.height / frame.height == pytest.approx(by_hand_mm(marks), rel=0.01), name
    assert accepted >= 5


def test_other_machines_are_refused(data_dir):
    names = [p.stem for p in sorted((data_dir / "fetal_planes" / "Images").glob("*.png"))]
    aloka = [n for n in names if n not in BY_HAND | OTHER_VOLUSON]
    hc18 = sorted((data_dir / "hc18" / "training_set").glob("*HC.png"))[::60]
    frames = [frame_of(data_dir, n) for n in aloka] + [to_grey(np.asarray(Image.open(p))) for p in hc18]
    assert len(frames) >= 20
    assert all(depth_ruler.pixel_size(frame).mm is None for frame in frames)
