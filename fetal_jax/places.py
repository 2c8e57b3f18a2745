"""Places on disk and in buckets (`gs://`): etils' epath reads and writes both alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from etils import epath


def in_bucket(place: str | Path) -> bool:
    """Whether it is one whose files are written whole: nothing is appended to them or mapped into memory."""
    return "://" in str(place)


def absolute(place: str | Path) -> Any:
    """The same place as Orbax and JAX want it: absolute, as one in a bucket always is."""
    path = epath.Path(place)
    return path if in_bucket(path) else path.absolute()


def user_cache() -> Path:
    """Where this program keeps what it can make again: `$XDG_CACHE_HOME/fetal_jax`, else in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fetal_jax"
