"""The frames that a reader accepted, as a data set to train on (docs/own-data.md)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.files import write_whole
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.outputs.rows import woman_of
from fetal_jax.view.exports.corrections import Correction
from fetal_jax.view.exports.tables import as_csv
from fetal_jax.view.session import Session

DATA_SET = "corrected"
SHAPES = ("cx", "cy", "a", "b", "theta", "x1", "y1", "x2", "y2", "width")
COLUMNS = ("filename", "plane", "spacing_mm", "subject", *SHAPES, "source")
"""Those of docs/own-data.md, and where each frame comes from."""


def write(session: Session, accepted: list[Correction], claim: Callable[[str], Path], left_out: list[str]) -> int:
    """Write a folder as described in docs/own-data.md, of the frames that this reader accepted; returns their number.

    Frames are named by numbers. The frames of a patient, or else of an examination, are one subject. If neither is
    known, each file is a subject of its own, because nothing shows which files belong to one woman.
    """
    rows: list[dict[str, Any]] = []
    subjects: dict[tuple[str, str], str] = {}
    for c in accepted:
        shown = session.results.name(c.row)
        try:
            data, is_frame = session.frames.png(c.row)
        except UserError as e:
            left_out.append(f"{shown}: {e}")
            continue
        if not is_frame:
            left_out.append(f"{shown}: the file is gone, changed or damaged: not in {DATA_SET}/")
            continue
        name = f"{c.number + 1:05d}.png"
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG", compress_level=4)
        write_whole(claim(f"{DATA_SET}/{name}"), encoded.getvalue())
        subject = subjects.setdefault(woman_of(c.row), f"s{len(subjects) + 1:05d}")
        named = {"filename": name, "plane": c.event.answer.plane, "subject": subject, "source": c.row["file"]}
        rows.append(named | _training_cells(c))
        if c.row["spacing_mm"] != c.row["column_spacing_mm"]:
            rows[-1]["spacing_mm"] = ""  # the table is for square pixels only
            left_out.append(f"{shown}: pixels that are not square have no spacing in {DATA_SET}/")
    if rows:
        write_whole(claim(f"{DATA_SET}/frames.csv"), as_csv(COLUMNS, rows))
    return len(rows)


def _training_cells(c: Correction) -> dict[str, Any]:
    shape, cells = c.event.answer.shape, dict.fromkeys(SHAPES, "")
    spacing = {"spacing_mm": "" if c.row["spacing_mm"] is None else repr(c.row["spacing_mm"])}
    if isinstance(shape, Ellipse):
        return cells | spacing | dict(zip(SHAPES[:5], map(repr, np.asarray(shape).tolist()), strict=True))
    if isinstance(shape, Shaft):
        numbers = ["" if np.isnan(v) else repr(v) for v in np.asarray(shape).tolist()]
        return cells | spacing | dict(zip(SHAPES[5:], numbers, strict=True))
    return cells | spacing
