"""The rows that an earlier call left in a folder of `archive`, and those among them of files that are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pyarrow import parquet

from fetal_jax.archive import shards, storage
from fetal_jax.archive.examinations import rows_in
from fetal_jax.archive.parquet import FRAMES
from fetal_jax.archive.shards import Shard
from fetal_jax.errors import UserError, amount
from fetal_jax.results.gone import gone, in_words

MOST_GONE = 0.5
"""Share of the earlier rows that a call may remove because their files are gone."""


@dataclass(frozen=True)
class Earlier:
    """The results that an earlier call left."""

    names: frozenset[str] = frozenset()
    """The files of frames."""
    gone: str = ""
    """The rows of files that are gone, in words; empty without any."""


def look(out: storage.Folder, plan: Sequence[Shard], inputs: Sequence[str], asked: Sequence[str]) -> Earlier:
    """Look at the earlier rows before the work.

    A shard that is planned again has all its files. Only the others are read, of which few change as a rule.

    Args:
      out: the results.
      plan: the shards of this call.
      inputs: its files.
      asked: its paths, as the user gave them.

    Raises:
      UserError: over `MOST_GONE` of the rows are of files that are gone, as where an archive is not mounted.
    """
    names = [name for name in out.names(FRAMES) if shards.key_of(name)]
    planned = {shard.key for shard in plan}
    rows = Counter[str]()
    for name in names:
        if shards.key_of(name) not in planned:
            with out.open(f"{FRAMES}/{name}") as file:
                rows.update(parquet.read_table(file, columns=["source"])["source"].to_pylist())
    files = gone(sorted(rows), inputs, asked) if rows else []
    if not files:
        return Earlier(frozenset(names))
    lost, total = sum(rows[file] for file in files), 0
    for name in names:
        with out.open(f"{FRAMES}/{name}") as file:
            total += rows_in(file)
    words = f"{amount(lost, 'row')} of {in_words(files)}"
    if lost > MOST_GONE * total:
        raise UserError(
            f"{out.place} holds {words}, over half of its {total}: check that the whole archive is mounted; "
            f"if they are to go, remove {out.place}/{FRAMES} and call again, or give another --out"
        )
    return Earlier(frozenset(names), words)
