"""The probability that a value is wrong: a logistic model of inputs that do not depend on scale or machine.

Each input is a doubt: small for a perfect outline, larger for a worse one, and relative to the structure's own size.
A model's weights are therefore never negative: more doubt never gives a lower probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import expit

from fetal_jax import geometry
from fetal_jax.biometry import Measurement
from fetal_jax.errors import UserError
from fetal_jax.geometry import HALF_PIXEL, Ellipse, Shaft

Array = NDArray[Any]
Inputs = dict[str, float]

WRONG = {"head": 0.05, "abdomen": 0.08, "femur": 0.08}
"""Relative error from which a value counts as wrong. Two sonographers' 95 % limits: 4.9, 8.8, 11.1 % (Sarris 2012)."""
INPUTS = ("residual", "width", "outside", "unseen", "plane")
"""Inputs of a fitted score, from `inputs`.

Tried beside them, with the area under the ROC curve out of fold:
- maxima in addition to the means, holes, roundness: up to 0.02 lower and at most 0.004 higher;
- the difference between the maps, or the values, of the frame and its mirror image: changed by at most 0.003, on 3,100
  values of 477 real frames, unchanged and spoilt;
- the distance of the second look's outline from the first one's: 0.932, 0.916 and 0.830 with it, 0.932, 0.915 and 0.831
  without;
- the darkness of the frame along the outline: 0.44 and 0.51 alone, on 195 frames, so it says nothing.
Not tried in the model, for its cost: the spread of the value under six harmless changes of the frame. Alone it has 0.96
and 0.88 on 61 real abdomens and femurs, `width` 0.99 and 0.92."""
INPUTS_OF = {"head": INPUTS, "abdomen": INPUTS, "femur": (*INPUTS, "continues")}
"""Inputs by plane. Where a sharp shadow crosses a femur, the map ends sharply and without doubt, but the bone continues
in the frame, only darker: `continues` sees that. On 375 synthetic femurs with shadows, out of fold, it raised the area
under the ROC curve from 0.80 to 0.89. 72 instead of 114 wrong values needed no review, and of 237 right ones on
unchanged frames 224 instead of 223. How much darker the frame is beyond the end added nothing. Oblique shadows are
missed."""
FLOOR = 1e-3
"""Inputs enter the model as log(FLOOR + input), because they span three powers of ten."""

POINTS = 72
REACH, STEPS = 0.12, 25
"""Reach of a line to either side of the outline, relative to the structure's size, and its number of samples."""
_ALONG = np.linspace(-REACH, REACH, STEPS)
NEAR, FAR, ASIDE = 0.04, 0.15, 0.25
"""Lengths of a shaft: from an end to where its surroundings are compared, before and beyond it, and how far aside."""
LIKE = 0.99
"""Largest correlation that is used, so that `continues` stays finite."""
SOFT, OFF, DARK = 0.06, 0.02, 0.3
"""Border width and distance, in mean diameters, from which a side is named; and brightness, relative to the brightest
side, under which it is in shadow."""

SIDES = ("left", "right", "upper", "lower")
"""Names of the sides of an outline, in the order in which they are listed."""


@dataclass(frozen=True)
class Rim:
    """The map along short lines across the fitted outline: around an ellipse, or through both ends of a shaft.

    Lengths are in units of the structure's size: the mean diameter of the ellipse, the length of the shaft.
    """

    offset: Array  # (N,) signed distance from the fitted outline to where the map crosses 0.5; NaN where it does not
    width: Array  # (N,) length over which the map goes from 1 to 0 there; NaN where it does not
    side: Array  # (N,) name of the side: "left", "right", "upper", "lower"
    seen: Array  # (N,) whether the point lies in the frame


