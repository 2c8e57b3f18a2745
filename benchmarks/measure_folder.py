"""What `fetal-jax measure` costs on this machine: a frame, a cold process, a folder, memory over many frames.

python benchmarks/measure_folder.py FRAMES... [--folder 1000] [--long 10000] [--out DIR]

FRAMES are images, such as HC18's (`../shared/data/hc18/training_set/*HC.png`); folders are made of links to them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TARGETS = {"median ms": 85, "95th percentile ms": 150, "cold s": 2.5, "frames/s": 15, "memory MB": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="+", type=Path)
    parser.add_argument("--one-by-one", type=int, default=200, help="frames that are timed singly")
    parser.add_argument("--folder", type=int, default=1000, help="frames of the folder that is timed; 0: none")
    parser.add_argument(
        "--long", type=int, default=10_000, help="frames of the folder whose memory is watched; 0: none"
    )
    parser.add_argument("--bundle", type=Path)
    args = parser.parse_args()
    bundle = [f"--bundle={args.bundle}"] if args.bundle else []
    with tempfile.TemporaryDirectory() as work:
        one_by_one(args.frames[: args.one_by_one], args.bundle)
        cold(args.frames[0], Path(work), bundle)
        if args.folder:
            folder(args.frames, args.folder, Path(work), bundle)
        if args.long:
            folder(args.frames, args.long, Path(work), bundle)


def one_by_one(frames: list[Path], bundle: Path | None) -> None:
    """From the file to millimetres in a warm process, and where the time goes."""
    from fetal_jax import bundle as bundles
    from fetal_jax.inference import Predictor
    from fetal_jax.outputs import overlay
    from fetal_jax.preprocess import to_grey
    from fetal_jax.reading.images import read_image

    predictor = Predictor.from_bundle(bundle or bundles.DEFAULT)
    frame = to_grey(read_image(frames[0]))
    predictor.measure(frame, 0.1, "head")
    parts: dict[str, list[float]] = {}

    def timed(name: str, work: object, *args: object) -> object:
        began = time.perf_counter()
        result = work(*args)  # type: ignore[operator]
        parts.setdefault(name, []).append(1e3 * (time.perf_counter() - began))
        return result

    for path in frames:
        grey = timed("decode", lambda path=path: to_grey(read_image(path)))
        timed("letterbox", predictor.letterbox, grey)
        seen = timed("network, with letterbox", predictor.predict, [grey], [0.1])[0]
        found = timed("outline and fit", predictor.measure_map, seen.probability, "head", grey.shape, 0.1)
        timed("overlay (not counted)", overlay.draw, grey, found, ["text"])
        timed("file to millimetres", lambda path=path: predictor.measure(to_grey(read_image(path)), 0.1, "head"))
    for name, times in parts.items():
        print(f"{name:26} median {np.median(times):6.1f} ms   95th percentile {np.percentile(times, 95):6.1f} ms")
    print(f"targets: {TARGETS['median ms']} and {TARGETS['95th percentile ms']} ms")


def cold(frame: Path, work: Path, bundle: list[str]) -> None:
    """A new process for one frame: to its row on the disk, and to its end."""
    times = []
    for i in range(5):
        out = work / f"cold{i}"
        first, _, _ = watched([frame], out, bundle)
        times.append(first)
    print(f"cold process to its first row: {np.median(times):.2f} s (target {TARGETS['cold s']})")


def folder(frames: list[Path], count: int, work: Path, bundle: list[str]) -> None:
    """A folder of `count` frames."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    study = linked(frames, count, work / "study")
    _, seconds, memory = watched([study], out, bundle)
    early, late = (np.max(memory[int(len(memory) * a) : int(len(memory) * b)]) for a, b in ((0.05, 0.2), (0.85, 1)))
    with (out / "measurements.csv").open(newline="") as f:
        rows = sum(1 for _ in csv.DictReader(f))
    print(
        f"folder of {rows} frames: {seconds:.0f} s, {rows / seconds:.1f} frames/s (target {TARGETS['frames/s']}); "
        f"memory {early:.0f} MB early, {late:.0f} MB late, at most {max(memory):.0f} MB (target {TARGETS['memory MB']})"
    )


def linked(frames: list[Path], count: int, study: Path) -> Path:
    """A new folder of `count` links to frames."""
    shutil.rmtree(study, ignore_errors=True)
    study.mkdir()
    for i in range(count):
        frame = frames[i % len(frames)].resolve()
        (study / f"{i:06d}{frame.suffix}").symlink_to(frame)
    return study


def watched(paths: list[Path], out: Path, bundle: list[str]) -> tuple[float, float, list[float]]:
    """(seconds to the first row on the disk, to the end, megabytes of the process and its children over time)."""
    command = [sys.executable, "-m", "fetal_jax.cli.main", "measure", *map(str, paths)]
    command += ["--plane=head", "--spacing-mm=0.1", f"--out={out}", *bundle]
    began, first, memory = time.perf_counter(), float("nan"), [0.0]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    table = out / "measurements.csv"
    while process.poll() is None:
        if np.isnan(first):
            if table.exists() and table.read_bytes().count(b"\n") > 1:
                first = time.perf_counter() - began
            time.sleep(0.005)
        else:
            memory.append(resident(process.pid))
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"measure ended with {process.returncode}")
    return first, time.perf_counter() - began, memory


def resident(pid: int) -> float:
    """Megabytes that a process and its children hold."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        pids = {pid} | {int(c) for t in threads for c in (t / "children").read_text().split()}
        return sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) * 4096 for p in pids) / 1e6
    except (OSError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
