"""The submission file of the HC18 challenge: an ellipse a frame, in millimetres."""

from __future__ import annotations

import csv
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.geometry import HALF_PIXEL
from fetal_jax.outputs.results import Row

COLUMNS = ["filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad"]


def write_submission(rows: list[Row], path: Path) -> str:
    """Write the ellipse of every row that has one, also of those refused for a flag: the board wants every frame.

    The centre is counted from the middle of the first pixel, as the challenge's outlines are. Returns what to tell.

    Raises:
      UserError: the file cannot be written.
    """
    drawn = [row for row in rows if row["ellipse_px"] and row["spacing_mm"]]
    try:
        with path.open("w", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(COLUMNS)
            for row in drawn:
                cx, cy, a, b, theta = row["ellipse_px"]
                lengths = (row["spacing_mm"] * v for v in (cx - HALF_PIXEL, cy - HALF_PIXEL, a, b))
                writer.writerow([Path(row["file"]).name, *(f"{v:.5f}" for v in lengths), f"{theta:.6f}"])
    except OSError as e:
        raise UserError(f"{path} cannot be written ({e.strerror}): give another file") from None
    missing = [Path(row["file"]).name for row in rows if row not in drawn]
    told = f"{path}: {len(drawn)} ellipses"
    return told + (f"; none for {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}" if missing else "")
