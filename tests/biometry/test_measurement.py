"""Map -> millimetres and flags."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fetal_jax import geometry
from fetal_jax.biometry import FLAGS, measure
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training.targets import coverage

SHAPE = (176, 256)
covered = jax.jit(coverage, static_argnums=2)


def coverage_map(shape: Ellipse | Shaft, size: tuple[int, int] = SHAPE) -> np.ndarray:
    kind = GEOMETRIES.index("ellipse" if isinstance(shape, Ellipse) else "shaft")
    return np.asarray(covered(jnp.asarray([kind]), jnp.asarray(np.asarray(shape, np.float32))[None], size))[0]


def random_head(rng: np.random.Generator) -> Ellipse:
    a = rng.uniform(45, 82)
    return Ellipse(*(np.array([128, 88]) + rng.uniform(-3, 3, 2)), a, a * rng.uniform(0.7, 0.9), rng.uniform(-1.5, 1.5))


def test_head_circumference_of_a_coverage_map():
    rng = np.random.default_rng(0)
    heads = [random_head(rng) for _ in range(40)]
    errors = np.array([measure(coverage_map(h), "head", 0.6).hc_mm - 0.6 * h.perimeter for h in heads])
    assert abs(errors.mean()) < 0.005
    assert np.abs(errors).mean() < 0.005
    assert np.abs(errors).max() < 0.03


def test_small_head_on_a_small_map_has_no_grid_bias():
    """Its outline is nearly parallel to the grid: 0.12 mm are lost without smoothing, 0.4 mm without `unblurred`."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(60):
        a = rng.uniform(18, 27)
        head = Ellipse(*rng.uniform(40, 56, 2), a, a * rng.uniform(0.75, 0.88), rng.uniform(-0.3, 0.3))
        errors.append(measure(coverage_map(head, (96, 128)), "head", 2.0).hc_mm - 2.0 * head.perimeter)
    assert abs(np.mean(errors)) < 0.01
    assert np.abs(errors).max() < 0.06


def test_axes_are_the_diameters():
    head = Ellipse(128, 88, 80, 60, 0.3)
    m = measure(coverage_map(head), "head", 0.5)
    assert (m.ofd_mm, m.bpd_mm) == pytest.approx((80, 60), abs=0.02)
    assert m.diameters_mm == (m.ofd_mm, m.bpd_mm)
    np.testing.assert_allclose(np.asarray(m.ellipse), np.asarray(head), atol=0.02)
    assert m.accepted
    assert (m.ac_mm, m.fl_mm) == (None, None)


def test_abdomen_gives_ac_and_no_named_diameters():
    m = measure(coverage_map(Ellipse(128, 88, 70, 65, 0.3)), "abdomen", 1.0)
    assert m.ac_mm == pytest.approx(geometry.perimeter(70, 65), abs=0.03)
    assert (m.hc_mm, m.bpd_mm, m.ofd_mm) == (None, None, None)


@pytest.mark.parametrize("seed", range(5))
def test_femur_length_at_any_angle_and_width(seed):
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(10):
        angle, half = rng.uniform(-3, 3), rng.uniform(10, 75)
        along = half * np.array([np.cos(angle), np.sin(angle)])
        middle = np.array([128, 88]) + rng.uniform(-3, 3, 2)
        shaft = Shaft(*(middle - along), *(middle + along), rng.uniform(2, 6))
        errors.append(measure(coverage_map(shaft), "femur", 0.5).fl_mm - 0.5 * shaft.length)
    assert np.abs(errors).max() < 0.15


@pytest.mark.parametrize("believed", [0.2, 0.4, 0.6])
def test_muscle_that_the_map_half_believes_in_does_not_shorten_a_femur(believed):
    """A patch over the bone's middle third widens it fivefold there; both ends are as they are without it."""
    bone = coverage_map(Shaft(60, 88, 180, 92, 7))
    patch = believed * coverage_map(Shaft(95, 72, 140, 74, 28))
    lengths = [measure(m, "femur", 0.5).fl_mm for m in (bone, np.maximum(bone, patch))]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.02)


