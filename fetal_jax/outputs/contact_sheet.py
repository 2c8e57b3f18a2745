"""Contact sheets: pages with small pictures of all overlays of a folder, each with its status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.outputs import fonts
from fetal_jax.outputs.overlay import STYLES
from fetal_jax.outputs.rows import Row
from fetal_jax.outputs.tally import bare_reason
from fetal_jax.planes import MEASURED, PRIMARY
from fetal_jax.reading.images import write_png

COLUMNS, ROWS = 6, 6
TILE, LINE, EDGE, TYPE = (260, 230), 16, 3, 12
MOST_LINES = 8
"""Lines of text in a tile: the file's name, and the longest single reason, of 250 letters. The picture has the rest."""
ROOM = TILE[0] - 2 * EDGE - 8
"""Width of the text in a tile."""
NAME = "contact_sheet_{:02d}.png"
FIRST = NAME.format(1)
FRAME = {status: style.colour for status, style in STYLES.items()} | {"error": (255, 80, 80)}


class ContactSheet:
    """`contact_sheet_01.png`, `_02.png`, …: a page is written when it is full, to limit memory."""

    def __init__(self, claim: Callable[[str], Path]) -> None:
        """Take `claim`, which gives the path of a page that may be written (`files.OwnFiles.claim`)."""
        self._claim, self._pages, self._tiles = claim, 0, 0

    def add(self, row: Row, picture: NDArray[Any] | None) -> None:
        """Add a row with its overlay (H, W, 3) uint8, or None without a picture."""
        if self._tiles == 0:
            self._page = Image.new("RGB", (COLUMNS * TILE[0], ROWS * TILE[1]))
        line, column = divmod(self._tiles, COLUMNS)
        self._page.paste(_tile(row, picture), (column * TILE[0], line * TILE[1]))
        self._tiles += 1
        if self._tiles == COLUMNS * ROWS:
            self.close()

    def close(self) -> None:
        """Write the last page, with the disclaimer below its tiles."""
        if self._tiles:
            self._pages += 1
            used = -(-self._tiles // COLUMNS) * TILE[1]
            page = self._page.crop((0, 0, self._page.width, used + LINE))  # below the tiles it is black
            pen = ImageDraw.Draw(page)
            fonts.write(pen, (EDGE + 4, used + LINE - 4), NOT_CLINICAL, TYPE, "white")
            write_png(self._claim(NAME.format(self._pages)), np.asarray(page))
            self._tiles = 0


def _tile(row: Row, picture: NDArray[Any] | None) -> Image.Image:
    tile = Image.new("RGB", TILE)
    pen = ImageDraw.Draw(tile)
    _border(pen, row["status"])
    name = Path(row["file"]).name + (f" {row['frame']}" if row["frame"] else "")
    lines = [_cut(name), *_wrapped(_summary(row))]
    room = TILE[0] - 2 * EDGE - 2, TILE[1] - 2 * EDGE - 2 - len(lines) * LINE
    if picture is not None:
        small = Image.fromarray(picture)
        small.thumbnail(room, reducing_gap=2.0)
        tile.paste(small, ((TILE[0] - small.width) // 2, EDGE + 1))
    for i, text in enumerate(reversed(lines)):
        at = EDGE + 4, TILE[1] - EDGE - 1 - LINE * i - 4
        fonts.write(pen, at, text, TYPE, "white")
    return tile


def _border(pen: ImageDraw.ImageDraw, status: str) -> None:
    """Draw a solid border for values that need no review and for unreadable files, a dashed one for the rest."""
    right, bottom = TILE[0] - 2, TILE[1] - 2
    pen.rectangle((1, 1, right, bottom), outline=FRAME[status], width=EDGE - 1)
    dash = STYLES[status].dash if status in STYLES else None
    if dash:
        for start in np.arange(EDGE, max(TILE), sum(dash)) + dash[0]:
            end = start + dash[1]
            pen.rectangle((start, 1, end, EDGE - 1), fill="black")
            pen.rectangle((start, bottom - EDGE + 2, end, bottom), fill="black")
            pen.rectangle((1, start, EDGE - 1, end), fill="black")
            pen.rectangle((right - EDGE + 2, start, right, end), fill="black")


def _summary(row: Row) -> str:
    """The text of a tile: HC, AC or FL; unless it is `measured`, with the status before and the reason after it."""
    value = next((f"{MEASURED[key].label} {row[key]:.1f} mm" for key in PRIMARY.values() if row[key] is not None), "")
    if row["status"] == "measured":
        return value
    return f"{row['status']}: {f'{value}; ' if value else ''}{bare_reason(row)}"


def _cut(text: str) -> str:
    """Shorten a text to the width of a tile."""
    if fonts.width(text, TYPE) <= ROOM:
        return text
    return text[: fonts.fitting(text, TYPE, ROOM - fonts.width("...", TYPE))].rstrip(". ") + "..."


def _wrapped(text: str) -> list[str]:
    """Break a text into the lines of a tile; what is too long for them ends with dots."""
    lines = fonts.broken(text, TYPE, ROOM)
    whole, rest = lines[: MOST_LINES - 2], lines[MOST_LINES - 2 :]
    return [_cut(line) for line in (*whole, *([" ".join(rest)] if rest else []))]
