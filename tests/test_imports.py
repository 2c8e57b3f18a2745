"""Imports go one way: each floor only from those below it, and the first four without JAX."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = [
    {"errors", "lock", "notice", "places", "geometry", "planes"},
    {"preprocess", "images", "biometry", "growth", "metrics", "bundle", "recipe"},
    {"reading"},
    {"inference"},
    {"model", "ops", "cpu", "targets", "sharding", "distributed"},
    {"losses", "data", "checkpoints", "onnx_graph", "plan", "training_log"},
    {"validation", "sononet"},
    {"train", "export"},
    {"evaluation"},
    {"cli"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
WITHIN = {("model", "ops"), ("ops", "cpu"), ("preprocess", "images"), ("export", "train"), ("train", "export")}
"""Edges between two rooms of one floor."""
HEAVY = {"jax", "flax", "optax", "orbax", "grain", "tensorflow_datasets", "onnx", "tensorboardX", "matplotlib", "cv2"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def room(dotted: str) -> str:
    return dotted.split(".")[1]


@pytest.mark.parametrize("path", files("fetal_jax"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_stands_on_those_below_it(path):
    relative = path.relative_to(ROOT / "fetal_jax")
    here = relative.parts[0].removesuffix(".py")
    if here == "__init__":
        return
    for name in imports(path):
        if not name.startswith("fetal_jax."):
            continue
        there = room(name)
        if there == here or (here, there) in WITHIN:
            continue
        assert FLOOR[there] < FLOOR[here], f"{relative} imports {name}"


@pytest.mark.parametrize("path", files("tfds_builders"), ids=lambda p: str(p.relative_to(ROOT)))
def test_builders_stand_on_the_first_two_floors(path):
    for name in imports(path):
        if name.startswith("fetal_jax."):
            assert FLOOR[room(name)] <= 1, f"{path.name} imports {name}"


def test_partition_specs_live_in_one_file():
    users = {p.name for p in files("fetal_jax") if "PartitionSpec" in p.read_text()}
    assert users == {"sharding.py"}


def test_the_first_four_floors_load_without_jax():
    rooms = sorted({r for level in FLOORS[:4] for r in level} - {"recipe"})
    code = (
        "import sys\n"
        f"for name in {sorted(HEAVY)}: sys.modules[name] = None\n"
        f"for room in {rooms}: __import__('fetal_jax.' + room)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_measuring_loads_with_what_pip_install_brings():
    """Neither what the extras bring, nor what that brings."""
    code = (
        "import sys\n"
        f"for name in {sorted(HEAVY | {'etils', 'ml_collections', 'pydicom', 'fcntl'})}: sys.modules[name] = None\n"
        "import fetal_jax.cli.measure, fetal_jax.cli.growth\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
