"""HC18's folder in its published layout: found, checked and split before anything is written."""

from __future__ import annotations

import csv
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from fetal_jax.errors import UserError
from tfds_builders.tables import folder_with

CSV_NAME = "training_set_pixel_size_and_HC.csv"
COLUMNS = ("filename", "pixel size(mm)", "head circumference (mm)")
UNLABELLED_CSV, UNLABELLED = "test_set_pixel_size.csv", "test_set"
MOST = {"pixel size": 10, "circumference": 1000}  # mm
BENCHMARK = Path("landmarks", "annotations", "HC18", "Head.csv")


@dataclass(frozen=True)
class Row:
    """One frame: its file, mm per pixel and, in the training set, its outline and stated circumference."""

    frame: Path
    outline: Path | None
    spacing_mm: float
    hc_mm: float

    @property
    def name(self) -> str:
        """The frame's file name, with `test_set/` before it in the test set, where other heads have the same names."""
        return self.frame.name if self.outline else f"{UNLABELLED}/{self.frame.name}"

    @property
    def examination(self) -> str:
        """The number at the start of the name. All frames of an examination are in one split."""
        return self.name.rpartition("_")[0]


def find(manual_dir: Path) -> Path:
    """Find the data set's folder: the given one, or its `hc18`.

    Raises:
      UserError: neither has the table; names a near folder that does.
    """
    return folder_with(CSV_NAME, manual_dir, "give the folder of HC18 with --manual-dir", inside=("hc18",))


def read(folder: Path, allow_partial: bool) -> tuple[list[Row], list[str]]:
    """Read rows with existing frame and outline, and messages about missing files.

    Raises:
      UserError: the CSV is not HC18's, or a file is missing and `allow_partial` is false.
    """
    images, rows, missing = folder / "training_set", [], []
    table = _table(folder / CSV_NAME, COLUMNS)
    for name, (spacing, hc) in table.items():
        outline = images / name.replace(".png", "_Annotation.png")
        absent = [p for p in (images / name, outline) if not p.is_file()]
        missing += [f"{p.relative_to(folder)} (a row of {CSV_NAME} names it)" for p in absent]
        rows += [] if absent else [Row(images / name, outline, spacing, hc)]
    missing += _without_row(images, table, CSV_NAME)
    _refuse_partial(folder, missing, allow_partial)
    if not rows:
        raise UserError(f"{images} holds none of the frames that {CSV_NAME} lists: copy the set's training_set there")
    return rows, missing


def read_unlabelled(folder: Path, allow_partial: bool) -> tuple[list[Row], list[str]]:
    """Read the frames of the official test set, if the folder has them; their outlines are not public. As `read`."""
    table, images = folder / UNLABELLED_CSV, folder / UNLABELLED
    if not table.is_file() and not images.is_dir():
        return [], []
    if not table.is_file():
        raise UserError(f"{table} is missing: copy it, or remove {UNLABELLED}/")
    sizes = _table(table, COLUMNS[:2])
    rows = [Row(images / name, None, mm, math.nan) for name, (mm,) in sizes.items() if (images / name).is_file()]
    there = {row.frame.name for row in rows}
    missing = [f"{UNLABELLED}/{name} (a row of {UNLABELLED_CSV} names it)" for name in sizes if name not in there]
    missing += _without_row(images, sizes, UNLABELLED_CSV)
    _refuse_partial(folder, missing, allow_partial)
    return rows, missing


def _table(path: Path, columns: tuple[str, ...]) -> dict[str, list[float]]:
    """Read the numbers of each frame from one of the data set's tables."""
    with path.open(newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f)
        if not set(columns) <= set(reader.fieldnames or ()):
            raise UserError(f"{path}: needs the columns {', '.join(columns)}, comma-separated")
        entries = list(reader)
    found: dict[str, list[float]] = {}
    for line, entry in enumerate(entries, start=2):
        name, at = entry["filename"], f"{path}, line {line}"
        if name in found:
            raise UserError(f"{at}: {name} is listed twice; remove one")
        try:
            found[name] = [float(entry[c]) for c in columns[1:]]
        except (TypeError, ValueError):
            raise UserError(
                f"{at}: {' and '.join(columns[1:])} of {name} are not numbers: copy the table again"
            ) from None
        for (quantity, most), value in zip(MOST.items(), found[name], strict=False):
            if not 0 < value < most:
                raise UserError(f"{at}: {name} has {quantity} {value} mm: copy the table again, or remove the row")
    return found


def _without_row(images: Path, table: dict[str, list[float]], csv_name: str) -> list[str]:
    frames = {p.name for p in images.glob("*.png") if not p.stem.endswith("_Annotation")}
    return [f"a row of {csv_name} for {images.name}/{name}" for name in sorted(frames - set(table))]


def _refuse_partial(folder: Path, missing: list[str], allow_partial: bool) -> None:
    if missing and not allow_partial:
        raise UserError(
            f"{folder} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ": copy the whole set, or build without them with --allow-partial"
        )


def find_benchmark(manual_dir: Path) -> Path | None:
    """Find the multi-centre benchmark's split file, in the given folder or beside it."""
    for folder in (manual_dir, manual_dir.parent):
        if (folder / BENCHMARK).is_file():
            return folder / BENCHMARK
    return None


def benchmark_tests(manual_dir: Path) -> set[str]:
    """Read the examinations that the benchmark tests on.

    Raises:
      UserError: the file is missing, lacks columns, or has an examination on both sides.
    """
    path = find_benchmark(manual_dir)
    if path is None:
        raise UserError(f"{manual_dir} has no {BENCHMARK} in it or beside it: add it, or build hc18/examinations")
    with path.open(newline="") as f:
        reader = csv.DictReader(f)
        if not {"image_name", "Split"} <= set(reader.fieldnames or ()):
            raise UserError(f"{path}: needs the columns image_name and Split, comma-separated")
        sides: dict[str, set[str]] = {"Train": set(), "Test": set()}
        for line, entry in enumerate(reader, start=2):
            if entry["Split"] not in sides:
                raise UserError(f"{path}, line {line}: Split is {entry['Split']!r}, not Train or Test")
            sides[entry["Split"]].add(entry["image_name"].split("_")[0])
    both = sorted(sides["Train"] & sides["Test"])
    if both:
        raise UserError(f"{path}: examination {both[0]} is both Train and Test; it must be on one side")
    return sides["Test"]


def split(rows: list[Row], tests: set[str] | None) -> dict[str, list[Row]]:
    """Split rows into `train`, `validation`, `calibration` (only for intervals) and `test`, by examination.

    The draw is a hash of the examination's number, so that an incomplete copy of the data set keeps its splits.

    Args:
      rows: all frames.
      tests: the examinations to test on; None draws 15 % of them.
    """

    def place(examination: str) -> str:
        draw = int(hashlib.sha256(f"hc18-{examination}".encode()).hexdigest()[:8], 16) / 0x100000000
        if draw < 0.06:
            return "validation"
        if draw < 0.12:
            return "calibration"
        return "test" if tests is None and draw < 0.27 else "train"

    splits: dict[str, list[Row]] = {name: [] for name in ("train", "validation", "calibration", "test")}
    for row in rows:
        on_test = tests is not None and row.examination in tests
        splits["test" if on_test else place(row.examination)].append(row)
    return splits
