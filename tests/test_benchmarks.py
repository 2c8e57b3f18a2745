"""Alternating rounds and FLOP counts of the benchmarks; memory that a training process keeps."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fetal_jax import config as recipe
from fetal_jax.data.source import Frame, Split
from fetal_jax.geometry import Ellipse
from fetal_jax.model import unet
from fetal_jax.reading.images import write_png
from tests.support import ROOT


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.mark.usefixtures("benchmarks")
def test_contestants_take_turns(tmp_path):
    import rounds

    contestant = tmp_path / "contestant.py"
    contestant.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "from rounds import compete\n"
        "log = open(sys.argv[2], 'ab', buffering=0)\n"
        "compete({'name': sys.argv[1]}, lambda: log.write(sys.argv[1].encode()))\n"
    )
    log = tmp_path / "log"
    commands = {name: [sys.executable, str(contestant), name, str(log)] for name in "ab"}
    results = rounds.alternate(commands, 3)
    assert log.read_text() == "abbaab"
    assert all(len(r.seconds) == 3 and r.facts["name"] == name for name, r in results.items())
    assert all(5 < r.facts["peak_mb"] < 100 for r in results.values())
    broken = [sys.executable, "-c", "raise SystemExit(5)"]
    with pytest.raises(SystemExit, match="b ended with 5"):
        rounds.alternate({"a": commands["a"], "b": broken}, 1)


@pytest.mark.usefixtures("benchmarks")
def test_flops_equal_a_count_by_hand():
    import jax_unet

    config = recipe.defaults()
    config.model.update({"width": 4, "multipliers": (1, 2), "depths": (1, 1), "stem": 1})
    network = unet.from_config(config.model, 3)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 1), jnp.uint8))["params"]
    params = jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), shapes)
    whole, quarter = 8 * 16, 4 * 8
    down = whole * 9 * 1 * 4 + quarter * 9 * 4 * 8
    up = quarter * 8 * 4 * 4 + whole * 9 * (8 * 4 + 4 * 4)
    assert jax_unet.flops(network, params, (8, 16)) == 2 * (down + up + whole * 4 * 1 + 8 * 3)
    convolutions = whole * (1 + 4) + quarter * (4 + 8) + whole * (8 + 4 + 4 + 4)
    others = quarter * (8 + 16) + whole * (4 + 1) + 8 + 3  # up-sampling, map, plane
    assert jax_unet.moved(network, params, (8, 16)) == 3 * 4 * (convolutions + others)


@pytest.mark.usefixtures("benchmarks")
def test_accelerator_goes_on_after_a_part_that_fails_or_hangs(tmp_path):
    import accelerator

    def run(code, limit=20.0):
        return accelerator.bounded([sys.executable, "-c", code], "part", tmp_path, limit, {"PATH": ""})

    assert run("print('a log'); print('{\"frames\": 3}'); print('a warning at the exit')") == {"frames": 3}
    assert run("print('nothing')") == {"error": "no result; its last line: nothing"}
    assert run("raise SystemExit('no GPU')") == {"error": "exit code 1; its last line: no GPU"}
    hangs = run("import time; print('compiling', flush=True); time.sleep(60)", limit=2.0)
    assert hangs == {"error": "stopped after 2 s; its last line: compiling"}


@pytest.mark.usefixtures("benchmarks")
def test_accelerator_refuses_a_curve_beyond_rounding():
    import accelerator

    right = {"cpu": [1.0, 0.5], "float32": [1.0, 0.5 + 1e-6], "tf32": [1.001, 0.5], "bfloat16": [1.01, 0.5]}
    assert "error" not in accelerator.verdict(right)
    wrong = accelerator.verdict(right | {"float32": right["tf32"]})  # TF32 in place of float32
    assert "float32 is off by 1.0e-03" in wrong["error"]
    later = {way: [*curve, *curve * accelerator.COMPARED] for way, curve in right.items()}
    later["float32"][accelerator.COMPARED] *= 1.01  # curves part in the end
    assert "error" not in accelerator.verdict(later)
    assert "bfloat16 is off by nan" in accelerator.verdict(right | {"bfloat16": [1.0, float("nan")]})["error"]


@pytest.mark.usefixtures("benchmarks")
def test_smaller_copies_keep_millimetres(tmp_path):
    import accelerator_data

    image = np.zeros((60, 100), np.uint8)
    image[20:40, 30:80] = 200
    head = Frame(image, "head", "ellipse", Ellipse(55, 30, 25, 10, 0.0), 0.5, {"hc_mm": 60.0}, "s", "head.png", "m")
    nobody = Frame(image, None, "unknown", None, None, {}, "t", "other.png")
    accelerator_data.write("folder/own", tmp_path, {"train": accelerator_data.shrunk([head, nobody], 50)})
    split = Split("folder/own", "train", tmp_path)
    again = {"train": accelerator_data.shrunk(split, 50)}  # a split is no iterator; a copy of a copy is the same
    accelerator_data.write("folder/twice", tmp_path, again)
    split = Split("folder/twice", "train", tmp_path)
    small, unknown = sorted((split[i] for i in range(2)), key=lambda frame: frame.filename)
    assert small.image.shape == (30, 50)
    assert small.image[10:20, 15:40].min() > 150 > 50 > small.image[:8].max()
    np.testing.assert_allclose(np.asarray(small.shape), [27.5, 15, 12.5, 5, 0])
    assert (small.spacing_mm, small.truth_mm, small.filename, small.device) == (1.0, {"hc_mm": 60.0}, "head.png", "m")
    assert (unknown.plane, unknown.geometry, unknown.spacing_mm) == (None, "unknown", None)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    code = (
        "import ctypes, resource, sys\n"
        "if sys.argv[1] == 'keep':\n"
        "    from fetal_jax.model import cpu; cpu.keep_freed_memory()\n"
        "c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p\n"
        "def use():\n"
        "    p = ctypes.c_void_p(c.malloc(64 << 20)); ctypes.memset(p, 1, 64 << 20); c.free(p)\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "use(); before = faults(); use(); print(faults() - before)\n"
    )
    said = {way: subprocess.check_output([sys.executable, "-c", code, way], text=True) for way in ("keep", "plain")}
    assert int(said["keep"]) < 100 < int(said["plain"])


@pytest.mark.usefixtures("benchmarks")
def test_spoilt_frames_are_counted_by_kind_and_plane(monkeypatch):
    import spoilt

    from fetal_jax.evaluation.cases import Case

    asked = []
    monkeypatch.setattr(spoilt, "case_of", lambda *given: asked.append((given[3], given[4], given[2].plane)) or [])

    network = SimpleNamespace(predict=lambda *_: [None])
    for i in range(18):
        assert list(spoilt.spoilt(network, i)) == []
    assert {(kind, shown) for kind, _, shown in asked} == {(k, p) for k in spoilt.KINDS for p in spoilt.PLANES}
    assert all((shown != plane) == (kind == "wrong plane") for kind, plane, shown in asked)

    given = dict.fromkeys(spoilt.score.INPUTS, 0.01)
    sure = {"head": 0.98, "other": 0.02}

    def head(kind, width, off):
        return Case("drawn", "s", "f.png", kind, "head", sure, (), given | {"width": width}, off)

    cases = [head("blur", 0.01, 0.0)] * 3 + [head("blur", 0.01, 0.2), head("cut", 0.3, 0.2), head("cut", 0.3, 0.0)]
    model = {"inputs": ["width"], "weights": [1.0], "bias": 2.3}
    rules = {"head": {"data": "x", "score": model, "limit": 0.5}}
    lines = spoilt.outcomes(cases, rules)
    assert "| blur | head | 3 | 3 | 4 | 1 | 25.0 %, 80.6 % |" in lines  # Clopper-Pearson of 1 of 4
    assert "| cut | head | 1 | 0 | 0 | 0 |  |" in lines
    assert "| all | all | 4 | 3 | 4 | 1 | 25.0 %, 80.6 % |" in lines
    (row,) = [line for line in spoilt.ranking(cases, rules) if line.startswith("| HC")]
    pairs = [(a > b) + (a == b) / 2 for a in (0, 1) for b in (0, 0, 0, 1)]  # wrong against right, by width
    assert row.startswith(f"| HC | 6 | 6 | 2 | {sum(pairs) / len(pairs):.3f} |")
    assert any(line.startswith("| 0.7 to 1 | head | 2 |") and line.endswith("| 0.500 |") for line in
               spoilt.calibration(cases, rules))  # fmt: skip


@pytest.mark.usefixtures("benchmarks")
def test_the_readme_keeps_the_columns_of_other_processors():
    import bench

    table = (ROOT / "README.md").read_text().split(bench.MARKS[0])[1].split(bench.MARKS[1])[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    column = {row[0]: f"{i} / 2" for i, row in enumerate(rows[2:])}
    once = bench.with_column(table, "Other, AVX-512", dict.fromkeys(column, "old"))
    twice = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in bench.with_column(once, "Other, AVX-512", column).splitlines()
    ]
    assert [row[:-1] for row in twice] == rows
    assert [row[-1] for row in twice] == ["Other, AVX-512", "---", *column.values()]


@pytest.mark.usefixtures("benchmarks")
def test_a_worker_without_a_reader_is_no_reader_of_its_parent():
    """Two workers of 80 MB that have no reading process, as at their start and end, are not added to the command's."""
    import archive

    worker = "import time; held = b'x' * 80_000_000; time.sleep(1.5)"
    command = (
        "import subprocess, sys\n"
        f"workers = [subprocess.Popen([sys.executable, '-c', {worker!r}]) for _ in range(2)]\n"
        "sys.exit(3 if [w.wait() for w in workers] == [0, 0] else 1)\n"
    )
    assert 80 < max(archive.watched([sys.executable, "-c", command])) < 140


@pytest.mark.usefixtures("benchmarks")
def test_margins_of_folders_are_counted_and_the_frames_named(tmp_path, monkeypatch, capsys):
    import margin

    frame = np.random.default_rng(0).integers(0, 255, (100, 120), dtype=np.uint8)
    (tmp_path / "more").mkdir()
    write_png(tmp_path / "1_HC.png", frame)
    write_png(tmp_path / "more" / "shot.png", np.pad(frame, 25, constant_values=200))
    write_png(tmp_path / "1_HC_Annotation.png", np.pad(frame, 50, constant_values=200))
    monkeypatch.setattr(sys, "argv", ["margin.py", str(tmp_path)])
    margin.main()
    named, counted = capsys.readouterr().out.splitlines()
    assert named == str(tmp_path / "more" / "shot.png")
    assert counted == "1 of 2 frames have a margin; the deepest one is 16.7 % of a side (shot.png)"


def test_the_measuring_step_without_a_prepared_set_says_how_to_prepare_it(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "biometry.py"), "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"or run fetal-jax prepare hc18/benchmark --data-dir={tmp_path}")
    assert "Traceback" not in done.stderr
