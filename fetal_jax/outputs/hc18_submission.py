"""The submission file of the HC18 challenge: one ellipse per frame, in millimetres."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fetal_jax import geometry
from fetal_jax.errors import amount, not_written
from fetal_jax.files import write_whole
from fetal_jax.geometry import HALF_PIXEL, Ellipse
from fetal_jax.outputs.rows import Row, spacing_of

COLUMNS = ["filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad"]


def write_submission(rows: list[Row], path: Path) -> str:
    """Write the ellipse of every row that has one, whatever its status: the challenge wants every frame.

    The centre is counted from the middle of the first pixel, as in the challenge's outlines. The ellipse is the one in
    millimetres, also if pixels are not square. Returns a message with the number of ellipses and of frames without one.

    Raises:
      UserError: the file cannot be written.
    """
    missing = [Path(row["file"]).name for row in rows if not (row["ellipse_px"] and row["spacing_mm"])]
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows(_line(row, mm) for row in rows if row["ellipse_px"] and (mm := spacing_of(row)))
    try:
        write_whole(path, table.getvalue())
    except OSError as e:
        raise not_written(e, path, ", or give another file") from None
    message = f"{path}: {amount(len(rows) - len(missing), 'ellipse')}"
    return message + (f"; none for {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}" if missing else "")


def _line(row: Row, spacing_mm: tuple[float, float]) -> list[str]:
    down, along = spacing_mm
    from_index = geometry.compose(geometry.stretch(along, down), geometry.affine(shift=(-HALF_PIXEL, -HALF_PIXEL)))
    ellipse = Ellipse(*row["ellipse_px"]).transform(from_index)
    lengths = (ellipse.cx, ellipse.cy, ellipse.a, ellipse.b)
    return [Path(row["file"]).name, *(f"{v:.5f}" for v in lengths), f"{ellipse.theta:.6f}"]