def test_spacing_of_two_numbers_is_row_then_column():
    # rows 0.5 mm, columns 0.25 mm: 120 pixels across are 30 mm, 100 pixels down are 50 mm; swapped, 60 and 25
    m = measure(coverage_map(Ellipse(128, 88, 60, 50, 0)), "head", (0.5, 0.25))
    assert (m.ofd_mm, m.bpd_mm) == pytest.approx((50, 30), abs=0.03)
    assert measure(coverage_map(Shaft(60, 88, 180, 88, 8)), "femur", (0.5, 0.25)).fl_mm == pytest.approx(30, abs=0.05)
    assert measure(coverage_map(Shaft(128, 40, 128, 140, 8)), "femur", (0.5, 0.25)).fl_mm == pytest.approx(50, abs=0.05)


def test_standard_deviation_follows_from_the_ramp_at_the_outline():
    """The outline's place has an SD of 0.2 ramp widths: 2 pi times that for a perimeter, sqrt(2) for two ends."""
    y, x = np.mgrid[:176, :256] + 0.5
    ramp, mm = 8.0, 0.5
    head = np.clip(0.5 + (60 - np.hypot(x - 128, y - 88)) / ramp, 0, 1)
    assert measure(head, "head", mm).sd_mm == pytest.approx(2 * np.pi * 0.2 * ramp * mm, rel=0.01)
    femur = np.clip(0.5 + (50 - np.abs(x - 128)) / ramp, 0, 1) * (np.abs(y - 88) <= 5)
    assert measure(femur, "femur", mm).sd_mm == pytest.approx(np.sqrt(2) * 0.2 * ramp * mm, rel=0.01)


def test_head_cut_by_the_frame_keeps_its_circumference():
    rng = np.random.default_rng(1)
    for _ in range(10):
        head = random_head(rng)
        frame = (0.0, 0.0, head.cx + 0.75 * head.a * abs(np.cos(head.theta)) + 8, 176.0)
        m = measure(np.where(np.arange(256) < int(frame[2]), coverage_map(head), 0), "head", 0.6, frame=frame)
        assert m.hc_mm == pytest.approx(0.6 * head.perimeter, abs=0.5)


def test_leaving_the_frame_is_flagged_and_still_accepted():
    m = measure(coverage_map(Ellipse(30, 88, 70, 60, 0)), "head", 0.6)
    assert "leaves the frame" in m.flags
    assert m.accepted


def test_without_spacing_there_are_no_millimetres():
    for shape, plane in ((Ellipse(128, 88, 60, 50, 0), "head"), (Shaft(60, 88, 160, 80, 6), "femur")):
        m = measure(coverage_map(shape), plane, None)
        assert m.flags == ("no spacing",)
        assert not m.accepted
        assert (m.hc_mm, m.bpd_mm, m.ofd_mm, m.ac_mm, m.fl_mm, m.diameters_mm) == (None,) * 6
        assert m.ellipse or m.shaft


def test_two_structures_are_flagged_and_the_larger_measured():
    big, small = Ellipse(90, 88, 60, 50, 0), Ellipse(210, 88, 30, 25, 0)
    m = measure(np.maximum(coverage_map(big), coverage_map(small)), "head", 0.6)
    assert "several structures" in m.flags
    assert m.hc_mm == pytest.approx(0.6 * big.perimeter, abs=0.1)


@pytest.mark.parametrize("plane", ["head", "abdomen", "femur"])
def test_empty_map_finds_nothing(plane):
    m = measure(np.zeros(SHAPE), plane, 0.5)
    assert m.flags == ("nothing found",)
    assert not m.accepted


