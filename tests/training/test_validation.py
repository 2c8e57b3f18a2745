"""Figures of a validation by hand, and each frame measured by one process alone."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from fetal_jax.planes import PLANES
from fetal_jax.training import distributed, validation

HEAD, FEMUR, OTHER = (PLANES.index(p) for p in ("head", "femur", "other"))
NAN = np.nan


def test_figures_by_hand():
    rows = np.array(
        [
            [HEAD, HEAD, 2.0, 100.0],
            [HEAD, OTHER, NAN, 100.0],  # not measured
            [HEAD, HEAD, -4.0, 200.0],
            [FEMUR, FEMUR, 30.0, 20.0],  # off by more than its length
            [OTHER, OTHER, NAN, NAN],
            [NAN, NAN, NAN, NAN],  # of no known plane
        ]
    )
    assert validation.summary(rows, ("other", "head", "femur")) == {
        "hc_mm_mae": 3.0,
        "hc_mm_frames": 3,
        "hc_mm_missing": 1,
        "fl_mm_mae": 30.0,
        "fl_mm_frames": 1,
        "fl_mm_missing": 0,
        "plane_accuracy": 0.8,
        "plane_frames": 5,
    }
    assert "plane_accuracy" not in validation.summary(rows, ("head",))
    heads, femurs = (0.02 + 1 + 0.02) / 3, 1.0
    assert validation.failure([rows], PLANES) == pytest.approx((heads + femurs) / 2)
    assert validation.failure([rows, rows[:1]], PLANES) == pytest.approx((heads + femurs + 0.02) / 3)
    assert validation.failure([rows[4:]], PLANES) == 0.0
    assert validation.failure([rows[5:]], PLANES) is None


class Half:
    """A predictor that measures half a millimetre too much, and counts what it is asked for."""

    info = SimpleNamespace(planes=("other", "head"))

    def __init__(self):
        self.seen = []

    def predict(self, images, *_):
        self.seen += [int(image[0, 0]) for image in images]
        return [SimpleNamespace(planes={"other": 0.2, "head": 0.8}, probability=image) for image in images]

    def measure_map(self, probability, *_):
        return SimpleNamespace(primary_mm=100.5 + float(probability[0, 0]))


def frame(i: int):
    image, truth = np.full((4, 4), i, np.uint8), {"hc_mm": 100.0 + i}
    return SimpleNamespace(image=image, plane="head", spacing_mm=0.2, truth_mm=truth)


@pytest.mark.parametrize("processes", [1, 2, 4, 9])
def test_each_frame_is_measured_once_by_one_process(monkeypatch, processes):
    frames, asked, own = [frame(i) for i in range(21)], [], []
    monkeypatch.setattr(validation, "BATCH", 2)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    for k in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda k=k: k)
        monkeypatch.setattr(distributed, "gathered", lambda rows: own.append(rows) or np.stack([rows] * processes))
        predictor = Half()
        validation.measured(predictor, frames, 19)
        asked += predictor.seen
    assert sorted(asked) == list(range(19))
    monkeypatch.setattr(distributed, "gathered", lambda _: np.stack(own))
    rows = validation.measured(Half(), frames, 19)
    np.testing.assert_array_equal(rows[:, validation.TRUTH], 100.0 + np.arange(19))
    np.testing.assert_array_equal(rows[:, validation.ERROR], 0.5)
