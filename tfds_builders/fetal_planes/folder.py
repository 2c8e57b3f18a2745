"""FETAL_PLANES_DB's folder in its published layout: found, checked and split before anything is written."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fetal_jax.errors import UserError
from tfds_builders.fetal_planes.calipers import patient
from tfds_builders.tables import folder_with

CSV_NAME = "FETAL_PLANES_DB_data.csv"
COLUMNS = ("Image_name", "Patient_num", "Plane", "US_Machine", "Train ")  # with the blank, as published
PLANE_OF_NAME = {
    "Other": "other",
    "Fetal abdomen": "abdomen",
    "Fetal brain": "head",
    "Maternal cervix": "cervix",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
}
VALIDATION = 0.1  # of the women who are not tested on


@dataclass(frozen=True)
class Row:
    """One frame of the data set's table."""

    frame: Path
    patient: int
    plane: str
    device: str
    train: bool

    @property
    def name(self) -> str:
        """The frame's file name."""
        return self.frame.name


def find(manual_dir: Path) -> Path:
    """Find the data set's folder: the given one, its `fetal_planes`, or the single folder of an unpacked archive.

    Raises:
      UserError: none of them has the table.
    """
    otherwise = "give the folder of FETAL_PLANES_DB with --manual-dir"
    return folder_with(CSV_NAME, manual_dir, otherwise, inside=("fetal_planes", "FETAL_PLANES_ZENODO"))


def read(folder: Path) -> list[Row]:
    """Read all rows of the table, whether or not their frames exist.

    Raises:
      UserError: the table is not FETAL_PLANES_DB's, or one of its rows is wrong.
    """
    table = folder / CSV_NAME
    with table.open(newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f, delimiter=";")
        if not {c.strip() for c in COLUMNS} <= {c.strip() for c in reader.fieldnames or ()}:
            raise UserError(f"{table}: needs the columns {', '.join(c.strip() for c in COLUMNS)}, separated by ;")
        entries = [{k.strip(): (v or "").strip() for k, v in e.items() if isinstance(k, str)} for e in reader]
    rows: dict[str, Row] = {}
    for line, entry in enumerate(entries, start=2):
        name, at = entry["Image_name"], f"{table}, line {line}"
        if name in rows:
            raise UserError(f"{at}: {name} is listed twice: remove one")
        if entry["Plane"] not in PLANE_OF_NAME:
            raise UserError(f"{at}: {name} has plane {entry['Plane']!r}, none of {', '.join(PLANE_OF_NAME)}")
        if entry["Train"] not in ("0", "1"):
            raise UserError(f"{at}: {name} has Train {entry['Train']!r}, not 0 or 1")
        if not name.startswith(f"Patient{entry['Patient_num'].zfill(5)}_"):
            raise UserError(f"{at}: {name} is not of patient {entry['Patient_num']}; copy the table again")
        frame = folder / "Images" / f"{name}.png"
        plane = PLANE_OF_NAME[entry["Plane"]]
        rows[name] = Row(frame, patient(name), plane, entry["US_Machine"], entry["Train"] == "1")
    return list(rows.values())


def present(rows: list[Row], folder: Path, allow_partial: bool) -> tuple[list[Row], list[str]]:
    """Rows with existing frames, and messages about missing files.

    Raises:
      UserError: a frame is missing and `allow_partial` is false, or there is no frame at all.
    """
    names = {p.name for p in (folder / "Images").glob("*.png")}
    here = [row for row in rows if row.name in names]
    missing = [f"Images/{row.name}" for row in rows if row.name not in names]
    if not here:
        raise UserError(f"{folder / 'Images'} holds none of the frames that {CSV_NAME} lists: copy them there")
    if missing and not allow_partial:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{folder} lacks {missing[0]}{more} of {len(rows)} frames: "
            "copy the whole set, or build without them with --allow-partial"
        )
    return here, missing


def split(rows: list[Row], test_patients: set[int] | None) -> dict[str, list[Row]]:
    """Split rows into `train`, `validation` and `test`, by woman.

    Validation is drawn by a hash of her number, so that an incomplete copy of the data set keeps its splits.

    Args:
      rows: the frames.
      test_patients: the women to test on; None takes the data set's own flag.
    """
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        draw = int(hashlib.sha256(f"fetal_planes-{row.patient}".encode()).hexdigest()[:8], 16) / 0x100000000
        if (not row.train) if test_patients is None else (row.patient in test_patients):
            splits["test"].append(row)
        else:
            splits["validation" if draw < VALIDATION else "train"].append(row)
    return splits
