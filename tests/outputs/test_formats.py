"""The formats for other programs: names, and packages that are not installed."""

from __future__ import annotations

import sys

import pytest

from fetal_jax.errors import UserError
from fetal_jax.outputs import formats


def test_only_dicom_kinds_need_the_dicom_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    formats.check(("svg", "fhir"))
    for kind in ("sr", "seg"):
        with pytest.raises(UserError, match=f"--also={kind} needs highdicom"):
            formats.check(("fhir", kind))


def test_names_are_those_of_the_pictures():
    names = [formats.name(kind, "overlays/head_0007.png") for kind in formats.KINDS]
    assert sorted(names) == ["fhir/head_0007.json", "seg/head_0007.dcm", "sr/head_0007.dcm"]
