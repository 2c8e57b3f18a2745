"""HC18's folder as its authors lay it out: found, checked and split before anything is written."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fetal_jax.errors import UserError

CSV_NAME = "training_set_pixel_size_and_HC.csv"
COLUMNS = ("filename", "pixel size(mm)", "head circumference (mm)")
BENCHMARK = Path("landmarks", "annotations", "HC18", "Head.csv")


@dataclass(frozen=True)
class Row:
    """One annotated frame: its two files, mm per pixel and the circumference that the data set states."""

    frame: Path
    outline: Path
    spacing_mm: float
    hc_mm: float

    @property
    def name(self) -> str:
        """The frame's file name."""
        return self.frame.name

    @property
    def examination(self) -> str:
        """The leading number: what a split must not cross."""
        return self.name.split("_")[0]


def find(manual_dir: Path) -> Path:
    """The set's own folder: the one given, or its `hc18`."""
    for folder in (manual_dir, manual_dir / "hc18"):
        if (folder / CSV_NAME).is_file():
            return folder
    raise UserError(f"{manual_dir} holds no {CSV_NAME}: give the folder of HC18 with --manual-dir")


def read(folder: Path, allow_partial: bool) -> tuple[list[Row], list[str]]:
    """The rows whose frame and outline are both here, and what is missing, each named.

    Raises:
      UserError: the CSV is not HC18's; something is missing and `allow_partial` is false.
    """
    table = folder / CSV_NAME
    images = folder / "training_set"
    with table.open(newline="") as f:
        reader = csv.DictReader(f)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise UserError(f"{table}: needs the columns {', '.join(COLUMNS)}, comma-separated")
        entries = list(reader)

    rows, missing, names = [], [], set()
    for line, entry in enumerate(entries, start=2):
        name = entry["filename"]
        if name in names:
            raise UserError(f"{table}, line {line}: {name} stands there twice; remove one")
        names.add(name)
        try:
            spacing, hc = float(entry[COLUMNS[1]]), float(entry[COLUMNS[2]])
        except (TypeError, ValueError):
            raise UserError(f"{table}, line {line}: pixel size and circumference of {name} are no numbers") from None
        if not (0 < spacing < 10 and 0 < hc < 1000):
            raise UserError(f"{table}, line {line}: {name} has pixel size {spacing} and circumference {hc} mm")
        row = Row(images / name, images / name.replace(".png", "_Annotation.png"), spacing, hc)
        absent = [p for p in (row.frame, row.outline) if not p.is_file()]
        missing += [f"{p.relative_to(folder)} (a row of {CSV_NAME} names it)" for p in absent]
        rows += [] if absent else [row]
    if images.is_dir():
        frames = {p.name for p in images.glob("*.png") if not p.stem.endswith("_Annotation")}
        missing += [f"a row of {CSV_NAME} for training_set/{name}" for name in sorted(frames - names)]
    if missing and not allow_partial:
        raise UserError(
            f"{folder} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ": copy the whole set, or build what is there with --allow-partial"
        )
    if not rows:
        raise UserError(f"{images} holds none of the frames that {CSV_NAME} lists: copy the set's training_set there")
    return rows, missing


def find_benchmark(manual_dir: Path) -> Path | None:
    """The multi-centre benchmark's split file, in the folder given or beside it."""
    for folder in (manual_dir, manual_dir.parent):
        if (folder / BENCHMARK).is_file():
            return folder / BENCHMARK
    return None


def benchmark_tests(manual_dir: Path) -> set[str]:
    """The examinations that the benchmark tests on.

    Raises:
      UserError: the file is not there, lacks its columns, or puts one examination on both sides.
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
    """`train`, `validation` (for choosing), `calibration` (for intervals alone) and `test`, by examination.

    The draw is a hash of the examination's number, so that a set which is only partly there keeps its splits.

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
