"""Validation during training: scores worked out by hand, and each drawn frame measured once."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from fetal_jax.planes import PLANES
from fetal_jax.training import distributed, validation

HEAD, FEMUR, OTHER, THORAX = (PLANES.index(p) for p in ("head", "femur", "other", "thorax"))
NAN = np.nan
ROWS = np.array(  # plane, class and predicted class of ("other", "head", "femur"), truth, error
    [
        [HEAD, 1, 1, 100.0, 2.0],
        [HEAD, 1, 0, 100.0, NAN],  # not measured
        [HEAD, 1, 1, 200.0, -4.0],
        [FEMUR, 2, 2, 20.0, 30.0],  # off by more than its length
        [OTHER, 0, 0, NAN, NAN],
        [THORAX, 0, 0, NAN, NAN],
        [NAN, NAN, NAN, NAN, NAN],  # of unknown plane
    ]
)


def test_summary_by_hand():
    assert validation.summary(ROWS, ("other", "head", "femur")) == {
        "hc_mm_mae": 3.0,
        "hc_mm_frames": 3,
        "hc_mm_missing": 1,
        "fl_mm_mae": 30.0,
        "fl_mm_frames": 1,
        "fl_mm_missing": 0,
        "plane_accuracy": pytest.approx(5 / 6),
        "plane_frames": 6,
    }
    assert "plane_accuracy" not in validation.summary(ROWS, ("head",))


def test_score_by_hand():
    heads, femurs = (0.02 + 1 + 0.02) / 3, 1.0
    assert validation.validation_score([ROWS]) == pytest.approx((heads + femurs) / 2)
    assert validation.validation_score([ROWS, ROWS[:1]]) == pytest.approx((heads + femurs + 0.02) / 3)


def test_score_without_sizes_is_the_share_of_wrong_planes():
    wrong = np.array([[OTHER, 0, 1, NAN, NAN]])
    assert validation.validation_score([ROWS[4:], wrong]) == pytest.approx(1 / 3)
    assert validation.validation_score([ROWS[6:]]) is None
    assert validation.validation_score([]) is None


class HalfTooLarge:
    """A predictor that measures 0.5 mm too much, and records the frames it is given."""

    info = SimpleNamespace(planes=("other", "head"))

    def __init__(self):
        self.seen = []

    def predict(self, images, *_):
        self.seen += [int(image[0, 0]) for image in images]
        return [SimpleNamespace(planes={"other": 0.2, "head": 0.8}, probability=image) for image in images]

    def find(self, prediction, *_):
        return SimpleNamespace(measurement=SimpleNamespace(primary_mm=100.5 + float(prediction.probability[0, 0])))


def frame(i: int, plane: str | None = "head"):
    image, truth = np.full((4, 4), i, np.uint8), {"hc_mm": 100.0 + i}
    return SimpleNamespace(image=image, plane=plane, spacing_mm=0.2, truth_mm=truth)


@pytest.mark.parametrize("processes", [1, 2, 4, 9])
def test_each_drawn_frame_is_measured_once_by_one_process(monkeypatch, processes):
    frames, seen, own = [frame(i) for i in range(40)], [], []
    indices = validation.draw(len(frames), 19, seed=0)
    monkeypatch.setattr(validation, "BATCH", 2)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    for k in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda k=k: k)
        monkeypatch.setattr(distributed, "gathered", lambda rows: own.append(rows) or np.stack([rows] * processes))
        predictor = HalfTooLarge()
        validation.measured(predictor, frames, indices)
        seen += predictor.seen
    assert sorted(seen) == list(indices)
    monkeypatch.setattr(distributed, "gathered", lambda _: np.stack(own))
    rows = validation.measured(HalfTooLarge(), frames, indices)
    np.testing.assert_array_equal(rows[:, validation.TRUTH], 100.0 + indices)
    np.testing.assert_array_equal(rows[:, validation.ERROR], 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_not_finite_end_the_run_in_words(value):
    class Diverged(HalfTooLarge):
        def predict(self, images, *_):
            maps = [np.full((2, 2), value if image[0, 0] == 1 else 0.5) for image in images]
            return [SimpleNamespace(planes={"other": 0.2, "head": 0.8}, probability=each) for each in maps]

    with pytest.raises(FloatingPointError, match="maps of 1 of 3 validation frames are not finite"):
        validation.measured(Diverged(), [frame(i) for i in range(3)], np.arange(3))


def test_frames_are_a_seeded_draw_over_the_whole_split():
    drawn = validation.draw(1000, 64, seed=3)
    assert len(set(drawn)) == 64
    assert 400 < drawn.mean() < 600
    np.testing.assert_array_equal(drawn, validation.draw(1000, 64, seed=3))
    assert set(drawn) != set(validation.draw(1000, 64, seed=4))
    np.testing.assert_array_equal(validation.draw(5, 64, seed=3), range(5))


@pytest.mark.parametrize(
    ("planes", "expected"),
    [(("other", "head"), [0, 0, 1, NAN]), (("head", "femur"), [NAN, NAN, 0, NAN])],
)
def test_planes_outside_the_list_count_as_other_if_other_is_listed(planes, expected):
    predictor = HalfTooLarge()
    predictor.info = SimpleNamespace(planes=planes)
    frames = [frame(0, "thorax"), frame(1, "other"), frame(2, "head"), frame(3, None)]
    rows = validation.measured(predictor, frames, np.arange(4))
    np.testing.assert_array_equal(rows[:, validation.CLASS], expected)
