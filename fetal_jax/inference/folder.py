"""Measure files: find them, give each its spacing, write `measurements.csv`, `.json` and overlays as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetal_jax.errors import UserError
from fetal_jax.growth import GrowthError, gestational_age
from fetal_jax.images import SUFFIXES, read_image, write_png
from fetal_jax.inference import overlay
from fetal_jax.inference.predictor import FrameResult, Predictor
from fetal_jax.notice import NOT_CLINICAL

COLUMNS = [
    *("file", "frame", "status", "plane", "plane_probability"),
    *("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "long_mm", "short_mm"),
    *("spacing_mm", "spacing_source", "ga_weeks", "ga_standard", "flags", "reason"),
]
LENGTHS = ("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm")


@dataclass(frozen=True)
class Spacings:
    """Where millimetres per pixel come from: one number for all, a table by file name, or nowhere."""

    source: str  # "flag", "csv" or "none"
    constant: float | None = None
    table: dict[str, float] | None = None

    def of(self, path: Path) -> float | None:
        """The spacing of a file, None where unknown."""
        return (self.table or {}).get(path.name, self.constant)

    @classmethod
    def read(cls, path: Path) -> Spacings:
        """A CSV with the columns `filename,spacing_mm`, or HC18's own.

        Raises:
          UserError: no such file or columns, a row without a positive number, a file name twice.
        """
        try:
            with path.open(newline="") as f:
                reader = csv.DictReader(f)
                column = next((c for c in ("spacing_mm", "pixel size(mm)") if c in (reader.fieldnames or ())), None)
                if column is None or "filename" not in (reader.fieldnames or ()):
                    raise UserError(f"{path} needs the columns filename,spacing_mm, comma-separated")
                rows = list(reader)
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(
                f"{path} cannot be read ({type(e).__name__}): give a CSV with filename,spacing_mm"
            ) from None
        table: dict[str, float] = {}
        for line, row in enumerate(rows, start=2):
            try:
                value = float(row[column])
            except (TypeError, ValueError):
                value = float("nan")
            if not (np.isfinite(value) and value > 0):
                raise UserError(f"{path}, line {line}: {column} of {row['filename']} is {row[column]!r}, not a length")
            if row["filename"] in table:
                raise UserError(f"{path}, line {line}: {row['filename']} stands there twice; remove one")
            table[row["filename"]] = value
        return cls("csv", table=table)


def find_files(paths: list[Path]) -> list[Path]:
    """The files given, and those of the folders given, images only, by name.

    Raises:
      UserError: a path that does not exist, or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            images = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not images:
                raise UserError(f"{path} holds no PNG or JPEG: give the folder of the frames")
            found += images
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path} does not exist")
    return found


def measure_files(
    predictor: Predictor, files: list[Path], spacings: Spacings, plane: str, out: Path
) -> Iterator[dict[str, Any]]:
    """Measure each file; rows are written as they come, and given back. A file that cannot be read is a row too."""
    predictor.check_plane(plane)
    (out / "overlays").mkdir(parents=True, exist_ok=True)
    pictures = _overlay_names(files)
    rows = []
    with (out / "measurements.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS)
        writer.writeheader()
        for path, picture in zip(files, pictures, strict=True):
            row = _measure_file(predictor, path, spacings, plane, out / "overlays" / picture)
            writer.writerow({k: _cell(row[k]) for k in COLUMNS})
            f.flush()
            rows.append(row)
            yield row
    (out / "measurements.json").write_text(json.dumps(rows, indent=1) + "\n")


def _overlay_names(files: list[Path]) -> list[str]:
    """`NAME.png` of each file; where two share a name, the later ones are numbered."""
    names: list[str] = []
    for path in files:
        name, n = path.stem, 2
        while f"{name}.png" in names:
            name, n = f"{path.stem}_{n}", n + 1
        names.append(f"{name}.png")
    return names


def _measure_file(predictor: Predictor, path: Path, spacings: Spacings, plane: str, picture: Path) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys((*COLUMNS, "ellipse_px", "shaft_px"))
    row = empty | {"file": str(path), "frame": 0, "flags": []}
    try:
        frame = read_image(path)
    except UserError as e:
        return row | {"status": "error", "reason": str(e)}
    spacing = spacings.of(path)
    result = predictor.measure(frame, spacing, plane)
    row |= _result_row(result) | {"spacing_mm": spacing, "spacing_source": spacings.source if spacing else None}
    if spacing is None and spacings.source == "csv" and result.status == "refused" and result.measurement:
        row["reason"] = f"no spacing: the table has no row for {path.name}"
    write_png(picture, overlay.draw(frame, result.measurement, caption(row)))
    return row


def _result_row(result: FrameResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": result.status,
        "plane": result.plane,
        "plane_probability": result.plane_probability,
        "reason": result.reason or None,
    }
    found = result.measurement
    if found is None:
        return row
    row |= {
        "flags": list(found.flags),
        "ellipse_px": found.ellipse and np.asarray(found.ellipse).tolist(),
        "shaft_px": found.shaft and np.asarray(found.shaft).tolist(),
    }
    row |= {name: result.value(name) for name in LENGTHS}
    row["long_mm"], row["short_mm"] = result.value("diameters_mm") or (None, None)
    return row | _age(row)


def _age(row: dict[str, Any]) -> dict[str, Any]:
    """Age from the frame's one measure: Hadlock's formulas, the only ones for HC, AC and FL each by itself.

    A BPD takes no part: it is the short axis of the HC's ellipse, and Hadlock's goes from the outer to the inner skull.
    """
    sizes = {name: row[name] for name in ("hc_mm", "ac_mm", "fl_mm")}
    if not any(sizes.values()):
        return {}
    try:
        age = gestational_age(**sizes, standard="hadlock")
    except GrowthError as e:
        return {"reason": f"no age: {e}"}
    return {"ga_weeks": age.weeks, "ga_standard": age.formula}


def caption(row: dict[str, Any]) -> list[str]:
    """What is written below an overlay."""
    names = {"hc_mm": "HC", "bpd_mm": "BPD", "ofd_mm": "OFD", "ac_mm": "AC", "fl_mm": "FL"}
    values = [f"{label} {row[name]:.1f} mm" for name, label in names.items() if row[name] is not None]
    probability = "" if row["plane_probability"] is None else f" ({100 * row['plane_probability']:.0f} %)"
    first = f"{row['plane']}{probability}   " + ("   ".join(values) or f"{row['status']}: {row['reason']}")
    return [first, NOT_CLINICAL]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "; ".join(value) if isinstance(value, list) else value
