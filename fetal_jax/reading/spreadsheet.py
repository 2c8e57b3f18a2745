"""Tables as all spreadsheets write them: separators, encodings, decimal commas."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from fetal_jax.errors import UserError

Table = tuple[list[str], list[tuple[int, list[str]]]]
"""Column names in lower case, and the rows that are not empty, each with its line number; cells are stripped."""

MORE_CELLS = "has more cells than columns: with decimal commas, separate columns by semicolons"


def read(path: Path, needs: str) -> Table:
    """Read a table with commas, semicolons or tabs, in UTF-8 or UTF-16, with or without a byte order mark.

    Args:
      path: of the table.
      needs: what the table must hold, to end a message with: "it needs …".

    Raises:
      UserError: there is no such file, or it is no table.
    """
    try:
        text = _decoded(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: it {needs}") from None
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path} cannot be read ({type(e).__name__}): it {needs}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" \t,;")]
    if lines and lines[0][1].lower().startswith("sep="):  # a spreadsheet's own first line
        lines = lines[1:]
    separator = max(";\t,", key=(lines[0][1] if lines else "").count)
    try:
        cells = list(csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True))
    except csv.Error:
        cells = []
    if len(cells) != len(lines) or not cells:  # an unclosed quote swallows lines
        raise UserError(f"{path} holds no table: it {needs}")
    header, *rows = [[cell.strip() for cell in row] for row in cells]
    trailing = _trailing(header)
    names = [cell.lower() for cell in header[: len(header) - trailing]]
    rows = [row[: max(len(names), len(row) - min(trailing, _trailing(row)))] for row in rows]
    return names, [(number, row) for (number, _), row in zip(lines[1:], rows, strict=True)]


def _trailing(row: list[str]) -> int:
    """Number of empty cells at the end of a row."""
    return len(row) - max((i for i, cell in enumerate(row, 1) if cell), default=0)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if b"\0" in data[:64]:  # UTF-16 without a byte order mark: every second byte of Latin letters is zero
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")  # what older spreadsheets write in western Europe


def number(cell: str) -> float | None:
    """A finite number with a point or a decimal comma; None for anything else."""
    try:
        value = float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
