"""A measured frame in formats of other programs: DICOM SR (TID 5000, TID 1500) and SEG, FHIR."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path, PurePosixPath

from fetal_jax.errors import UserError
from fetal_jax.files import draft_of
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.sources import REPORTS, Source

KINDS = REPORTS
DICOM_KINDS = ("sr", "sr1500", "seg")
_MODULES = {"sr": "structured_report", "sr1500": "measurement_report", "seg": "segmentation", "fhir": "fhir"}


def check(kinds: tuple[str, ...]) -> None:
    """Refuse kinds whose packages are not installed.

    Raises:
      UserError: names the package, and the command that installs it.
    """
    for kind in set(DICOM_KINDS) & set(kinds):
        for package in ("pydicom", "highdicom"):
            try:
                import_module(package)
            except ImportError:
                raise UserError(f"--also={kind} needs {package}: pip install '.[dicom]'") from None


def name(kind: str, picture: str) -> str:
    """Path of a report, relative to the results folder: `sr/NAME.dcm` for the picture `overlays/NAME.png`."""
    return f"{kind}/{PurePosixPath(picture).stem}{'.dcm' if kind in DICOM_KINDS else '.json'}"


def write(kind: str, source: Source, row: Row, claim: Callable[[str], Path]) -> None:
    """Write a measured row as one of `KINDS`; atomic.

    Args:
      kind: the format.
      source: the file that was measured.
      row: its row, or that of the best frame.
      claim: gives the path of a file that may be written (`OwnFiles.claim`).

    Raises:
      UserError: the kind needs a DICOM file and this is none, or its header lacks something that the kind requires.
    """
    module = import_module(f"fetal_jax.outputs.{_MODULES[kind]}")  # importing highdicom takes a second
    writer: Callable[[Source, Row, Path], None] = module.write
    path = claim(name(kind, row["overlay"]))
    draft = draft_of(path)
    try:
        writer(source, row, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
