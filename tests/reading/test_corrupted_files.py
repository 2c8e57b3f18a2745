"""Files that are not what they should be: no crash, no hang, little memory, and the good ones are all measured."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from tests import mutants
from tfds_builders.fetal_phantom.phantom import draw

GOOD = 10


def test_a_few_bad_files(tmp_path):
    run(tmp_path, 40)


def run(tmp_path: Path, count: int) -> dict[str, float]:
    """Measure `count` mutated files and ten good ones, and check what is promised (`benchmarks/mutants.py`)."""
    folder, out = tmp_path / "study" / "deep", tmp_path / "out"
    folder.mkdir(parents=True)
    head = draw("head", 1)
    mutants.write(folder, count, head.image)
    for i in range(GOOD):  # spread among the bad ones
        Image.fromarray(head.image).save(folder / f"m{i * count // GOOD:05d}_good.png")
    before = set(tmp_path.rglob("*escaped*"))
    peak, gap, done = watched(
        [
            *(sys.executable, "-m", "fetal_jax.cli.main", "measure", folder, "--plane=head"),
            *(f"--spacing-mm={head.spacing_mm}", "--also=sr,fhir", f"--out={out}"),
        ],
        out / "measurements.csv",
    )
    assert done.returncode == 3, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    with (out / "measurements.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    good = [r for r in rows if r["file"].endswith("_good.png")]
    assert len(good) == GOOD
    assert {r["hc_mm"] for r in good} == {good[0]["hc_mm"]}
    assert all(r["status"] == "measured" for r in good)
    assert all(r["reason"] for r in rows if r["status"] != "measured")
    assert all(out in path.parents for path in set(tmp_path.rglob("*escaped*")) - before)
    assert not Path("/tmp/escaped.png").exists()
    assert len(rows) >= count
    assert gap < 10
    assert peak < 2e9
    return {"rows": len(rows), "errors": sum(r["status"] == "error" for r in rows), "gap_s": gap, "peak_gb": peak / 1e9}


def watched(command: list[object], table: Path) -> tuple[int, float, subprocess.CompletedProcess[str]]:
    """(most bytes that the process and its children held, longest time without a new row in s, the process)."""
    folder = table.parent.parent
    with (folder / "stdout.txt").open("w") as stdout, (folder / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(list(map(str, command)), stdout=stdout, stderr=stderr)
        peak, gap, size, since = 0, 0.0, -1, time.monotonic()
        while process.poll() is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            now = table.stat().st_size if table.exists() else -1
            if now != size:
                size, since = now, time.monotonic()
            gap = max(gap, time.monotonic() - since)
            time.sleep(0.05)
    texts = [(folder / name).read_text() for name in ("stdout.txt", "stderr.txt")]
    return peak, gap, subprocess.CompletedProcess(command, process.returncode, *texts)


def family(pid: int) -> set[int]:
    """A process and its children, whichever of its threads started them."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return {pid} | {int(c) for t in threads for c in (t / "children").read_text().split()}
    except OSError:
        return {pid}


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0