@pytest.mark.parametrize(
    ("probability", "plane", "spacing", "message"),
    [
        (np.full((4, 4), np.nan), "head", 0.5, "probabilities"),
        (np.full((4, 4), 1.5), "head", 0.5, "probabilities"),
        (np.zeros((4, 4, 1)), "head", 0.5, "2-D"),
        (np.zeros((4, 4), complex), "head", 0.5, "numbers"),
        (np.ma.masked_array(np.zeros((4, 4)), mask=np.eye(4)), "head", 0.5, r"give map\.filled\(0\)"),
        (np.zeros((4, 4)), "cervix", 0.5, "not measured"),
        (np.zeros((4, 4)), "head", 0.0, "positive"),
        (np.zeros((4, 4)), "head", float("nan"), "positive"),
    ],
)
def test_wrong_arguments_are_refused(probability, plane, spacing, message):
    with pytest.raises(ValueError, match=message):
        measure(probability, plane, spacing)


def test_a_mask_of_0_and_255_is_refused_with_what_to_do():
    mask = coverage_map(Ellipse(128, 88, 60, 50, 0.2)) > 0.5
    with pytest.raises(ValueError, match="of a mask of 0 and 255 give mask > 0"):
        measure(mask.astype(np.uint8) * 255, "head", 0.5)
    assert measure(mask, "head", 0.5) == measure(mask.astype(np.uint8), "head", 0.5)


def test_a_frame_that_is_no_box_is_refused_and_any_sequence_is_taken():
    head = coverage_map(Ellipse(128, 88, 60, 50, 0.2))
    for box in ([0, 0, 256, 176], np.array([0, 0, 256, 176])):
        assert measure(head, "head", 0.5, frame=box) == measure(head, "head", 0.5)
    nan = float("nan")
    for wrong in ((176, 256), head, (256, 176, 0, 0), (nan,) * 4, 3, (), "0, 0"):
        with pytest.raises(ValueError, match=r"frame is .x0, y0, x1, y1. with x0 < x1 and y0 < y1"):
            measure(head, "head", 0.5, frame=wrong)


@settings(max_examples=150)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.floats(0, 1, width=32)),
    st.sampled_from(["head", "abdomen", "femur"]),
)
def test_any_small_map_gives_known_flags(probability, plane):
    m = measure(probability, plane, 0.5)
    assert set(m.flags) <= set(FLAGS)
    assert (m.primary_mm is None) == ("nothing found" in m.flags)


