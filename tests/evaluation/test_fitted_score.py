"""The fit of the score of wrong values, to drawn inputs."""

from __future__ import annotations

import numpy as np
import pytest

from fetal_jax.evaluation.statistics.fitted_score import fit
from fetal_jax.inference import score


def rows(n: int, seed: int, flat: float = 0.0) -> tuple[list[dict[str, float]], list[bool]]:
    """Frames whose risk grows with `residual` and falls with `flat`; `width` is noise."""
    rng = np.random.default_rng(seed)
    log = rng.normal(size=(n, 3))
    wrong = rng.random(n) < 1 / (1 + np.exp(-(2 * log[:, 0] - flat * log[:, 2] - 1)))
    names = ("residual", "width", "flat")
    return [dict(zip(names, np.exp(x - 4), strict=True)) for x in log], wrong.tolist()


def test_fitted_probabilities_are_calibrated_and_monotone():
    names = ("residual", "width", "flat")
    model = fit(*rows(4000, 0), names=names)
    assert min(model["weights"]) >= 0
    given, wrong = rows(4000, 1)
    p = np.array([score.error_probability(model, row) for row in given])
    for low, high in ((0.05, 0.2), (0.3, 0.6), (0.7, 1.0)):
        part = (p > low) & (p < high)
        assert np.mean(np.array(wrong)[part]) == pytest.approx(p[part].mean(), abs=0.05)
    worse = [row | {"residual": 2 * row["residual"]} for row in given]
    assert all(score.error_probability(model, w) > q for w, q in zip(worse, p, strict=True))
    against = fit(*rows(4000, 0, flat=1.0), names=names)
    assert against["weights"][2] == pytest.approx(0, abs=1e-6)  # more doubt never lowers the probability


def test_input_that_does_not_vary_gets_no_weight():
    given, wrong = rows(400, 2)
    constant = [row | {"width": 0.1 + 1e-9 * i} for i, row in enumerate(given)]
    assert abs(fit(constant, wrong, names=["residual", "width"])["weights"][1]) < 0.01


def test_score_needs_right_and_wrong_frames():
    given, _ = rows(10, 0)
    with pytest.raises(ValueError, match="0 of 10 frames are wrong"):
        fit(given, [False] * 10, names=["residual"])


def test_weights_count_frames_as_copies_would():
    given, wrong = rows(200, 3)
    names = ["residual"]
    twice = fit(given + given[:50], wrong + wrong[:50], names=names, penalty=0)
    weighted = fit(given, wrong, [2.0] * 50 + [1.0] * 150, names, penalty=0)
    assert weighted["weights"] == pytest.approx(twice["weights"], rel=1e-3)
    assert weighted["bias"] == pytest.approx(twice["bias"], rel=1e-3)
