"""Which millimetres per pixel a frame gets, and from whom: its own header, the caller, or nobody."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fetal_jax.errors import UserError
from fetal_jax.reading.dicom import agree
from fetal_jax.reading.frame import Frame, PixelSize
from fetal_jax.reading.sources import Source

ASK = "give --spacing-mm or --spacing-csv for millimetres"


@dataclass(frozen=True)
class Spacings:
    """What the caller says of millimetres per pixel: one number for all, a table by file name, a ruler, or nothing.

    A table's name may have folders before it; the row with the most of a file's path is the file's.
    """

    source: str  # "flag", "csv", "ruler" or "none"
    constant: float | None = None
    table: dict[str, float] | None = None

    def of(self, frame: Frame) -> PixelSize:
        """The spacing of a frame, or the reason why it has none.

        A header's own spacing stands; a caller who says otherwise is contradicted, not followed.
        """
        row = self._row(frame.source)
        own, given = frame.size, self.constant if row is None else (self.table or {})[row]
        if given is None:
            return own if own.mm else PixelSize(reason=f"no spacing: {own.reason or self._remedy(frame)}")
        if own.mm is None:
            return PixelSize((given, given), self.source)
        if not agree(own.mm, (given, given)):
            told = f"the DICOM header says {own.mm[0]:.4f} x {own.mm[1]:.4f} mm, the {self.source} {given:.4f}"
            return PixelSize(reason=f"no spacing: {told}: leave out the wrong one")
        return own

    def check(self, sources: list[Source]) -> None:
        """Refuse a table that has one row for several files: two examinations name their frames alike.

        Raises:
          UserError: which row, and two of its files.
        """
        taken: dict[str, Source] = {}
        for source in sources:
            row = self._row(source)
            if row is not None and str(taken.setdefault(row, source)) != str(source):
                raise UserError(
                    f"the spacing table has one row {row} for {taken[row]} and {source}: "
                    "give each a row with its folder, such as exam1/frame.png"
                )

    def _row(self, source: Source) -> str | None:
        parts = f"{source.path.absolute().as_posix()}/{source.member or ''}".rstrip("/").split("/")
        names = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((name for name in names if name in (self.table or {})), None)

    def _remedy(self, frame: Frame) -> str:
        return f"the table has no row for {frame.source.filename}" if self.source == "csv" else ASK

    @classmethod
    def read(cls, path: Path) -> Spacings:
        """A CSV with the columns `filename,spacing_mm`, or HC18's own. Folders may stand before a file's name.

        Raises:
          UserError: no such file or columns, a row without a positive number, a file name twice.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as f:  # spreadsheets write a byte order mark
                reader = csv.DictReader(f)
                column = next((c for c in ("spacing_mm", "pixel size(mm)") if c in (reader.fieldnames or ())), None)
                if column is None or "filename" not in (reader.fieldnames or ()):
                    raise UserError(f"{path} needs the columns filename,spacing_mm, comma-separated")
                rows = list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as e:
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
