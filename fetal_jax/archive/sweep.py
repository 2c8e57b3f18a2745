"""A whole call of `archive`: the plan, the workers, the examinations, the counts."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fetal_jax import files
from fetal_jax.archive import examinations, local, shards, storage
from fetal_jax.archive.earlier import Earlier, look
from fetal_jax.archive.parquet import DEAD_LETTERS, EXAMINATIONS, FRAMES, Writer, counts
from fetal_jax.archive.shards import Shard
from fetal_jax.archive.worker import Job, key_file
from fetal_jax.errors import UserError, amount
from fetal_jax.files import in_bucket
from fetal_jax.inference.identity import Key
from fetal_jax.outputs.rows import failure_row
from fetal_jax.outputs.tally import Tally
from fetal_jax.reading.archives import is_archive
from fetal_jax.reading.frame import Failure
from fetal_jax.reading.sources import CALL, RESULTS, Source, expand, find_files
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.resume_log import another_call

_PARTS = (FRAMES, EXAMINATIONS, DEAD_LETTERS)
PLAN = "plan.jsonl"
"""Input of a Beam pipeline; it is removed at its end."""
_DIED = "0" * 16
"""Second half of the name of a shard's dead letters, if it killed its workers."""


@dataclass
class Totals:
    """The counts of all shards."""

    tally: Tally = field(default_factory=Tally)
    left_out: Counter[str] = field(default_factory=Counter)
    examinations: Counter[str] = field(default_factory=Counter)
    """By status."""
    against: str = ""
    """Counts of the rows that an earlier call left and of those removed, in words; empty without an earlier call."""


def inputs(patterns: Sequence[str], out: str) -> tuple[list[str], Counter[str]]:
    """List the files that match patterns, with archives unopened, and count other files by suffix.

    Raises:
      UserError: a pattern matches nothing.
    """
    on_disk = [Path(pattern) for pattern in patterns if not in_bucket(pattern)]
    found = find_files(on_disk, None if in_bucket(out) else Path(out)) if on_disk else None
    in_buckets = [o for pattern in patterns if in_bucket(pattern) for o in storage.objects(pattern)]
    on_disk_files = [str(source) for source in found.sources] if found else []
    return list(dict.fromkeys([*on_disk_files, *in_buckets])), found.left_out if found else Counter()


def check_mounted(patterns: Sequence[str], out: str) -> None:
    """Refuse a call that no longer finds most files of its earlier rows, before what it does find is judged.

    Raises:
      UserError: over half of the earlier rows are of files that are gone.
    """
    if any(map(in_bucket, patterns)):  # a bucket's own error says what is missing
        return
    folder, before = storage.Folder(out), None
    with suppress(UserError):  # `run` says that it is damaged
        before = _saved_call(folder)
    if before is None or before.get("paths") != _absolute(patterns):
        return  # there are no rows, or those of another call
    found = list[str]()
    for pattern in patterns:
        with suppress(UserError):  # it finds nothing: its files are gone
            found += inputs([pattern], out)[0]
    look(folder, shards.plan(found), found, patterns)


def check_table(spacings: Spacings, inputs: list[str]) -> None:
    """Refuse a spacing table that does not go with the files (`Spacings.check`).

    Raises:
      UserError: it does not, or this cannot be checked because the frames are in archives in a bucket.
    """
    if spacings.source != "csv":
        return
    if hidden := next((i for i in inputs if in_bucket(i) and is_archive(i)), None):
        raise UserError(f"--spacing-csv does not go with archives in a bucket ({hidden}): give their frames as files")
    ignored = Counter[str]()
    spacings.check([source for i in inputs for source in expand(Path(i), ignored)])


def run(
    job: Job,
    patterns: Sequence[str],
    inputs: list[str],
    measure: Callable[[Job, list[Shard], Path], Iterator[tuple[Shard, str | None]]],
    progress: Callable[[int], None],
) -> Totals:
    """Measure inputs into a results folder; finished shards are not measured again.

    Args:
      job: the work; `call` and `scratch` are filled in here.
      patterns: as the user gave them.
      inputs: from `inputs`.
      measure: a runner: measures shards and yields each when it is done, with the name of its results, or None if its
        workers died; it may use a folder on this machine.
      progress: receives the number of finished files, each time that there are more.

    Raises:
      UserError: another process writes there, the folder has other files or another call's results, or over half of the
        earlier rows are of files that are gone.
    """
    with files.lock(job.out, "wait for it to end, or give another --out"), _scratch() as scratch:
        out = storage.Folder(job.out)
        job = _opened(job, patterns, out, scratch)
        for part in _PARTS:
            out.remove_drafts(part)
        known = defaultdict(list)
        for name in out.names(FRAMES):
            known[shards.key_of(name)].append(name)
        plan = [replace(s, known=tuple(known[s.key])) for s in shards.plan(inputs)]
        earlier = look(out, plan, inputs, patterns)
        died: set[str] = set()
        for shard, result in measure(job, plan, scratch):
            if result is None:
                for old in shard.known:  # results of earlier contents of the files
                    out.remove(f"{FRAMES}/{old}")
                _write_died(job, out, shard, scratch)
                died.add(shard.key)
            progress(len(shard.files))
        return _finish(job, out, {shard.key for shard in plan}, died, earlier, scratch)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fetal-jax-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _absolute(patterns: Sequence[str]) -> list[str]:
    return [p if in_bucket(p) else os.path.abspath(p) for p in patterns]