def rim(probability: Array, shape: Ellipse | Shaft, box: Sequence[float]) -> Rim:
    """Sample a map (H, W) across a fitted shape, both in network pixels.

    `box` is (x0, y0, x1, y1) of the frame in the map: points outside are not seen.
    """
    points, outward, _ = _outline(shape)
    map_values = _across(probability, shape)
    falls = (map_values[:, :-1] > 0.5) & (map_values[:, 1:] <= 0.5)
    nearest = np.where(falls, np.abs(_ALONG[:-1]), np.inf).argmin(1)
    each = np.arange(len(points))
    high, low = map_values[each, nearest], map_values[each, nearest + 1]
    step = _ALONG[1] - _ALONG[0]
    drop = np.maximum(high - low, 0.02)  # as in `contour.transition_width`: a flat map gives no infinite width
    crossed = falls.any(1)
    x, y = points.T
    return Rim(
        offset=np.where(crossed, _ALONG[nearest] + step * (high - 0.5) / drop, np.nan),
        width=np.where(crossed, step / drop, np.nan),
        side=_sides(outward),
        seen=(x > box[0] + 1) & (x < box[2] - 1) & (y > box[1] + 1) & (y < box[3] - 1),
    )


def _across(image: Array, shape: Ellipse | Shaft) -> Array:
    """Sample an image (H, W) along lines across the outline, from inside to outside: (N, STEPS)."""
    points, outward, size = _outline(shape)
    where = points[:, None] + (size * _ALONG)[:, None] * outward[:, None]
    rows_columns = np.moveaxis(where[..., ::-1] - HALF_PIXEL, -1, 0)
    return map_coordinates(image.astype(np.float32), rows_columns, order=1, mode="constant")


def _outline(shape: Ellipse | Shaft) -> tuple[Array, Array, float]:
    """Points (N, 2), outward unit normals (N, 2) and the size of a shape."""
    if isinstance(shape, Ellipse):
        t = np.arange(POINTS) * (2 * np.pi / POINTS)
        normals = np.column_stack([np.cos(t) / shape.a, np.sin(t) / shape.b])
        turn = geometry.affine(angle=shape.theta)[:, :2]
        normals = (normals / np.hypot(*normals.T)[:, None]) @ turn.T
        return shape.points(POINTS), normals, shape.a + shape.b
    along = (shape.ends[1] - shape.ends[0]) / max(shape.length, 1e-6)
    across = np.array([-along[1], along[0]]) * shape.drawn_width
    places = np.array([-0.2, 0.0, 0.2])[:, None] * across  # the middle of the bone: its corners are round
    points = np.concatenate([end + places for end in shape.ends])
    return points, np.repeat([-along, along], len(places), axis=0), shape.length


def _mostly(doubtful: Array) -> bool:
    return len(doubtful) > 0 and bool(doubtful.mean() >= 0.5)


def _sides(outward: Array) -> Array:
    x, y = outward.T
    return np.where(np.abs(x) >= np.abs(y), np.where(x < 0, "left", "right"), np.where(y < 0, "upper", "lower"))


# ------------------------------------------------------------------------------------------------------- inputs


def inputs(
    probability: Array, found: Measurement, plane_probability: float, box: Sequence[float], pixels: Array
) -> Inputs:
    """Compute the inputs (`INPUTS_OF`) of a measurement in network pixels.

    Args:
      probability: the map (H, W).
      found: what was measured.
      plane_probability: of the measured plane.
      box: as in `rim`.
      pixels: the frame (H, W) in network pixels.

    Raises:
      ValueError: nothing was found.
    """
    shape = found.ellipse or found.shaft
    if shape is None:
        raise ValueError("nothing was found: there is no outline to score")
    around = rim(probability, shape, box)
    offset, width = around.offset[around.seen], around.width[around.seen]
    crossed = np.isfinite(offset)
    offset, width = np.where(crossed, np.abs(offset), REACH), np.where(crossed, width, 2 * REACH)
    if not len(offset):
        offset = width = np.array([REACH])
    inside, above = geometry.mask(shape, *probability.shape), probability > 0.5
    of_shaft = {"continues": _continues(pixels, shape)} if isinstance(shape, Shaft) else {}
    return of_shaft | {
        "residual": float(np.sqrt(np.mean(offset**2))),
        "width": float(np.mean(width)),
        "outside": float((above & ~inside).sum() / max(int(above.sum()), 1)),
        "unseen": float(1 - around.seen.mean()),
        "plane": 1 - plane_probability,
    }


