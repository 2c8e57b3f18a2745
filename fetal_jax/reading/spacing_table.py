"""Millimetres per pixel from the caller: one number, a table by file name, or the depth ruler."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.reading import spreadsheet, study
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.sources import Source, may_be_dicom
from fetal_jax.reading.spacing import PixelSize, Spacing, with_given
from fetal_jax.reading.study import Labels, of_table

NAME, ROWS, COLUMNS, HC18 = "filename", "spacing_mm", "column_spacing_mm", "pixel size(mm)"
_NAMES = ("filename", "file", "file name", "file_name", "name", "dateiname", "datei", "fichier", "nom du fichier")
HC18_ROWS, HC18_COLUMNS = range(530, 571), range(730, 811)
"""HC18's frames are 800 x 540 pixels, a few dozen up to 8 % narrower and 4 % higher; no other size fits its table."""
_NAMED = 20
"""Wrong lines that a message names."""
_NOT_SIZES = ("spacing_source", "spacing_confidence")
"""Columns of our own results, which may be given as a table."""
GIVE, OR_RULER = "give --spacing-mm or --spacing-csv", "give --spacing-mm, --spacing-csv or --spacing=ruler"
NEEDS = "needs the columns filename,spacing_mm, separated by commas, semicolons or tabs"


@dataclass(frozen=True)
class Spacings:
    """Millimetres per pixel from the caller: one number for all frames, a table by file name, a ruler, or nothing.

    A name in the table may have folders before it; the row that shares most of a file's path applies.
    """

    source: str  # "flag", "csv", "ruler" or "none"
    constant: float | Spacing | None = None
    table: dict[str, float | Spacing] | None = None
    empty: frozenset[str] = frozenset()
    """The rows of the table without a spacing: it comes from the header or the ruler. Their labels hold."""
    hc18: bool = False
    """Whether the table is HC18's own, which only fits frames of its sizes."""
    labels: dict[str, Labels] | None = None
    """Labels that a table gives examinations, by file name."""
    with_ruler: bool = False
    """Whether the depth ruler is read too: for frames that the table lacks, and as a check of the others."""
    advice: str = ""
    """The remedy for a frame without a spacing, where it is not to give one of `measure`'s flags."""

    def labels_of(self, source: Source) -> Labels | None:
        """Labels that the table gives a file's examination; None if it says nothing."""
        row = self._row(source)
        return None if row is None else (self.labels or {}).get(row)

    def of(self, frame: Frame) -> PixelSize:
        """Decide the spacing of a frame: with the regions where it holds, or the reason why there is none."""
        row = self._row(frame.source)
        given = self.constant if row is None else (self.table or {}).get(row)
        own = frame.size
        if given is None:
            if own.mm or own.final:
                return own
            # a header or a ruler that says nothing is half of the reason: the table has no spacing either
            both = "; " if self.source == "csv" else ": "
            return replace(own, reason=both.join(filter(None, (own.reason, self.remedy(frame.source)))))
        rows, columns = frame.pixels.shape
        if self.hc18 and not (rows in HC18_ROWS and columns in HC18_COLUMNS):
            fits = f"HC18's table holds for its frames of about 800x540 pixels, and this one is {columns}x{rows}"
            return PixelSize(reason=f"{fits}: give the frame as it was published, or a table of your own")
        return with_given(own, given, self.source)

    @property
    def read_ruler(self) -> bool:
        """Whether the depth ruler is looked for where a header has no spacing."""
        return self.source == "ruler" or self.with_ruler

    @property
    def any_given(self) -> bool:
        """Whether the caller may give any spacing: a table may only say whose the frames are."""
        return self.source == "flag" or self.read_ruler or bool(self.table)

    def may_give(self, source: Source) -> bool:
        """Whether a file may get a spacing from the caller. With a ruler always: it is read with the picture."""
        return self.source == "flag" or self.read_ruler or self._row(source) in (self.table or {})

    def check(self, sources: list[Source], one_examination: bool = False) -> None:
        """Refuse a table that does not go with the files.

        Args:
          sources: the files.
          one_examination: whether all frames are of one examination (`--one-examination`).

        Raises:
          UserError: one row is for several files, as two examinations may use the same file names; or it says whose a
            picture is, but nothing says of which examination.
        """
        taken: dict[str, Source] = {}
        for source in sources:
            row = self._row(source)
            if row is not None and str(taken.setdefault(row, source)) != str(source):
                raise UserError(
                    f"the spacing table has one row {row} for {taken[row]} and {source}: "
                    "give each a row with its folder, such as exam1/frame.png"
                )
            labels = None if one_examination else self.labels_of(source)
            if labels and not labels.examination and not may_be_dicom(source):
                said = ", ".join(key for key, value in vars(labels).items() if value).replace("ga_weeks", "ga")
                raise UserError(
                    f"the spacing table says {said} of {source}, but not the examination: fill in the column "
                    "examination, measure with --one-examination, or rename the columns if they are about something "
                    "else"
                )

    def _row(self, source: Source) -> str | None:
        if not self.table and not self.empty:
            return None
        parts = _plain(f"{os.path.abspath(source.path)}/{source.member or ''}").rstrip("/").split("/")
        names = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((name for name in names if name in (self.table or {}) or name in self.empty), None)

    def remedy(self, source: Source) -> str:
        """Tell the user what to give or correct for a file without a spacing."""
        if self.source != "csv":
            return self.advice or (GIVE if self.read_ruler else OR_RULER)
        name = source.filename
        if row := self._row(source):
            return f"the table has no {HC18 if self.hc18 else ROWS} in its row {row}: fill it in"
        rows = (
            row
            for row in [*(self.table or {}), *sorted(self.empty)]
            if _numbers(row.rsplit("/", 1)[-1]) == _numbers(name)
        )
        bare = {row.rsplit("/", 1)[-1].casefold(): row for row in rows}
        near = difflib.get_close_matches(_plain(name).casefold(), bare, 1, 0.6)
        nearest = f"; the nearest name in it is {bare[near[0]]!r}" if near else ""
        return f"the table has no row for {name!r}{nearest}"

    @classmethod
    def read(cls, path: str | Path) -> Spacings:
        """Read a table with the columns `filename,spacing_mm`, or HC18's own.

        Tables of all spreadsheets are read: commas, semicolons or tabs, decimal commas, UTF-8 or UTF-16, with or
        without a byte order mark, blanks, empty lines and trailing separators. Names match however their accents are
        composed, and may have folders before them, with `/` or `\\`. A third column `column_spacing_mm` is for pixels
        that are not square. The columns `examination`, `patient`, `fetus`, `date` (2024-01-31) and `ga` (30w2d) say
        whose the frame is and may be missing. A cell of the spacing may be empty, and its column missing beside one of
        these: the spacing is then the header's or the ruler's.

        Raises:
          UserError: there is no such file, a column is missing or repeated, a cell is not a positive number, no row
            says anything, a name is repeated, or a date or age is wrong.
        """
        header, rows = spreadsheet.read(path := Path(path), NEEDS)
        name, values = _columns(path, header)
        table: dict[str, float | Spacing] = {}
        empty: set[str] = set()
        labels: dict[str, Labels] = {}
        wrong: dict[int, str] = {}
        for line, row in rows:
            try:
                key, mm = _entry(f"{path}, line {line}", header, row, name, values)
                if key in table or key in empty:
                    raise UserError(f"{path}, line {line}: {row[name]} is listed twice: remove one")
                if mm is None:
                    empty.add(key)
                else:
                    table[key] = mm
                if (label := of_table(dict(zip(header, row, strict=False)), f"{path}, line {line}")) is not None:
                    labels[key] = label
            except UserError as e:
                wrong[line] = str(e)
        if wrong:
            raise UserError(_in_one_message(wrong))
        if empty and not table and not labels:
            raise UserError(f"{path} has no {header[values[0]] if values else ROWS} in any row: fill the cells in")
        return cls("csv", table=table, empty=frozenset(empty), hc18=HC18 in header, labels=labels)


