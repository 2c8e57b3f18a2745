"""The pictures of frames as PNG, decoded in a separate process, so that a bad file cannot crash the server."""

from __future__ import annotations

import math
import queue
import threading
from collections import OrderedDict
from contextlib import suppress
from io import BytesIO

from PIL import Image

from fetal_jax.errors import UserError
from fetal_jax.outputs.rows import Row, spacing_of
from fetal_jax.reading.frame import Failure
from fetal_jax.reading.isolated import read_ahead
from fetal_jax.reading.sources import Source, head_of, is_dicom
from fetal_jax.reading.spacing import NOT_COVERED, Region, agree
from fetal_jax.view.results import Results

CACHE_BYTES = 96 * 2**20
"""Size of the cache of encoded frames: some 300 frames, or a long cine."""
BEHIND = 4
"""Frames of a cine that stay before one that is read: the page asks for three ahead, and for the last one."""
Key = tuple[str, tuple[int, ...], int]
"""Source, its fingerprint, frame; the fingerprint changes when a file is rewritten."""


class Frames:
    """Reads one file at a time, and caches the last ones."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._cache: OrderedDict[Key, bytes] = OrderedDict()
        self._size = 0
        self._regions: dict[Key, tuple[Region, ...]] = {}
        self._mutex = threading.Lock()
        self._asked: queue.Queue[Source | None] = queue.Queue()
        self._read = read_ahead(iter(self._asked.get, None))
        self._first: threading.Thread | None = None

    def warm(self) -> None:
        """Begin to read the first frame of the page, because the reading process takes a second to start."""
        self._first = threading.Thread(target=self._read_first, name="first frame")
        self._first.start()

    def _read_first(self) -> None:
        rows = self._results.rows
        first = next((row for row in rows if row["status"] == "review"), rows[0] if rows else None)
        if first is not None:
            with suppress(UserError, OSError):
                self.png(first)

    def png(self, row: Row) -> tuple[bytes, bool]:
        """The frame of a row as grey PNG and True, or else the overlay of `measure` and False.

        Raises:
          UserError: neither can be read; has the reason.
        """
        source = self._results.source(row)
        with self._mutex:
            if source is not None:
                key = _key(source, row)
                data, reason = (self._cache[key], "") if key in self._cache else self._fill(source, key)
                if data is not None:
                    if key in self._cache:
                        self._cache.move_to_end(key)
                    return data, True
            else:
                reason = "the frame is not where it was measured, or has changed since: bring the file back"
        overlay = self._results.overlay(row)
        if overlay is None:
            raise UserError(reason or "the file holds no such frame")
        return overlay.read_bytes(), False

    def regions(self, row: Row) -> tuple[Region, ...]:
        """The parts of a DICOM frame where the row's spacing holds; empty: the whole frame.

        They are in the row; for rows of earlier versions they are read from the file, if it still exists.
        """
        spacing = spacing_of(row)
        if row["regions_px"] is not None and spacing is not None:
            return tuple(Region(_box(sides), spacing) for sides in row["regions_px"])
        source = self._results.source(row)
        if source is None and spacing is not None and NOT_COVERED in (row["reason"] or ""):
            return (Region((0, 0, 0, 0), spacing),)  # refused when it was measured, and there is no other information
        if source is None or spacing is None or not is_dicom_file(source):
            return ()
        key = _key(source, row)
        with self._mutex:
            if key not in self._regions:
                self._fill(source, key)
            regions = self._regions.get(key, ())
        agreeing = tuple(r for r in regions if agree(r.mm, spacing))
        # the header has changed since the measurement: its scale holds nowhere
        return agreeing or ((Region((0, 0, 0, 0), spacing),) if regions else ())

    def size(self, row: Row) -> tuple[int, int] | None:
        """Width and height of a frame in pixels, from the row or a file; None if neither has them."""
        if row["frame_px"]:
            return row["frame_px"][0], row["frame_px"][1]
        with suppress(UserError, OSError):
            data, is_frame = self.png(row)
            return Image.open(BytesIO(data)).size if is_frame else None
        return None

    def _fill(self, source: Source, wanted_key: Key) -> tuple[bytes | None, str]:
        """Put the frames of a file into the cache; returns the wanted one, or None and the reason."""
        self._asked.put(source)
        wanted, reason = None, ""
        while (item := next(self._read)) is not None:
            if isinstance(item, Failure):
                reason = item.reason
                continue
            encoded = BytesIO()
            Image.fromarray(item.pixels).save(encoded, "PNG", compress_level=1)
            data = encoded.getvalue()
            key = (*wanted_key[:2], item.index)
            wanted = data if key == wanted_key else wanted
            self._regions[key] = item.size.regions
            self._keep(key, data, wanted_key)
        return wanted, reason

    def _keep(self, key: Key, data: bytes, wanted: Key) -> None:
        """Put a frame into the cache in place of the oldest, but not of those from `BEHIND` before `wanted` on.

        Otherwise a cine larger than the cache leaves its end there, and each step from its beginning reads it whole.
        """
        self._size += len(data) - len(self._cache.pop(key, b""))
        self._cache[key] = data
        while self._size > CACHE_BYTES and len(self._cache) > 1:
            oldest = next(iter(self._cache))
            if oldest[:2] == key[:2] and wanted[2] - BEHIND <= oldest[2] < key[2]:
                oldest = key
            self._size -= len(self._cache.pop(oldest))

    def close(self) -> None:
        """Stop the reading process."""
        if self._first:
            self._first.join()
        with self._mutex:
            self._asked.put(None)
            self._read.close()


def _key(source: Source, row: Row) -> Key:
    return str(source), tuple(source.fingerprint()), row["frame"]


def _box(sides: list[float | None]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (
        open_ if side is None else side
        for side, open_ in zip(sides, (-math.inf, -math.inf, math.inf, math.inf), strict=True)
    )
    return x0, y0, x1, y1


def is_dicom_file(source: Source) -> bool:
    """Whether a source can be read and is DICOM."""
    try:
        return is_dicom(head_of(source.open()))
    except (UserError, OSError):
        return False
