"""The result for a frame as a row: columns of `measurements.csv`, keys of `measurements.json`."""

from __future__ import annotations

import csv
import json
import math
import textwrap
from pathlib import Path
from typing import IO, Any

import numpy as np

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.files import spreadsheet_text
from fetal_jax.growth import GrowthError, format_age, gestational_age
from fetal_jax.inference import acceptance, identity
from fetal_jax.inference.result import FrameResult
from fetal_jax.planes import MEASURED, PRIMARY
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import PixelSize

Row = dict[str, Any]

COLUMNS = [
    *("file", "frame", "status", "plane", "plane_probability"),
    *("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "long_mm", "short_mm"),
    *("spacing_mm", "spacing_source", "ga_weeks", "ga_standard", "flags", "reason"),
    *("column_spacing_mm", "spacing_confidence", "overlay", "sd_mm", "low_mm", "high_mm"),
    *("interval_data", "error_probability"),
    *identity.COLUMNS,
]
"""`spacing_mm` is down the rows, `column_spacing_mm` along them: they differ if pixels are not square. `sd_mm`, the
90 % interval from `low_mm` to `high_mm`, the data it was calibrated on and the probability of an error over 5 % (HC) or
8 % (AC, FL) belong to HC, AC or FL. The last ten name the examination and the acquisition (`inference.identity`)."""
GEOMETRY = ("ellipse_px", "shaft_px", "frame_px", "regions_px")
"""Keys of the JSON only. `frame_px` is width and height; `regions_px` are the boxes where the spacing holds, empty for
the whole frame, with null for an open side."""
JSON, PARQUET = "measurements.json", "frames"
"""Places of the rows in a results folder of `measure`, and of `archive`."""
GESTATIONAL_AGE = ("18185-9", "Gestational Age")  # LOINC
SCHEMA = Path(__file__).parent / "measurements.schema.json"
"""JSON schema (draft 2020-12) of `measurements.json`, version 3. Files of versions 1 and 2 satisfy it, too."""
SPACING_SOURCES = {
    "dicom": "the DICOM header",
    "csv": "the spacing table",
    "flag": "--spacing-mm",
    "ruler": "the depth ruler in the picture",
}
"""The values of `spacing_source`, in words."""
STATUSES = {"measured": "measured", "review": "to review", "refused": "refused", "error": "not read"}
"""The statuses, and their names on pictures."""


def read_rows(folder: Path) -> list[Row]:
    """Read the rows of a results folder from `measurements.json` or the Parquet files in `frames/`.

    Raises:
      UserError: there are no rows, they are damaged, or pyarrow is not installed.
    """
    try:
        if (folder / JSON).is_file():
            rows = json.loads((folder / JSON).read_text(encoding="utf-8"))
        elif (folder / PARQUET).is_dir():
            rows = _from_parquet(folder / PARQUET)
        else:
            raise UserError(f"{folder} holds neither {JSON} nor {PARQUET}/: give the folder of measure or archive")
        return [dict.fromkeys((*COLUMNS, *GEOMETRY)) | row for row in rows]
    except (OSError, ValueError, TypeError) as e:
        raise UserError(f"{folder} holds damaged results ({type(e).__name__}): make them again") from None


def _from_parquet(folder: Path) -> list[Row]:
    try:
        from pyarrow import dataset
    except ImportError:
        raise UserError("reading Parquet needs the archive extra: pip install '.[archive]'") from None
    rows: list[Row] = dataset.dataset(folder, format="parquet").to_table().to_pylist()
    for row in rows:
        flags = row.get("flags") or []
        row["flags"] = flags.split("; ") if isinstance(flags, str) else flags
    return rows


def failure_row(failure: Failure) -> Row:
    """Make the row of a file or frame that could not be read."""
    status = "error" if failure.damaged else "refused"
    return _empty(failure.source, failure.index) | {"status": status, "reason": failure.reason}


def result_row(frame: Frame, size: PixelSize, result: FrameResult) -> Row:
    """Make the row of a frame that was read, whatever its status."""
    row = _empty(frame.source, frame.index) | {
        "status": result.status,
        "plane": result.plane,
        "plane_probability": result.plane_probability,
        "reason": result.reason or None,
        "spacing_source": size.source,
        "spacing_confidence": size.confidence,
        "frame_px": [frame.pixels.shape[1], frame.pixels.shape[0]],
    }
    if size.mm is not None:
        row["spacing_mm"], row["column_spacing_mm"] = size.mm
        row["regions_px"] = [[v if math.isfinite(v) else None for v in region.box] for region in size.regions]
    found = result.measurement
    if found is None:
        return row
    row |= {
        "flags": [*found.flags, *size.flags],
        "ellipse_px": found.ellipse and np.asarray(found.ellipse).tolist(),
        "shaft_px": found.shaft and np.asarray(found.shaft).tolist(),
    }
    row |= {name: result.value(name) for name in MEASURED}
    row["long_mm"], row["short_mm"] = result.value("diameters_mm") or (None, None)
    row["sd_mm"] = result.value("sd_mm")
    row["low_mm"], row["high_mm"] = result.interval_mm or (None, None)
    row["interval_data"] = result.interval_data if result.interval_mm else None
    row["error_probability"] = result.error_probability if result.status in acceptance.WITH_VALUE else None
    return row | age(row)


def age(row: Row) -> Row:
    """`ga_weeks` and `ga_standard` by Hadlock's formulas from HC, AC or FL alone, the frame's one measurement.

    BPD is not used: ours is the short axis of the HC's ellipse, Hadlock's is outer-inner. A size outside the range of
    the formula gives no age, which is no reason to doubt the size.
    """
    sizes = {name: row[name] for name in ("hc_mm", "ac_mm", "fl_mm")}
    try:
        if any(sizes.values()):
            found = gestational_age(**sizes, standard="hadlock")
            return {"ga_weeks": found.weeks, "ga_standard": found.formula}
    except GrowthError:
        pass
    return {"ga_weeks": None, "ga_standard": None}


def _empty(source: Source, index: int) -> Row:
    return dict.fromkeys((*COLUMNS, *GEOMETRY)) | {"file": str(source), "frame": index, "flags": []}


def spacing_of(row: Row) -> tuple[float, float] | None:
    """(row, column) mm per pixel of a row; None where unknown."""
    if row["spacing_mm"] is None:
        return None
    return row["spacing_mm"], row["column_spacing_mm"] or row["spacing_mm"]


def woman_of(row: Row) -> tuple[str, str]:
    """The patient of a row, or else its examination, or else its file, after the name of that column."""
    return next((key, row[key]) for key in ("patient", "examination", "file") if row[key] is not None)


def pixel_size(row: Row) -> str:
    """State the size of a pixel and where it comes from; both sizes where pixels are not square. "" where unknown."""
    if not (spacing := spacing_of(row)):
        return ""
    down, along = (f"{mm:.4g}" for mm in spacing)
    size = f"{down} mm per pixel" if down == along else f"{down} (rows) x {along} (columns) mm per pixel"
    return f"{size} from {SPACING_SOURCES[row['spacing_source']]}"


def caption(row: Row) -> list[str]:
    """The lines of text below an overlay."""
    sure = (row["plane_probability"] or 0) >= acceptance.SURE  # otherwise a reason states the probability
    probability = f" ({100 * row['plane_probability']:.0f} %)" if sure else ""
    values = [_with_interval(row, name, q.label) for name, q in MEASURED.items() if row[name] is not None]
    values += [f"age {format_age(row['ga_weeks'])} by {row['ga_standard']}"] if row["ga_weeks"] is not None else []
    lines = ["   ".join([f"{row['plane']}{probability}", *values])]
    if row["status"] != "measured":
        lines.append(f"{STATUSES[row['status']]}: {row['reason']}")
    notes = [f"the {row['plane']} leaves the picture"] if values and "leaves the frame" in row["flags"] else []
    notes += ["BPD and OFD: axes of the ellipse, outer to outer"] if row["bpd_mm"] is not None else []
    return [*lines, *notes, *filter(None, [pixel_size(row)]), NOT_CLINICAL]


TO_REVIEW, NOTED = "To be reviewed by a person", "Noted"
"""Word of a report for its doubts; a signed one has been reviewed."""


def doubt(row: Row) -> str:
    """The note that SR, SEG and FHIR add to a value to review; empty for one that is usable without review."""
    return f"{TO_REVIEW}: {row['reason']}" if row["status"] == "review" else ""


def _with_interval(row: Row, name: str, label: str) -> str:
    text = f"{label} {row[name]:.1f} mm"
    if name not in PRIMARY.values() or row["low_mm"] is None:
        return text
    return f"{text} (90 % interval {row['low_mm']:.1f} to {row['high_mm']:.1f})"


def cells(row: Row) -> dict[str, Any]:
    """Cells of a row in the CSV: empty for None, flags joined."""
    return {name: _cell(row[name]) for name in COLUMNS}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "; ".join(value) if isinstance(value, list) else value


class Table:
    """A CSV file that is flushed after each row."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        # a file name may have bytes that are not UTF-8
        self._file = path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
        self._writer = csv.DictWriter(self._file, columns)
        self._writer.writeheader()

    def add(self, row: dict[str, Any]) -> None:
        """Write one row."""
        self._writer.writerow({name: spreadsheet_text(value) for name, value in row.items()})
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JsonList:
    """A JSON list written element by element to limit memory; the format is that of `json.dumps(rows, indent=1)`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._any = file, False

    def add(self, row: Row) -> None:
        """Write one element."""
        text = textwrap.indent(json.dumps(row, indent=1), " ")
        self._file.write(f"{',' if self._any else '['}\n{text}".encode("ascii"))
        self._any = True

    def end(self) -> None:
        """End the list."""
        self._file.write(b"\n]\n" if self._any else b"[]\n")
