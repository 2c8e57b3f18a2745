"""`fetal-jax cohort DIR --out=FILE.html`"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from fetal_jax.errors import NOT_CLINICAL, UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="results of fetal-jax archive or measure")
    reports = "scanners' DICOM SR (TID 5000, 1500), to compare with our values"
    parser.add_argument("--scanner-reports", type=Path, metavar="DIR", help=reports)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the report: one file")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Write the report and print its first lines."""
    from fetal_jax.archive.cohort import report

    if args.out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out={args.out} is not an HTML file: give FILE.html")
    if args.out.exists() and f"<title>{report.TITLE}</title>".encode() not in args.out.read_bytes()[:2000]:
        raise UserError(f"{args.out} exists and is not a report of this program: give another --out")
    flags = [f"--scanner-reports={args.scanner_reports}"] if args.scanner_reports else []
    command = shlex.join(["fetal-jax", "cohort", str(args.folder), *flags, f"--out={args.out}"])
    print("\n".join(report.write(args.folder, args.out, command, args.scanner_reports)))
    print(f"See {args.out}. {NOT_CLINICAL}")
