"""The files of a call -> shards: units of work that succeed or fail as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket
from fetal_jax.reading import sources
from fetal_jax.reading.archives import is_archive
from fetal_jax.reading.sources import Source

MOST = 256
"""Most files of a shard; the average is half as many. When a worker dies, its work on the shard is lost."""
_NAME = re.compile(r"([0-9a-f]{16})-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class Shard:
    """Files that are measured together. An archive is a shard of its own."""

    files: tuple[str, ...]
    known: tuple[str, ...] = ()
    """Names of the results of these files from earlier calls; all but the current one are removed."""

    @property
    def key(self) -> str:
        """Digest of the files' absolute names: the first half of the names of its results."""
        return digest(map(_absolute, self.files))

    def as_line(self) -> str:
        """Serialise the shard as a line of text, for `of_line`."""
        return json.dumps([self.files, self.known])

    @classmethod
    def of_line(cls, line: str) -> Shard:
        """Parse a line of `as_line`."""
        files, known = json.loads(line)
        return cls(tuple(files), tuple(known))


def plan(files: Iterable[str]) -> list[Shard]:
    """Divide files into shards, in order.

    A hash of each file's name decides whether a shard ends there, so that adding or removing a file changes only one or
    two shards, and the results of the others remain valid.
    """
    shards, together = [], list[str]()
    for file in files:
        if is_archive(file):
            shards.append(Shard((file,)))
            continue
        together.append(file)
        if len(together) == MOST or int(digest([_absolute(file)]), 16) % (MOST // 2) == 0:
            shards.append(Shard(tuple(together)))
            together = []
    return [*shards, Shard(tuple(together))] if together else shards


def _absolute(name: str) -> str:
    """A name that is the same from whichever folder the command is called."""
    return name if in_bucket(name) else os.path.abspath(name)


def digest(parts: Iterable[str]) -> str:
    """16 hexadecimal digits of the SHA-256 of some texts."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def name(shard: Shard, contents: Iterable[tuple[str, str | None]]) -> str:
    """The name of a shard's results: it depends on the absolute names and the content of its frames alone.

    Args:
      shard: the files.
      contents: name and SHA-256 of each frame's file.
    """
    return f"{shard.key}-{digest(t for file, text in contents for t in (_absolute(file), text or ''))}.parquet"


def key_of(result: str) -> str | None:
    """The key of a shard from the name of its results; None for a file with another kind of name."""
    match = _NAME.fullmatch(result)
    return match and match.group(1)


def sha256(source: Source) -> str | None:
    """SHA-256 of a file's content, in hexadecimal; None if it cannot be read, which its row reports."""
    try:
        return sources.sha256(source.open())
    except (UserError, OSError):
        return None