def _in_one_message(wrong: dict[int, str]) -> str:
    """What is wrong in the first wrong line, and the numbers of the others, so that all are corrected at once."""
    first, *others = wrong
    named = ", ".join(map(str, others[:_NAMED])) + (f" and {len(others) - _NAMED} more" if others[_NAMED:] else "")
    return wrong[first] + (f"; also wrong: {'lines' if others[1:] else 'line'} {named}" if others else "")


def _entry(
    at: str, header: list[str], row: list[str], name: int, values: list[int]
) -> tuple[str, float | Spacing | None]:
    """A row's file name and spacing; None if its cells are empty."""
    if any(row[len(header) :]):
        raise UserError(f"{at} {spreadsheet.MORE_CELLS}")
    row = row + [""] * (len(header) - len(row))
    if not row[name]:
        raise UserError(f"{at}: a row without a file name: add it or remove the row")
    if not any(row[i] for i in values):
        return _plain(row[name]), None
    mm = []
    for i in values:
        value = spreadsheet.number(row[i])
        if value is None or value <= 0:
            raise UserError(f"{at}: {header[i]} of {row[name]} is {row[i]!r}, not a length in mm: correct or remove it")
        mm.append(value)
    return _plain(row[name]), (mm[0], mm[1]) if len(mm) == 2 else mm[0]


def _columns(path: Path, header: list[str]) -> tuple[int, list[int]]:
    """Positions of the names and of the spacing: one column, rows and columns, or none beside `study.COLUMNS`."""
    if doubled := sorted({cell for cell in header if cell and header.count(cell) > 1}):
        raise UserError(f"{path} has the column {doubled[0]} twice: remove one")
    names = [i for i, cell in enumerate(header) if cell in _NAMES]
    given = [i for i, cell in enumerate(header) if cell in (ROWS, HC18)]
    if NAME in header:
        names = [header.index(NAME)]
    about_spacing = COLUMNS in header or not set(header) & set(study.COLUMNS)
    if len(names) != 1 or (about_spacing and not given):
        raise UserError(f"{path} {NEEDS}; it has {', '.join(cell or '(no name)' for cell in header) or 'none'}")
    if len(given) > 1:
        raise UserError(f"{path} has the columns {ROWS} and {HC18!r}: remove one")
    sizes = [cell for cell in header if "spacing" in cell or "pixel size" in cell]
    # a misspelt second column would leave pixels square that are not
    if unread := [cell for cell in sizes if cell not in (ROWS, COLUMNS, HC18, *_NOT_SIZES)]:
        what = f"the size of a pixel is {ROWS}, along the columns {COLUMNS}"
        raise UserError(f"{path} has the column {unread[0]!r}, which is not read: {what}: rename or remove it")
    return names[0], [*given, *(i for i, cell in enumerate(header) if cell == COLUMNS)]


def _numbers(name: str) -> list[int]:
    """The numbers in a name. Names with different numbers belong to different pictures, however similar the rest is."""
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _plain(name: str) -> str:
    """A path with `/`, without `./`, accents composed: names are compared in this form."""
    text = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    return "/".join(part for part in text.split("/") if part != ".") if "/" in text else text
