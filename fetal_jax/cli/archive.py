"""`fetal-jax archive PATTERN... --out=DIR`"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.cli import add_also
from fetal_jax.cli.measure import ALSO, add_options, remedy, spacings_of, tell
from fetal_jax.errors import NOT_CLINICAL, UserError, amount
from fetal_jax.files import in_bucket
from fetal_jax.inference.identity import Naming
from fetal_jax.outputs import formats
from fetal_jax.outputs.tally import in_words
from fetal_jax.processes import cores
from fetal_jax.reading.archives import is_archive
from fetal_jax.reading.sources import Source, may_be_dicom, suffixes_in_words
from fetal_jax.reading.spacing_table import OR_RULER

WORKER_GB = 1
"""Memory to plan for a worker with its reading process: it takes a quarter of it on small frames (docs/archive.md), and
launch/archive.sh asks Kubernetes for it."""
RUNNERS = ("local", "direct", "dataflow", "flink", "spark")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    patterns = "image, DICOM file, zip or tar archive, folder of these, 'pattern*', or any of these as gs://..."
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help=patterns)
    runners = "local (default): processes on this machine; the others: Apache Beam, whose own flags follow --"
    parser.add_argument("--runner", choices=RUNNERS, default="local", help=runners)
    each = cores()
    workers = f"processes of --runner=local: plan a core and {WORKER_GB} GB for each; default: {each}, the cores"
    parser.add_argument("--workers", type=int, default=each, metavar="N", help=workers)
    add_options(parser)
    add_also(parser, ALSO)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the results, or gs://BUCKET/FOLDER")


def run(args: argparse.Namespace, flags: list[str]) -> int:
    """Measure every file into Parquet; returns 3 if a file could not be read, else 0."""
    if args.workers < 1:
        raise UserError(f"--workers={args.workers}: give at least 1")
    if flags and args.runner == "local":
        raise UserError(f"{' '.join(flags)}: what follows -- is for the runners of Apache Beam: give --runner")
    _check_installed(args.runner)
    formats.check(args.also)

    from fetal_jax.archive import local, storage, sweep  # imports Arrow, which --help does not need
    from fetal_jax.archive.worker import Job

    spacings = spacings_of(args)
    if in_bucket(args.out):
        storage.reach(args.out)
    try:
        inputs, left_out = sweep.inputs(args.patterns, args.out)
    except UserError:
        sweep.check_mounted(args.patterns, args.out)
        raise
    if not spacings.any_given and not any(map(_may_state_spacing, inputs)):
        sweep.check_mounted(args.patterns, args.out)
        raise UserError(f"no spacing in {amount(len(inputs), 'file')}: {OR_RULER}")
    sweep.check_table(spacings, inputs)
    job = Job(
        out=args.out if in_bucket(args.out) else os.path.abspath(args.out),
        bundle=_bundle_name(args.bundle),
        runtime=args.runtime,
        plane=args.plane,
        spacings=spacings,
        also=args.also,
        naming=Naming(None, args.identifiers, months=True),
        standard=args.standard,
        call="",
    )
    with tqdm(total=len(inputs), unit="file") as bar:

        def measured(job: Any, shards: Any, scratch: Path) -> Iterator[Any]:
            if args.runner == "local":
                yield from local.run(replace(job, scratch=str(scratch)), shards, args.workers)
                return
            from fetal_jax.archive import beam

            beam.run(job, shards, scratch / sweep.PLAN, args.runner, flags, lambda n: _show(bar, n, len(shards)))
            yield from ((shard, "") for shard in shards)

        summary = sweep.run(job, args.patterns, inputs, measured, bar.update)
    if others := left_out + summary.left_out:
        print(f"left out, as their names are not those of frames: {suffixes_in_words(others)}")
    if summary.against:
        print(summary.against)
    tally = summary.tally
    if found := summary.examinations:
        print(f"{amount(found.total(), 'examination')}: {in_words(found)}")
    print(f"{tally}. See {args.out}. {NOT_CLINICAL}")
    if errors := tally.statuses["error"]:
        tell(f"error: {errors} not read: {args.out}/dead_letters says why")
    if tally.frames and not tally.with_spacing:
        raise UserError(f"no spacing in {amount(tally.frames, 'frame')}: {remedy(spacings)}; give another --out too")
    return 3 if errors else 0


def _show(bar: Any, done: int, shards: int) -> None:
    bar.set_postfix_str(f"{done} of {shards} shards")


def _check_installed(runner: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError("archive writes Parquet by pyarrow: pip install '.[archive]'") from None
    if runner != "local":
        try:
            import apache_beam  # noqa: F401
        except ImportError:
            raise UserError(f"--runner={runner} needs Apache Beam: pip install '.[beam]'") from None


def _may_state_spacing(file: str) -> bool:
    return in_bucket(file) or is_archive(file) or may_be_dicom(Source(Path(file)))


def _bundle_name(folder: Path) -> str:
    """The name of a shipped bundle, which is valid wherever a worker has the package; else the whole path."""
    return folder.name if folder.parent == bundle.SHIPPED else os.path.abspath(folder)
