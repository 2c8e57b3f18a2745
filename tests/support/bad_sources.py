"""Files that end or stall whoever reads them; the reading process imports this module, and little with it."""

from __future__ import annotations

import os
import time
from io import BytesIO

from fetal_jax.reading.sources import Source


class Killer(Source):
    def open(self):
        os.abort()


class Sleeper(Source):
    def open(self):
        time.sleep(60)


class Slow(Source):
    def open(self):
        time.sleep(2)
        return super().open()


class Endless(Source):
    """Opens at once, and is never decoded."""

    def open(self):
        return _Endless(b"")


class _Endless(BytesIO):
    def getbuffer(self):
        time.sleep(60)
