"""The formats for other programs: names, and packages that are not installed."""

from __future__ import annotations

import sys

import pytest

from fetal_jax.errors import UserError
from fetal_jax.outputs import formats


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