def maps_without_a_structure() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:96, :128]
    r = np.hypot(x - 64, y - 48)
    rng = np.random.default_rng(4)
    return {
        "full": np.ones((96, 128)),
        "checkerboard": ((x // 8 + y // 8) % 2).astype(float),
        "fine checkerboard": ((x + y) % 2).astype(float),
        "thick ring": ((r < 40) & (r > 25)).astype(float),
        "skull's ring": ((r < 40) & (r > 36)).astype(float),
        "line": (np.abs(y - 48) < 1).astype(float),
        "diagonal": (np.abs(x - y) < 1).astype(float),
        "column": (np.abs(x - 30) < 2).astype(float),
        "lines": (y % 12 < 2).astype(float),
        "noise": rng.random((96, 128)),
        "sparse noise": (rng.random((96, 128)) > 0.95).astype(float),
        "half": (x < 64).astype(float),
        "square": ((np.abs(x - 64) < 30) & (np.abs(y - 48) < 30)).astype(float),
        "one pixel": ((x == 64) & (y == 48)).astype(float),
        "doubt": np.full((96, 128), 0.5),
        "slope": x / 127.0,
    }


@pytest.mark.parametrize("name", maps_without_a_structure())
@pytest.mark.parametrize("plane", ["head", "abdomen", "femur"])
def test_maps_without_a_structure_are_never_accepted(name, plane):
    for dtype in (np.float16, np.float64):
        assert not measure(maps_without_a_structure()[name].astype(dtype), plane, 0.6).accepted


def fuzzed(rng: np.random.Generator) -> np.ndarray:
    """A map of a few discs, bars and rings, with noise, of any size, type and memory layout."""
    height, width = (int(n) for n in rng.choice([1, 2, 3, 7, 40, 96, 128], 2))
    y, x = np.mgrid[:height, :width]
    out = np.zeros((height, width))
    for _ in range(rng.integers(0, 5)):
        cx, cy, a = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, 60)
        b, t, hole = a * rng.uniform(0.02, 1), rng.uniform(0, 3), rng.choice([0, 0, 0.8])
        u, v = ((x - cx) * np.cos(t) + (y - cy) * np.sin(t)) / a, ((y - cy) * np.cos(t) - (x - cx) * np.sin(t)) / b
        r = np.hypot(u, v)
        out = np.maximum(out, (np.clip((1 - r) * b + 0.5, 0, 1)) * (r >= hole) * rng.choice([1, 1, 0.6]))
    out = np.clip(out + rng.choice([0, 0, 0.05, 0.4]) * rng.standard_normal(out.shape), 0, 1)
    out = out.astype(rng.choice([np.float16, np.float32, np.float64]))
    if rng.random() < 0.1:
        out = (out > 0.5).astype(rng.choice([np.uint8, np.int64, bool]))
    return np.asfortranarray(out)[:: rng.choice([1, -1]), :: rng.choice([1, 2])]


def check(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = measure(fuzzed(rng), str(rng.choice(["head", "abdomen", "femur"])), rng.choice([None, 0.3, 2.0]))
    assert set(m.flags) <= set(FLAGS)
    for value in (m.primary_mm, m.sd_mm):
        assert value is None or (np.isfinite(value) and value > 0)
    assert (m.ellipse is None and m.shaft is None) == ("nothing found" in m.flags)
    assert not m.accepted or m.primary_mm is not None


@given(st.integers(0, 2**32))
@settings(max_examples=100)
def test_random_maps_raise_nothing(seed):
    check(seed)


@pytest.mark.soak
def test_twenty_thousand_random_maps_raise_nothing():
    for seed in range(20_000):
        check(seed)


def test_large_map_that_is_full_is_not_accepted():
    assert not measure(np.ones((4000, 4000), np.float32), "head", 0.1).accepted


def test_blurred_map_has_the_same_length_and_a_larger_sd():
    import cv2

    for shape, plane in ((Ellipse(128, 88, 60, 50, 0.2), "head"), (Shaft(60, 88, 160, 80, 8), "femur")):
        sharp = coverage_map(shape)
        blurred = np.clip(cv2.GaussianBlur(sharp, (0, 0), 3), 0, 1)
        one, other = (measure(p, plane, 0.5) for p in (sharp, blurred))
        assert other.sd_mm > 2 * one.sd_mm
        assert other.primary_mm == pytest.approx(one.primary_mm, rel=0.02)
        in_other_units = measure(sharp, plane, 1.0)
        assert in_other_units.sd_mm == pytest.approx(2 * one.sd_mm)


def test_share_of_a_cut_head_inside_the_frame():
    head = Ellipse(128, 88, 70, 60, 0)
    whole = measure(coverage_map(head), "head", 0.6)
    half = measure(np.where(np.arange(256) < 128, coverage_map(head), 0), "head", 0.6, frame=(0, 0, 128, 176))
    assert whole.seen == 1
    assert half.seen == pytest.approx(0.5, abs=0.03)
    assert not half.accepted


@pytest.mark.parametrize("angle", [0.0, 0.35, -0.6])
def test_femur_cut_off_by_the_frame_is_not_accepted(angle):
    """The visible part ends sharply at the edge and is too short."""
    along = np.array([np.cos(angle), np.sin(angle)])
    whole = Shaft.from_ends([[40, 60], [40, 60] + 70 * along], 7)
    assert measure(coverage_map(whole, (120, 160)), "femur", 0.6).accepted
    cut = coverage_map(whole.transform(geometry.affine(shift=(75, 0))), (120, 160))
    assert "cut off" in measure(cut, "femur", 0.6).flags
    left = np.ascontiguousarray(cut[:, ::-1])
    assert "cut off" in measure(left, "femur", 0.6).flags
    padded = np.pad(cut, ((20, 20), (30, 30)))  # the frame's edge, not the map's
    found = measure(padded, "femur", 0.6, frame=(30, 20, 190, 140))
    assert not found.accepted
    assert found.fl_mm < 0.6 * 65
