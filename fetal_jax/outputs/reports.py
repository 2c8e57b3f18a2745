"""A measured frame in the forms that other programs read: DICOM SR and SEG, FHIR."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from fetal_jax.outputs.results import Row
from fetal_jax.reading.sources import REPORTS, Source

KINDS = REPORTS
_MODULES = {"sr": "structured_report", "seg": "segmentation", "fhir": "fhir"}


def write(kind: str, source: Source, row: Row, out: Path) -> None:
    """Write a measured row as one of `KINDS` into `out/KIND/`.

    Raises:
      UserError: the file is no DICOM, where the kind needs one, or lacks what the kind must say.
    """
    module = import_module(f"fetal_jax.outputs.{_MODULES[kind]}")  # highdicom takes a second: only where asked for
    (out / kind).mkdir(exist_ok=True)
    writer: Callable[[Source, Row, Path], None] = module.write
    writer(source, row, out / kind / Path(row["overlay"]).name)
