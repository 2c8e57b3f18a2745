"""`fetal-jax measure PATH... --out=DIR`"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.cli import add_also, number
from fetal_jax.errors import NOT_CLINICAL, UserError, amount
from fetal_jax.growth import parse_age
from fetal_jax.inference import Predictor
from fetal_jax.inference.identity import ONE, Naming
from fetal_jax.inference.runtimes import RUNTIMES
from fetal_jax.outputs import formats
from fetal_jax.outputs.contact_sheet import FIRST
from fetal_jax.outputs.examinations.examination import CHOICES
from fetal_jax.outputs.examinations.write import EXAMINATIONS_JSON, INDEX
from fetal_jax.outputs.rows import Row
from fetal_jax.outputs.tally import Tally, in_words
from fetal_jax.planes import SHAPE_OF_PLANE
from fetal_jax.reading.sources import OVERLAYS, RESULTS, Source, find, may_be_dicom, suffixes_in_words
from fetal_jax.reading.spacing_table import OR_RULER, Spacings
from fetal_jax.reading.study import Labels
from fetal_jax.results.folder import measure_files

ALSO = ("svg", *formats.KINDS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    paths = "image, DICOM file, zip or tar archive, folder of these, or 'pattern*'"
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=paths)
    add_options(parser)
    add_also(parser, ALSO)
    parser.add_argument("--hc18-submission", type=Path, metavar="FILE.csv", help="also write HC18's submission file")
    parser.add_argument("--one-examination", action="store_true", help="all frames are of one fetus on one day")
    parser.add_argument("--ga", metavar="AGE", help="known gestational age (30w2d), with --one-examination")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the network, the plane and the naming of patients, for `measure`, `archive` and `pacs`."""
    shipped = "the network: a folder (./NAME), or a shipped bundle: default (the default) or heads"
    parser.add_argument("--bundle", type=bundle.find, default=bundle.DEFAULT, metavar="BUNDLE", help=shipped)
    parser.add_argument(
        "--plane",
        default="auto",
        choices=["auto", *SHAPE_OF_PLANE],
        help="plane of all frames; auto (default): classify it",
    )
    parser.add_argument(
        "--identifiers", action="store_true", help="write patient and study identifiers in plain text, not hashed"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that affect values, for `measure` and `archive`."""
    add_network(parser)
    parser.add_argument(
        "--runtime", choices=tuple(RUNTIMES), default="onnx", help="onnx (default), or jax: run the StableHLO"
    )
    spacing = parser.add_mutually_exclusive_group()
    spacing.add_argument("--spacing-mm", type=number, help="millimetres per pixel of every frame")
    spacing.add_argument("--spacing-csv", type=Path, help="table filename,spacing_mm, or HC18's own")
    ruler = "ruler: read the depth ruler in the picture; with --spacing-csv, for frames that the table lacks"
    parser.add_argument("--spacing", type=_ruler, metavar="ruler", help=ruler)
    standards = f"standard of age, weight and centiles of examinations: {', '.join(CHOICES)}; default: hadlock"
    parser.add_argument("--standard", choices=CHOICES, default="hadlock", metavar="NAME", help=standards)


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Measure every file; returns 3 if a file could not be read, else 0."""
    formats.check(args.also)
    ellipses: list[Row] = []
    keep, submission = (ellipses.append, args.hc18_submission) if args.hc18_submission else (None, None)
    spacings = spacings_of(args)
    if args.one_examination and any(label.examination for label in (spacings.labels or {}).values()):
        raise UserError("--one-examination contradicts the column examination of the spacing table: give one of them")
    where = (args.paths, args.bundle, spacings, args.plane, args.out, args.also)
    counts = measure_paths(*where, keep, args.runtime, submission, _naming(args), args.standard)
    if submission:
        from fetal_jax.outputs import hc18_submission

        print(hc18_submission.write_submission(ellipses, submission))
    return 3 if counts["error"] else 0


def _ruler(text: str) -> str:
    if text != "ruler":
        raise argparse.ArgumentTypeError(
            f"{text} is not ruler: the size of a pixel is --spacing-mm, as --spacing-mm=0.12"
        )
    return text


def spacings_of(args: argparse.Namespace) -> Spacings:
    if args.spacing_csv:
        return replace(Spacings.read(args.spacing_csv), with_ruler=args.spacing == "ruler")
    if args.spacing_mm is not None and args.spacing:
        raise UserError("--spacing-mm is the size of every pixel, --spacing=ruler reads it: give one of them")
    if args.spacing_mm is None:
        return Spacings(args.spacing or "none")
    if not 0 < args.spacing_mm < 100:
        raise UserError(
            f"--spacing-mm={args.spacing_mm:g} is not the size of a pixel in mm: give one over 0 and under 100"
        )
    return Spacings("flag", constant=args.spacing_mm)


def _naming(args: argparse.Namespace) -> Naming:
    if args.ga and not args.one_examination:
        raise UserError("--ga belongs to one examination: add --one-examination, or a column ga to the spacing table")
    known = parse_age(args.ga) if args.ga else None
    return Naming(Labels(ONE, ga_weeks=known) if args.one_examination else None, args.identifiers)


def measure_paths(
    paths: list[Path],
    folder: Path,
    spacings: Spacings,
    plane: str,
    out: Path,
    also: tuple[str, ...] = (),
    keep: Callable[[Row], None] | None = None,
    runtime: str = "onnx",
    submission: Path | None = None,
    naming: Naming | None = None,
    standard: str = "hadlock",
) -> Counter[str]:
    """Measure files and folders with a bundle into `out`; returns the number of rows by status.

    `keep` is called with each row, `submission` is a file that the caller writes afterwards; the others are those of
    `measure_files`.

    Raises:
      UserError: as `measure_files`, or nothing but DICOM without the package that reads it, or no frame has a spacing:
        before the work where no file can state one.
    """
    predictor = Predictor.from_bundle(folder, runtime)
    predictor.check_plane(plane, "--plane")
    found = find(paths, leave_out=out)
    _check_dicom_can_be_read(found.sources)
    if not any(spacings.may_give(source) or may_be_dicom(source) for source in found.sources):
        raise UserError(_without_spacing(spacings, found.sources))
    tally = Tally()
    with tqdm(total=len(found.sources), unit="frame") as bar:
        for row in measure_files(
            *(predictor, found.sources, spacings, plane, out, also, tell, paths),
            submission=submission,
            naming=naming,
            standard=standard,
        ):
            tally.add(row)
            if row["status"] == "error":
                tell(f"error: {row['reason']}")
            if keep:
                keep(row)
            bar.total += row["frame"] > 0  # the length of a cine is only known when it is read
            bar.update()
    if found.left_out:
        print(f"left out, as their names are not those of frames: {suffixes_in_words(found.left_out)}")
    if tally.with_examination:
        print(_of_examinations(out))
    print(f"{tally}. See {_written(out, tally)}. {NOT_CLINICAL}")
    if tally.frames and not tally.with_spacing:
        where = "the same --out may be used" if spacings.source == "none" else "give another --out too"
        raise UserError(f"no spacing in {amount(tally.frames, 'frame')}: {remedy(spacings)}; {where}")
    return tally.statuses


def _of_examinations(out: Path) -> str:
    """The counts of the examinations by status, and why the first one that is not measured is not: frames may be."""
    records = json.loads((out / EXAMINATIONS_JSON).read_text(encoding="utf-8"))
    counts = f"{amount(len(records), 'examination')}: {in_words(Counter(r['status'] for r in records))}"
    worst = sorted((r for r in records if r["status"] != "measured"), key=lambda r: r["status"] != "refused")
    if not worst:
        return counts
    why = next(iter(worst[0]["notes"]), "no head, abdomen or femur has a value")
    return f"{counts}; the first to look at is {worst[0]['examination']}: {why}"


def _written(out: Path, tally: Tally) -> str:
    """Name the files to look at; there are no overlays where no frame could be read."""
    names = [RESULTS, *([INDEX] if tally.with_examination else []), FIRST, OVERLAYS]
    *first, last = (str(out / name) for name in names if name != OVERLAYS or (out / name).is_dir())
    return f"{', '.join(first)} and {last}"


def tell(text: str) -> None:
    """Print a problem above a progress bar: on stderr, because `--quiet` closes stdout."""
    tqdm.write(text, file=sys.stderr)


def remedy(spacings: Spacings) -> str:
    """The remedy if no frame that was read has a spacing."""
    if spacings.source in ("flag", "csv"):  # a spacing was given, but the files contradict it
        return "the one that was given does not go with them: the reason of each row says why"
    return OR_RULER


def _check_dicom_can_be_read(sources: list[Source]) -> None:
    """Refuse nothing but DICOM where its package is missing, once; beside images, each such file has its row."""
    if find_spec("pydicom") is None and all(map(may_be_dicom, sources)):
        raise UserError(f"{amount(len(sources), 'file')} of DICOM: reading it needs pip install '.[dicom]'")


def _without_spacing(spacings: Spacings, sources: list[Source]) -> str:
    if spacings.source == "csv":
        return (
            f"--spacing-csv names none of {amount(len(sources), 'file')} with a spacing: {spacings.remedy(sources[0])}"
        )
    return f"no spacing in {amount(len(sources), 'file')}: {OR_RULER}"
