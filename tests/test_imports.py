"""Imports go one way, without a circle; nothing above the JAX line loads JAX or packages of the `train` extra."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

ABOVE_JAX = (
    *("errors", "files", "geometry", "planes", "preprocess", "bundle", "config"),
    *("biometry", "growth", "reading", "inference", "outputs", "results", "view", "archive"),
)
HEAVY = {"jax", "flax", "optax", "orbax", "grain", "tensorflow_datasets", "onnx", "tensorboardX", "matplotlib", "cv2"}
ON_DEMAND = {
    "fetal_jax.inference.runtimes": {"jax"},
    "fetal_jax.growth.chart": {"matplotlib"},
    "fetal_jax.archive.cohort.plots": {"matplotlib"},
}
"""The JAX runtime, imported inside its function, and the charts, modules that are imported only to draw."""
UNDER_BUILDERS = {"errors", "files", "geometry", "planes", "preprocess", "biometry", "growth", "reading"}


def modules(folder: str) -> dict[str, Path]:
    """Modules of a package by dotted name."""
    paths = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in (ROOT / folder).rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, anywhere in it, functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return frozenset(names)


def edges(known: dict[str, Path]) -> dict[str, set[str]]:
    """Modules of the same package that each module imports."""
    graph = {}
    for name, path in known.items():
        targets = set()
        for dotted in imports(path):
            while dotted and dotted not in known:
                dotted = dotted.rpartition(".")[0]
            targets.add(dotted)
        graph[name] = targets - {name, "", "fetal_jax"}
    return graph


def room_of(name: str) -> str:
    """The room of a module: the folder or the single file below `fetal_jax`."""
    return name.split(".")[1] if "." in name else name


def between_rooms(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Rooms that each room imports."""
    rooms: dict[str, set[str]] = {}
    for name, targets in graph.items():
        rooms.setdefault(room_of(name), set()).update(map(room_of, targets))
    return {name: targets - {name} for name, targets in rooms.items()}


@pytest.mark.parametrize("of", [edges, lambda known: between_rooms(edges(known))], ids=["modules", "rooms"])
def test_no_circle(of):
    tuple(TopologicalSorter(of(modules("fetal_jax"))).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("room", ABOVE_JAX)
def test_rooms_above_the_line_import_nothing_heavy(room):
    known = modules("fetal_jax")
    for name, path in known.items():
        if name == f"fetal_jax.{room}" or name.startswith(f"fetal_jax.{room}."):
            heavy = {dotted.partition(".")[0] for dotted in imports(path)} & HEAVY
            assert heavy <= ON_DEMAND.get(name, set()), name


def test_builders_import_rooms_without_jax():
    for path in modules("tfds_builders").values():
        rooms = {dotted.split(".")[1] for dotted in imports(path) if dotted.startswith("fetal_jax.")}
        assert rooms <= UNDER_BUILDERS, path


def test_tests_and_benchmarks_do_not_import_each_other():
    for path in modules("benchmarks").values():
        tests = {dotted for dotted in imports(path) if dotted.startswith("tests.")}
        assert all(dotted.startswith("tests.support") for dotted in tests), path
    for path in modules("tests").values():
        assert not any(dotted.startswith("benchmarks.") for dotted in imports(path)), path


def test_partition_specs_live_in_one_file():
    users = {path.name for path in modules("fetal_jax").values() if "PartitionSpec" in path.read_text()}
    assert users == {"sharding.py"}


def blocked(names: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process where these packages cannot be imported."""
    code = f"import sys\nfor name in {sorted(names)}: sys.modules[name] = None\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_rooms_above_the_line_load_without_jax():
    names = [n for n in modules("fetal_jax") if n.split(".")[1:2] and n.split(".")[1] in ABOVE_JAX]
    names.remove("fetal_jax.growth.chart")
    names.remove("fetal_jax.archive.beam")
    names.remove("fetal_jax.archive.cohort.plots")
    done = blocked(HEAVY, f"for name in {names}: __import__(name)")
    assert done.returncode == 0, done.stderr


def test_measuring_loads_with_the_base_installation():
    """No extra and no dependency of an extra is imported."""
    names = HEAVY | {"etils", "ml_collections", "pydicom", "fcntl"}
    done = blocked(names, "import fetal_jax.cli.measure, fetal_jax.cli.growth")
    assert done.returncode == 0, done.stderr
