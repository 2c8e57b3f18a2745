"""Rows of measurements as `fetal-jax measure` writes them, of women drawn from a growth standard."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from scipy.special import ndtr

from fetal_jax.growth import reference
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY, Row
from fetal_jax.planes import PRIMARY

_numbers = itertools.count()
PLANE = {"hc": "head", "ac": "abdomen", "fl": "femur"}


def row(plane: str, mm: float, examination: str | None = "a", status: str = "measured", **changes: object) -> Row:
    """A frame with HC, AC or FL of `mm`; a head has a cephalic index of 80."""
    made: Row = dict.fromkeys((*COLUMNS, *GEOMETRY)) | {
        "file": f"frame{next(_numbers)}.png",
        "frame": 0,
        "status": status,
        "plane": plane,
        "plane_probability": 0.99,
        "spacing_mm": 0.2,
        "spacing_source": "dicom",
        "flags": [],
        "reason": "the outline has gaps or bulges" if status == "review" else None,
        "examination": examination,
    }
    made[PRIMARY[plane]] = mm
    if plane == "head":
        made |= {"bpd_mm": 0.8 * mm / 2.8361668, "ofd_mm": mm / 2.8361668}  # HC of an ellipse whose axes are as 4 to 5
    return made | changes


def sizes(weeks: float, standard: str = "hadlock", z: Mapping[str, float] | None = None) -> dict[str, float]:
    """HC, AC and FL in mm at an age: the medians, or at z-scores."""
    scores = z or {}
    return {m: float(reference(m, weeks, standard).value(100 * float(ndtr(scores.get(m, 0))))) for m in PLANE}


def woman(name: str, sizes_mm: Mapping[str, float], **changes: object) -> list[Row]:
    """A head, an abdomen and a femur of these sizes."""
    return [row(PLANE[m], mm, name, **changes) for m, mm in sizes_mm.items()]


def correlated(rng: np.random.Generator, rho: float = 0.5) -> dict[str, float]:
    """z-scores of HC, AC and FL of one fetus."""
    return dict(zip(PLANE, rng.multivariate_normal(np.zeros(3), rho + (1 - rho) * np.eye(3)), strict=True))