def _saved_call(out: storage.Folder) -> dict[str, Any] | None:
    """The call whose results a folder holds; None if there is none.

    Raises:
      UserError: its file is damaged.
    """
    saved = out.read(CALL)
    try:
        return None if saved is None else dict(json.loads(saved))
    except (ValueError, TypeError):
        raise UserError(f"{out.place}/{CALL} is damaged: remove it, or give another --out") from None


def _opened(job: Job, patterns: Sequence[str], out: storage.Folder, scratch: Path) -> Job:
    """Check that the folder belongs to this call, or begin it, and make the key of identifiers."""
    predictor = job.open()
    predictor.check_plane(job.plane, "--plane")
    call = job.call_with(predictor)
    job = replace(job, call=shards.digest([repr(call)]))
    call["paths"] = _absolute(patterns)
    call = json.loads(json.dumps(call))
    before = _saved_call(out)
    if before is None:
        if taken := [part for part in (*_PARTS, RESULTS, PLAN) if out.exists(part) or out.names(part)]:
            raise UserError(f"{job.out} holds {', '.join(taken)}, not of this call: give another --out")
        (scratch / CALL).write_text(json.dumps(call, indent=1) + "\n", encoding="ascii")
        out.put(scratch / CALL, CALL)
    else:
        if before.get("command") != call["command"]:
            raise UserError(f"{job.out} holds results of another command: give another --out")
        if differ := [key for key, value in call.items() if before.get(key) != value]:
            raise UserError(f"{job.out} holds results of {another_call(differ)}: give another --out")
    Key(lambda _: key_file(out, scratch)).digest("made")
    if out.in_bucket and (made := scratch / key_file(out, scratch).name).exists():
        out.put(made, made.name)
    return job


def _write_died(job: Job, out: storage.Folder, shard: Shard, scratch: Path) -> None:
    """Write dead letters for the files of a shard that killed its workers; the next call tries it again."""
    made = {"what": "frame", "shard": None, **job.provenance(job.open())}
    with Writer(scratch / "died", DEAD_LETTERS) as dead:
        for file in shard.files:
            reason = f"{file} or another of its shard ended {local.ATTEMPTS} workers: measure it by itself"
            dead.add(failure_row(Failure(Source(Path(file)), 0, reason)) | {"file": file, "source": file} | made)
    out.put(dead.path, f"{DEAD_LETTERS}/{shard.key}-{_DIED}.parquet")


def _finish(job: Job, out: storage.Folder, keys: set[str], died: set[str], earlier: Earlier, scratch: Path) -> Totals:
    """Remove results of files that are deleted or changed, count the rest, and write the examinations."""
    for name in out.names(FRAMES):
        if shards.key_of(name) and shards.key_of(name) not in keys:
            out.remove(f"{FRAMES}/{name}")
    names = [name for name in out.names(FRAMES) if shards.key_of(name)]
    current = {Path(name).stem for name in names} | {f"{key}-{_DIED}" for key in died}
    for part in (DEAD_LETTERS, *job.also):
        for name in out.names(part):
            stem = Path(name).stem
            if shards.key_of(f"{stem}.parquet") and stem not in current:
                out.remove(f"{part}/{name}")
    summary, kept = Totals(), 0
    with ThreadPoolExecutor(16) as pool:
        for name, (tally, left_out) in zip(names, pool.map(lambda name: _counts(out, name), names), strict=True):
            summary.tally += tally
            summary.left_out += left_out
            kept += tally.statuses.total() if name in earlier.names else 0
    for key in died:
        with out.open(f"{DEAD_LETTERS}/{key}-{_DIED}.parquet") as file:
            summary.tally.statuses["error"] += examinations.rows_in(file)
    if earlier.names:
        new = summary.tally.statuses.total() - kept
        removed = f"; removed: {earlier.gone}" if earlier.gone else ""
        said = f"{amount(kept, 'row')} in unchanged shards kept, {new} measured again or new{removed}"
        summary.against = f"compared with the earlier call: {said}"
    if summary.tally.with_examination:
        summary.examinations = examinations.write(out, names, job, scratch)
    else:
        examinations.clear(out)
    return summary


def _counts(out: storage.Folder, name: str) -> tuple[Tally, Counter[str]]:
    with out.open(f"{FRAMES}/{name}") as file:
        return counts(file)