def _continues(pixels: Array, shaft: Shaft) -> float:
    """Similarity of the frame beyond an end of the bone to the frame before it; the larger one of both ends.

    It is (1 + r) / (1 - r), where r is the correlation of the brightness across the bone before the end and beyond it:
    near 1 where the bone ends. Its logarithm is twice Fisher's z. Each line across is divided by its mean, so that
    neither gain nor the depth of a shadow matters.
    """
    length = max(shaft.length, 1e-6)
    along = (shaft.ends[1] - shaft.ends[0]) / length
    aside = np.linspace(-ASIDE, ASIDE, 29)[:, None] * length * np.array([-along[1], along[0]])

    def profile(end: Array, direction: Array) -> Array:
        middles = end + np.linspace(NEAR, FAR, 9)[:, None] * length * direction
        rows_columns = np.moveaxis((middles[:, None] + aside)[..., ::-1] - HALF_PIXEL, -1, 0)
        lines = map_coordinates(pixels.astype(np.float32), rows_columns, order=1, mode="constant")
        mean = (lines / (lines.mean(1, keepdims=True) + 2)).mean(0)  # 2 grey levels: black is no pattern
        return np.asarray(mean - mean.mean())

    likeness = []
    for end, outward in zip(shaft.ends, (-along, along), strict=True):
        before, beyond = profile(end, -outward), profile(end, outward)
        norm = np.sqrt((before @ before) * (beyond @ beyond)) + 1e-2  # a flat profile is like no other
        likeness.append(float(before @ beyond / norm))
    r = float(np.clip(max(likeness), -LIKE, LIKE))
    return (1 + r) / (1 - r)


def sides_in_words(probability: Array, pixels: Array, shape: Ellipse | Shaft, box: Sequence[float]) -> dict[str, str]:
    """Name the sides that flags of the outline refer to: {"low confidence": " on the left side"}.

    A side is named if half of its border is softer than `SOFT`, or farther from the fitted outline than `OFF`; if all
    four are, none is named. " (in shadow)" is added if the frame is dark on all of the named sides.

    Args:
      probability: the map (H, W).
      pixels: the frame (H, W) in network pixels.
      shape: the fitted shape.
      box: as in `rim`.
    """
    around = rim(probability, shape, box)
    level = _across(pixels, shape).mean(1)
    grey = {side: level[around.side == side].mean() for side in np.unique(around.side)}
    dark = {side for side, mean in grey.items() if mean < DARK * max(grey.values())}
    soft = np.where(np.isfinite(around.width), around.width, 2 * REACH) > SOFT
    off = np.where(np.isfinite(around.offset), np.abs(around.offset), REACH) > OFF
    found = {}
    for flag, doubtful in (("low confidence", soft), ("poor fit", off)):
        here = [s for s in SIDES if _mostly(doubtful[(around.side == s) & around.seen])]
        if here and (len(here) < len(grey) or len(grey) == 2):
            names = " and ".join([", ".join(here[:-1]), here[-1]] if here[1:] else here)
            shadow = " (in shadow)" if set(here) <= dark else ""
            found[flag] = f" on the {names} side{'s' if here[1:] else ''}{shadow}"
    return found


# -------------------------------------------------------------------------------------------------------- model


def error_probability(model: Mapping[str, Any], given: Inputs) -> float:
    """Probability in [0, 1] that the value is off by more than `WRONG`, by a fitted logistic model.

    Args:
      model: {"inputs": names, "weights": one per name, none negative, "bias": number}.
      given: at least the inputs that the model names.

    Raises:
      UserError: the model names an input that this version does not compute.
    """
    if unknown := set(model["inputs"]) - set(given):
        raise UserError(f"the bundle's score needs {', '.join(sorted(unknown))}: update fetal_jax")
    values = np.log(FLOOR + np.array([given[name] for name in model["inputs"]], float))
    return float(expit(values @ np.array(model["weights"], float) + model["bias"]))
