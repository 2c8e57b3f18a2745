"""No installed package that this one brings along is under the GPL or AGPL."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from tests.support import ROOT

COPYLEFT = re.compile(r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)
EXCEPTION = re.compile(r"[AL]?GPL-\S+ WITH GCC-exception\S*|GPL-\S+-with-GCC-exception", re.IGNORECASE)
"""The runtime libraries of GCC inside NumPy's and SciPy's wheels may be linked by anything."""
UNSTATED = {"axe-playwright-python"}
"""Metadata name no licence; its LICENSE file is MIT, and axe-core's MPL-2.0."""


def brought() -> dict[str, Distribution]:
    """Installed packages that any extra brings, directly or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    queue = [Requirement(r) for r in wanted]
    found: dict[str, Distribution] = {}
    while queue:
        requirement = queue.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found or name == "fetal-jax":
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # an extra that is not installed here
            continue
        for line in found[name].requires or ():
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(needed)
    return found


def licence(package: Distribution) -> str:
    """What a package's metadata say: the expression, else the classifiers and the first line of the text."""
    meta = package.metadata
    if expression := meta.get("License-Expression"):
        return EXCEPTION.sub("", expression)
    classifiers = [c for c in meta.get_all("Classifier") or () if c.startswith("License ::")]
    return "; ".join([*classifiers, (meta.get("License") or "").strip().split("\n")[0]]).strip("; ")


def test_no_installed_package_is_under_the_gpl():
    packages = brought()
    assert {"numpy", "pydicom", "python-gdcm", "jax"} <= set(packages)
    said = {name: licence(package) for name, package in packages.items()}
    assert {name: text for name, text in said.items() if COPYLEFT.search(text)} == {}
    assert {name for name, text in said.items() if not text} <= UNSTATED


def test_the_gpl_is_recognised():
    for text in ("GPL-3.0-or-later", "AGPL-3.0", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"):
        assert COPYLEFT.search(text)
    for text in (
        "LGPL-2.1",
        "GNU Lesser General Public License",
        "BSD-3-Clause",
        EXCEPTION.sub("", "BSD AND GPL-3.0-or-later WITH GCC-exception-3.1"),
    ):
        assert not COPYLEFT.search(text)


def test_the_gpl_decoder_of_pylibjpeg_is_no_dependency():
    assert "libjpeg" not in (ROOT / "pyproject.toml").read_text()
