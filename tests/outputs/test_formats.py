"""The formats for other programs: names, and packages that are not installed."""

from __future__ import annotations

import errno
import resource
import sys
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest

from fetal_jax.errors import UserError
from fetal_jax.outputs import formats, segmentation, structured_report
from fetal_jax.outputs.dicom_parts import header_of
from fetal_jax.reading.sources import Source
from tests.outputs.test_status import MEASURED_ROW, PIXELS
from tests.support.dicom_files import save, ultrasound


def test_only_dicom_kinds_need_the_dicom_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    formats.check(("svg", "fhir"))
    for kind in ("sr", "sr1500", "seg"):
        with pytest.raises(UserError, match=f"--also={kind} needs highdicom"):
            formats.check(("fhir", kind))


def test_names_are_those_of_the_pictures():
    names = [formats.name(kind, "overlays/head_0007.png") for kind in formats.KINDS]
    dicom = [f"{kind}/head_0007.dcm" for kind in ("seg", "sr", "sr1500")]
    assert sorted(names) == ["fhir/head_0007.json", *dicom]


def test_a_full_disk_is_said_without_a_traceback(tmp_path):
    large = np.zeros((600, 800), np.uint8)  # more than a file holds back until it is closed
    source = Source(save(ultrasound(large), tmp_path / "head.dcm"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as failed:
            segmentation.write(source, MEASURED_ROW, tmp_path / "seg.dcm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.errno == errno.EFBIG
    assert "Traceback" not in str(failed.value)


def test_two_kinds_of_objects_never_share_a_series_number(tmp_path):
    """Viewers list series by number: a SEG among the signed reports is not found."""
    source = Source(save(ultrasound(PIXELS), tmp_path / "head.dcm"))
    made = {kind: tmp_path / f"{kind}.dcm" for kind in formats.DICOM_KINDS}
    for kind, path in made.items():
        formats.write(kind, source, MEASURED_ROW | {"overlay": "overlays/head.png"}, lambda _, path=path: path)
    header = header_of(source)
    made["signed sr"] = tmp_path / "signed.dcm"
    root = structured_report.content(header, MEASURED_ROW)
    structured_report.sign(made["signed sr"], [header], root, 1, "Smith^Ann", datetime.now(UTC), None, None)
    numbers = {kind: pydicom.dcmread(path).SeriesNumber for kind, path in made.items()}
    assert len(set(numbers.values())) == len(numbers) == 4, numbers
