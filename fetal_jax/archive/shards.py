"""The files of a call -> shards, the units of work that succeed or fail as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket
from fetal_jax.reading.archives import is_archive
from fetal_jax.reading.sources import Source

MOST = 256
"""Files of a shard; half as many on the average. What a worker has done of a shard is lost when it dies."""
_NAME = re.compile(r"([0-9a-f]{16})-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class Shard:
    """Files that are measured together. An archive is a shard of its own."""

    files: tuple[str, ...]
    known: tuple[str, ...] = ()
    """Names of the results that earlier calls wrote of these files; all but the current one are removed."""

    @property
    def key(self) -> str:
        """Digest of the files' absolute names: the first half of the names of its results."""
        return digest(map(_absolute, self.files))

    def as_line(self) -> str:
        """One line of text, from which `of_line` makes the shard."""
        return json.dumps([self.files, self.known])

    @classmethod
    def of_line(cls, line: str) -> Shard:
        """The shard of a line."""
        files, known = json.loads(line)
        return cls(tuple(files), tuple(known))


def plan(files: Iterable[str], most: int = MOST) -> list[Shard]:
    """Divide files into shards, in their order.

    A shard ends where the name of its last file says so, so that a file that is added or gone changes one shard or
    two, and the others are found done.
    """
    shards, together = [], list[str]()
    for file in files:
        if is_archive(file):
            shards.append(Shard((file,)))
            continue
        together.append(file)
        if len(together) == most or int(digest([_absolute(file)]), 16) % (most // 2 or 1) == 0:
            shards.append(Shard(tuple(together)))
            together = []
    return [*shards, Shard(tuple(together))] if together else shards


def _absolute(name: str) -> str:
    """A name that is the same from whichever folder the command is called."""
    return name if in_bucket(name) else os.path.abspath(name)


def digest(parts: Iterable[str]) -> str:
    """16 hexadecimal digits of the SHA-256 of some text."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def name(shard: Shard, contents: Iterable[tuple[str, str | None]]) -> str:
    """The name of a shard's results: it depends on the absolute names and the content of its frames alone.

    Args:
      shard: the files.
      contents: of each frame's file, its name and SHA-256.
    """
    return f"{shard.key}-{digest(t for file, text in contents for t in (_absolute(file), text or ''))}.parquet"


def key_of(result: str) -> str | None:
    """The key of the shard that a file of results is of; None of a file of another name."""
    match = _NAME.fullmatch(result)
    return match and match.group(1)


def sha256(source: Source) -> str | None:
    """SHA-256 of a file's content, in hexadecimal; None where it cannot be read, which its row will say."""
    try:
        file = source.open()
        if isinstance(file, Path):
            with file.open("rb") as f:
                return hashlib.file_digest(f, "sha256").hexdigest()
        return hashlib.sha256(file.getbuffer()).hexdigest()
    except (UserError, OSError):
        return None
