"""Fit the score of wrong values, `inference.score`, to measured frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from fetal_jax.inference.score import FLOOR, INPUTS, Inputs

Array = NDArray[Any]


def fit(
    given: Sequence[Inputs],
    wrong: Sequence[bool],
    weights: Sequence[float] | None = None,
    names: Sequence[str] = INPUTS,
    penalty: float = 1.0,
) -> dict[str, Any]:
    """Fit a logistic model with an L2 penalty and weights that are never negative.

    Args:
      given: the inputs of each frame.
      wrong: whether each frame's value is off by more than `score.WRONG`.
      weights: weight of each frame; None: all equal.
      names: the inputs to use.
      penalty: of the squared weights of the standardised inputs, in frames.

    Raises:
      ValueError: all frames are right, or all are wrong.
    """
    truth = np.array(wrong, float)
    if not 0 < truth.sum() < len(truth):
        raise ValueError(f"{int(truth.sum())} of {len(truth)} frames are wrong: a score needs both kinds")
    counts = np.ones(len(truth)) if weights is None else np.array(weights, float)
    raw = np.log(FLOOR + np.array([[row[name] for name in names] for row in given], float))
    centre, scale = raw.mean(0), np.maximum(raw.std(0), 0.05)  # an input that hardly varies must not get a huge weight
    x = (raw - centre) / scale

    def loss(parameters: Array) -> tuple[float, Array]:
        slopes, bias = parameters[:-1], parameters[-1]
        z = x @ slopes + bias
        excess = counts * (expit(z) - truth)
        value = counts @ np.logaddexp(0, z) - (counts * truth) @ z + penalty / 2 * slopes @ slopes
        return float(value), np.append(excess @ x + penalty * slopes, excess.sum())

    start = np.zeros(len(names) + 1)
    bounds = [(0.0, None)] * len(names) + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = found[:-1] / scale
    return {"inputs": list(names), "weights": slopes.tolist(), "bias": float(found[-1] - slopes @ centre)}
