"""Commands, files, links and Python examples of README.md, docs/ and launch/README.md are right."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fetal_jax import config as configs
from fetal_jax.cli import main
from fetal_jax.outputs.rows import COLUMNS
from tests.support import ROOT

RESULTS = ROOT / "benchmarks/RESULTS.md"  # the same tables for each processor
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "launch/README.md")),
    RESULTS,
    *sorted((ROOT / "docs").glob("*.md")),
]
TEXT = "\n".join(p.read_text() for p in PAGES)


def code_lines(prefix: str) -> list[str]:
    """Lines of the code blocks that begin with `prefix`, continuation lines joined, without comments."""
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```", TEXT)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines = [re.split(r"\s#|\s{4,}(?=[^-\s])", line)[0].strip() for line in lines]  # a comment, or words after a gap
    return sorted({line for line in lines if line.startswith(prefix)})


@pytest.mark.parametrize("call", code_lines("make ") + sorted(set(re.findall(r"`(make [a-z0-9]+[^`]*)`", TEXT))))
def test_make_knows_its_targets(call):
    subprocess.run(["make", "--dry-run", *shlex.split(call)[1:]], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("call", code_lines("fetal-jax "))
def test_commands_are_parsed(call, monkeypatch):
    _, command, *arguments = shlex.split(call)
    assert command in main.COMMANDS, call
    given = []

    def run(args, overrides):
        given.append((args, overrides))

    monkeypatch.setattr(importlib.import_module(f"fetal_jax.cli.{command}"), "run", run)
    assert main.main([command, *arguments]) == 0
    ((args, overrides),) = given
    if command == "train":
        configs.check(configs.load(str(args.config), [o for o in overrides if "init.bundle" not in o]))


@pytest.mark.parametrize("call", code_lines("launch/") + code_lines("sbatch "))
def test_launch_files_dry_run(call):
    words = shlex.split(call.removeprefix("sbatch --nodes=2 "))
    done = subprocess.run([words[0], "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_page_has_commands_that_are_tested():
    assert len(code_lines("fetal-jax ")) > 20
    assert len(code_lines("launch/")) >= 3


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:benchmarks|configs|launch|docs|tests|fetal_jax)/[\w/]+(?:\.\w+)+", TEXT)))
)
def test_files_are_there(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_rooms_of_the_readme_are_there():
    rows = (ROOT / "README.md").read_text().partition("## Where things are")[2].partition("## Licence")[0]
    named = {name for cell in re.findall(r"(?m)^\| (`.*?) \|", rows) for name in re.findall(r"`([\w/.]+)`", cell)}
    package = ROOT / "fetal_jax"
    for name in named:
        assert (ROOT / name).exists() or (package / name).exists(), name
    rooms = {p.name for p in package.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert rooms <= {Path(name).name for name in named}


EXAMPLES = [
    pytest.param(code, id=f"{page.name}-{i}")
    for page in PAGES
    for i, code in enumerate(re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text()))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_run_as_they_are(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_import_what_a_module_defines_or_exports(code):
    """A strict type checker refuses a name that a module has only imported for itself."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fetal_jax"):
            module = importlib.import_module(node.module)
            for name in {alias.name for alias in node.names} - {*getattr(module, "__all__", ())}:
                assert getattr(getattr(module, name), "__module__", node.module) == node.module, name


def test_every_benchmark_is_run_by_make_bench_or_named_beside_its_figures():
    bench = (ROOT / "benchmarks" / "bench.py").read_text()
    pages = TEXT + (ROOT / "tfds_builders" / "fetal_planes" / "README.md").read_text()
    for path in (ROOT / "benchmarks").glob("*.py"):
        contestant = re.search(r"from rounds import .*\bcompete\b", path.read_text()) or path.stem.startswith("torch_")
        run = f'"{path.stem}": "' in bench
        assert path.stem in ("bench", "rounds") or contestant or run or f"benchmarks/{path.name}" in pages, path


def test_the_page_names_the_places_of_the_columns_that_a_reader_needs_first():
    text = (ROOT / "docs" / "inference.md").read_text()
    assert ",".join(COLUMNS[:4]) == "file,frame,status,plane"
    assert f"`{','.join(COLUMNS[:4])}`" in text
    assert f"`reason` is the {COLUMNS.index('reason') + 1}th column" in text


@pytest.mark.parametrize("page", sorted({*PAGES, ROOT / "CHANGELOG.md"} - {RESULTS}), ids=lambda page: page.name)
def test_no_page_says_a_paragraph_twice(page):  # as an edit by a script once left docs/experiments.md
    paragraphs = [text for text in re.split(r"\n\s*\n", page.read_text()) if len(text) > 100]
    assert len(paragraphs) == len(set(paragraphs))


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
