"""`fetal-jax prepare NAME[/CONFIG]`"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from fetal_jax import files
from fetal_jax.errors import UserError, amount, not_written
from fetal_jax.files import in_bucket, refuse_other

LISTED = 50  # most lines about refused or missing frames; 12,358 of 12,400 may be missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        help="fetal_phantom[/small|/large], fetal_planes[/official|/biometry|/outlines], "
        "hc18[/examinations|/benchmark], or folder/NAME: your own frames, under any NAME",
    )
    parser.add_argument(
        "--manual-dir",
        type=Path,
        metavar="DIR",
        help="folder of the downloaded data set, or of your own frames; not for fetal_phantom",
    )
    parser.add_argument(
        "--data-dir", default="runs/data", metavar="DIR", help="prepared data sets; default: %(default)s"
    )
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE.png", help="draw examples with their geometry")
    parser.add_argument("--allow-partial", action="store_true", help="build a data set although files are missing")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Build a data set and decode its training split. List refused frames, and what is missing of a partial one."""
    base = args.name.partition("/")[0]
    if in_bucket(args.data_dir):
        raise UserError(f"{args.data_dir}: prepare on disk, then copy: gcloud storage cp -r DIR/{base} {args.data_dir}")
    needed = base in ("folder", "hc18") or args.manual_dir
    if needed and not (args.manual_dir and args.manual_dir.is_dir() and any(args.manual_dir.iterdir())):
        raise UserError(f"{args.manual_dir or args.name}: give the data set's folder with --manual-dir")
    if args.contact_sheet and (args.contact_sheet.suffix != ".png" or not args.contact_sheet.parent.is_dir()):
        raise UserError(f"{args.contact_sheet}: give --contact-sheet a .png file in an existing folder")
    if args.contact_sheet:
        refuse_other(args.contact_sheet)
    import tensorflow_datasets as tfds  # --help must work in every installation

    from fetal_jax.config import Config
    from fetal_jax.data.contact_sheet import contact_sheet
    from fetal_jax.data.decoded import decoded
    from fetal_jax.data.source import Split, builder
    from fetal_jax.reading.images import write_png

    options = {"allow_partial": args.allow_partial} if base != "fetal_phantom" else {}
    made = builder(args.name, args.data_dir, **options)
    found = Path(made.data_dir).is_dir()
    tfds.display_progress_bar(True)
    if not found:
        print(f"preparing {args.name} in {made.data_dir}", flush=True)
        with alone(Path(made.data_dir).parent), redirect_stdout(io.StringIO()):  # TFDS prints "Downloading" for all
            made.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=args.manual_dir))
    counts = ", ".join(f"{name} {split.num_examples}" for name, split in made.info.splits.items())
    print(f"{made.info.full_name} in {args.data_dir}: {counts}")
    if found:
        print(f"It exists and is not built again; to rebuild it, remove {made.data_dir}")
    splits = {name: Split(args.name, name, args.data_dir) for name in made.info.splits}
    if "train" in splits:
        decoded(splits["train"])
    if args.contact_sheet:
        write_png(args.contact_sheet, contact_sheet(list(splits.values()), Config()))
        print(f"See {args.contact_sheet}")
    for fault, count in getattr(made, "faults", {}).items():
        print(f"{count:6d}  {fault}")
    for line in getattr(made, "notes", []):
        print(f"note: {line}", file=sys.stderr)
    refused, missing = getattr(made, "refused", []), getattr(made, "missing", [])
    _list("refused", refused, f"{amount(len(refused), 'frame')} refused")
    _list("missing", missing, f"{len(missing)} missing")


def _list(what: str, lines: list[str], total: str) -> None:
    """Print what was refused or is missing; the total and the first one again below it, as the list may be long."""
    for line in lines[:LISTED]:
        print(f"{what}: {line}", file=sys.stderr)
    if lines:
        here = f" ({LISTED} are listed)" if len(lines) > LISTED else ""
        first = f", the first: {lines[0]}" if len(lines) > 1 else ""
        print(f"{total}{here}{first}", file=sys.stderr)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the folder of a data set while it is prepared, and remove the remains of a killed preparation.

    A refused one leaves no folder, such as that of a name that was mistyped.

    Raises:
      UserError: another process is preparing it, or the folder cannot be written.
    """
    with ExitStack() as held:
        try:
            held.enter_context(files.lock(folder, "wait for it, or end it"))
        except OSError as e:
            raise not_written(e, folder, ", or give another --data-dir") from None
        for left in folder.glob("incomplete.*"):
            shutil.rmtree(left)
        try:
            yield
        except UserError:
            if [path.name for path in folder.iterdir()] == [files.LOCK]:
                shutil.rmtree(folder)
            raise
