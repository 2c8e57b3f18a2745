"""Table of a user's own data set, `frames.csv`: found, checked and split before anything is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.geometry import Ellipse, Shaft
from fetal_jax.planes import PLANES, SHAPE_OF_PLANE
from fetal_jax.reading import spreadsheet
from fetal_jax.reading.sources import SUFFIXES
from tfds_builders.tables import folder_with

CSV_NAME = "frames.csv"
NEEDED = ("filename", "plane", "spacing_mm", "subject")
NEEDS = f"needs the columns {','.join(NEEDED)}, separated by commas, semicolons or tabs"
NUMBERS = {"ellipse": ("cx", "cy", "a", "b", "theta"), "shaft": ("x1", "y1", "x2", "y2")}
KNOWN = (*NEEDED, "split", "device", "source", *NUMBERS["ellipse"], *NUMBERS["shaft"], "width")
SPLITS = ("train", "validation", "calibration", "test")
MASKS, MASK = "masks", "_mask.png"
TURNS = ("train", "validation", "test", "train", "train", "calibration", "train", "train", "test", "train")
"""Splits of subjects in the order of the table, repeated, if the table names no splits. Three subjects fill all splits
that training needs; new subjects at the end of the table do not change the others."""


@dataclass(frozen=True)
class Row:
    """One frame of the table, with the shape in its cells or the mask in its folder."""

    filename: str
    frame: Path
    plane: str
    shape: Ellipse | Shaft | None
    mask: Path | None
    spacing_mm: float  # NaN where unknown
    subject: str
    split: str
    device: str


def find(manual_dir: Path) -> Path:
    """Find the folder with `frames.csv`.

    Raises:
      UserError: the given folder does not have it; names a near one that does.
    """
    return folder_with(CSV_NAME, manual_dir, "write one (docs/own-data.md)")


def read(home: Path, allow_partial: bool) -> tuple[list[Row], list[str]]:
    """Read rows with existing frames, and messages about missing files.

    Raises:
      UserError: the table does not follow docs/own-data.md, or a file is missing and `allow_partial` is false.
    """
    table = home / CSV_NAME
    columns, lines_of_cells = spreadsheet.read(table, NEEDS)
    _check_columns(table, columns)
    entries = [(line, _cells(columns, row, f"{table}, line {line}")) for line, row in lines_of_cells]
    if not entries:
        raise UserError(f"{table} has no rows: write one for each frame (docs/own-data.md)")
    has_splits = any(cells.get("split") for _, cells in entries)  # an empty column is as good as none
    rows: list[Row] = []
    lines: dict[str, int] = {}
    subjects: dict[str, str] = {}
    for line, cells in entries:
        at = f"{table}, line {line}"
        subjects.setdefault(cells["subject"], TURNS[len(subjects) % len(TURNS)])
        row = _row(home, cells if has_splits else cells | {"split": subjects[cells["subject"]]}, at)
        if row.filename in lines:
            raise UserError(f"{at}: {row.filename} is in line {lines[row.filename]} already; remove one")
        lines[row.filename] = line
        rows.append(row)
    _one_mask_a_frame(table, rows)
    _one_split_a_subject(table, rows)

    here = [row for row in rows if row.frame.is_file()]
    named = {p for row in rows for p in (row.frame, row.mask)}
    shapeless = {row.frame.stem: row.frame for row in here if not row.shape and not row.mask}
    images = sorted(p for p in home.rglob("*") if p.suffix.lower() in SUFFIXES)
    bare = {p.with_suffix(""): p.suffix for p in images}
    missing = [_row_without_file(row, bare) for row in rows if not row.frame.is_file()]
    missing += [f"a row of {CSV_NAME} for {_image_without_row(home, p, shapeless)}" for p in images if p not in named]
    if not here:
        suffix = bare.get(rows[0].frame)
        remedy = f"give their suffix, {rows[0].filename}{suffix}" if suffix else "copy them there"
        raise UserError(f"{home} holds none of the {len(rows)} frames that {CSV_NAME} lists: {remedy}")
    if missing and not allow_partial:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{home} lacks {missing[0]}{more}: add it, or build without it with --allow-partial")
    return here, missing


def unused(home: Path) -> list[str]:
    """Columns of the table that nothing reads, such as notes, or a misspelt `split`."""
    return [column or "(no name)" for column in spreadsheet.read(home / CSV_NAME, NEEDS)[0] if column not in KNOWN]


def _cells(columns: list[str], row: list[str], at: str) -> dict[str, str]:
    """The cells of a row by column."""
    if len(row) > len(columns):  # also by an empty one, as decimal commas between commas make more
        raise UserError(f"{at} {spreadsheet.MORE_CELLS}")
    if len(row) < len(columns):
        raise UserError(f"{at} does not have as many cells as the header: correct the row")
    return dict(zip(columns, row, strict=True))


def _row_without_file(row: Row, bare: dict[Path, str]) -> str:
    """A row without its file; where a file has the name and a suffix, which one."""
    suffix = bare.get(row.frame)
    there = f"; the file is {row.filename}{suffix}" if suffix else ""
    return f"{row.filename} (a row of {CSV_NAME} names it{there})"


def _image_without_row(home: Path, image: Path, shapeless: dict[str, Path]) -> str:
    """An image without a row; where it may be the mask of a frame that has no shape yet, how to name it."""
    stem = image.stem.removesuffix(Path(MASK).stem)
    owner = shapeless.get(stem)
    if owner is None:
        return str(image.relative_to(home))
    beside = owner.with_name(stem + MASK).relative_to(home)
    hint = f"if it is the mask of {owner.relative_to(home)}, save it as {beside} or {MASKS}/{stem}.png"
    return f"{image.relative_to(home)} ({hint})"


def _check_columns(table: Path, columns: list[str]) -> None:
    absent = [c for c in NEEDED if c not in columns]
    if absent:
        raise UserError(f"{table} has no column {absent[0]}: it {NEEDS}; it has {', '.join(filter(None, columns))}")
    twice = [c for c in KNOWN if columns.count(c) > 1]
    if twice:
        raise UserError(f"{table} has the column {twice[0]} twice; remove one")
    for kind, numbers in NUMBERS.items():
        absent = [c for c in numbers if c not in columns]
        if absent and len(absent) < len(numbers):
            raise UserError(f"{table} has no column {absent[0]}: {kind}s take {','.join(numbers)}")


def _row(home: Path, entry: dict[str, str], at: str) -> Row:
    filename, plane = entry["filename"], entry["plane"]
    if not filename or Path(filename).is_absolute() or ".." in Path(filename).parts:
        raise UserError(f"{at}: the filename is {filename!r}; give it relative to {home}")
    if plane not in PLANES:
        raise UserError(f"{at}: {filename} has plane {plane!r}, none of {', '.join(PLANES)}")
    if not entry["subject"]:
        raise UserError(f"{at}: {filename} has no subject: give one label to all frames of a woman")
    if entry["split"] not in SPLITS:
        raise UserError(f"{at}: {filename} has split {entry['split']!r}, none of {', '.join(SPLITS)}")
    spacing = _number(entry["spacing_mm"], "spacing_mm", at) if entry["spacing_mm"] else math.nan
    if spacing <= 0 or spacing > 10:
        raise UserError(f"{at}: {filename} has {spacing:g} mm per pixel: correct it, or leave it empty if unknown")
    shape, mask = _shape(entry, at), _mask(home, filename)
    if shape and mask:
        raise UserError(f"{at}: {filename} has numbers here and {mask.relative_to(home)}: keep one")
    kind = {Ellipse: "ellipse", Shaft: "shaft"}.get(type(shape))
    if shape and SHAPE_OF_PLANE.get(plane) != kind:
        takes = f"takes {','.join(NUMBERS[SHAPE_OF_PLANE[plane]])}" if plane in SHAPE_OF_PLANE else "is not measured"
        raise UserError(f"{at}: {filename} has {kind} numbers, but the plane {plane} {takes}: correct the row")
    where = (entry["subject"], entry["split"], entry.get("device", ""))
    return Row(filename, home / filename, plane, shape, mask, spacing, *where)


def _number(cell: str, column: str, at: str) -> float:
    value = spreadsheet.number(cell)
    if value is None:
        raise UserError(f"{at}: {column} is {cell!r}, not a number: correct it, or leave it empty if unknown")
    return value


def _shape(entry: dict[str, str], at: str) -> Ellipse | Shaft | None:
    """Ellipse or shaft in the cells of a row, None if they are empty."""
    filled = {kind: [c for c in names if entry.get(c)] for kind, names in NUMBERS.items()}
    kinds = [kind for kind, names in filled.items() if names]
    if not kinds:
        return None
    if len(kinds) > 1:
        raise UserError(f"{at}: {filled['ellipse'][0]} and {filled['shaft'][0]} are given: one frame has one shape")
    kind = kinds[0]
    empty = [c for c in NUMBERS[kind] if not entry[c]]
    if empty:
        raise UserError(f"{at}: {empty[0]} is empty: give all of {','.join(NUMBERS[kind])}, or none of them")
    values = [_number(entry[c], c, at) for c in NUMBERS[kind]]
    if kind == "shaft":
        width = _number(entry["width"], "width", at) if entry.get("width") else math.nan
        if values[:2] == values[2:] or width <= 0:
            raise UserError(f"{at}: the two ends are equal or the width is {width:g}: correct the row")
        return Shaft.from_ends([values[:2], values[2:]], width)
    try:
        return Ellipse.from_numbers(*values)
    except ValueError as e:
        raise UserError(f"{at}: {e}") from None


def _mask(home: Path, filename: str) -> Path | None:
    frame = home / filename
    there = [p for p in (frame.with_name(frame.stem + MASK), home / MASKS / f"{frame.stem}.png") if p.is_file()]
    if len(there) > 1:
        raise UserError(f"{filename} has two masks, {there[0]} and {there[1]}: keep one")
    return there[0] if there else None


def _one_mask_a_frame(table: Path, rows: list[Row]) -> None:
    owners: dict[Path, str] = {}
    for row in rows:
        if row.mask and owners.setdefault(row.mask, row.filename) != row.filename:
            raise UserError(f"{table}: {row.mask} is the mask of {owners[row.mask]} and {row.filename}: rename one")


def _one_split_a_subject(table: Path, rows: list[Row]) -> None:
    splits: dict[str, str] = {}
    for row in rows:
        if splits.setdefault(row.subject, row.split) != row.split:
            raise UserError(f"{table}: subject {row.subject} is in {splits[row.subject]} and {row.split}; keep one")
