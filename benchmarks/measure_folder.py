"""Cost of `fetal-jax measure` on this machine: a frame, a new process, a folder, memory over many frames.

python benchmarks/measure_folder.py FRAMES... [--folder 300 10000] [--bundle BUNDLE]

FRAMES are images, such as HC18's (`training_set/*HC.png`). Folders are made of links to them. A new process of `heads`
takes turns with one of PyTorch and OpenCV, where those are installed (`make bench`).
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rounds import FETAL_JAX, PEER, parser, peer


def main() -> None:
    options = parser(__doc__)
    options.add_argument("frames", nargs="+", type=Path)
    options.add_argument("--one-by-one", type=int, default=200, help="frames that are timed one by one")
    options.add_argument("--folder", type=int, nargs="*", default=[300], help="frames of each folder that is timed")
    options.add_argument("--processes", type=int, default=7, help="new processes that are timed")
    options.add_argument("--bundle", help="a shipped bundle or a folder")
    args = options.parse_args()
    bundle = [f"--bundle={args.bundle}"] if args.bundle else []
    with tempfile.TemporaryDirectory() as work:
        one_by_one(args.frames[: args.one_by_one], args.bundle)
        new_processes(args.frames[0], Path(work), args.processes)
        for count in args.folder:
            folder(args.frames, count, Path(work), bundle)


def one_by_one(frames: list[Path], name: str | None) -> None:
    """Print the times of the parts, and from the file to millimetres, in a warm process."""
    from fetal_jax import bundle
    from fetal_jax.inference import Predictor
    from fetal_jax.outputs import overlay
    from fetal_jax.preprocess import to_grey
    from fetal_jax.reading.images import read_image

    predictor = Predictor.from_bundle(bundle.find(name) if name else bundle.DEFAULT)
    predictor.measure(to_grey(read_image(frames[0])), 0.1, "head")
    parts: dict[str, list[float]] = {}

    def timed(part: str, work: Callable[..., Any], *args: Any) -> Any:
        began = time.perf_counter()
        result = work(*args)
        parts.setdefault(part, []).append(1e3 * (time.perf_counter() - began))
        return result

    for path in frames:
        grey = timed("decode", lambda path=path: to_grey(read_image(path)))
        timed("letterbox", predictor.letterbox, grey)
        seen = timed("first look, with letterbox", predictor.predict, [grey], [0.1])[0]
        result = timed("second look, outline, score", predictor.result, seen, grey, 0.1, "head")
        timed("overlay (not counted)", overlay.draw, grey, result.measurement, ["text"])
        timed("file to millimetres", lambda path=path: predictor.measure(to_grey(read_image(path)), 0.1, "head"))
    for part, times in parts.items():
        spread = f"median {np.median(times):6.1f} ms   95th percentile {np.percentile(times, 95):6.1f} ms"
        print(f"{part:28} least {min(times):6.1f} ms   {spread}")


def new_processes(frame: Path, work: Path, rounds: int) -> None:
    """Print the seconds of a process from its call to its end, one frame measured, ours with overlay and tables."""
    times: dict[str, list[float]] = {"fetal-jax measure": []} | ({"PyTorch, OpenCV": []} if PEER.exists() else {})
    for i in range(rounds):
        for name in sorted(times, reverse=i % 2 == 1):
            began = time.perf_counter()
            if name == "fetal-jax measure":
                watched([frame], work / f"new{i}", ["--bundle=heads"])
            else:
                subprocess.run(peer("torch_measure.py", str(frame)), check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    for name, seconds in times.items():
        print(f"new process, one frame, {name}: median {np.median(seconds):.2f} s, least {min(seconds):.2f} s")


def folder(frames: list[Path], count: int, work: Path, bundle: list[str]) -> None:
    """Print the time and the memory of a folder of `count` frames."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    seconds, memory = watched([linked(frames, count, work / "study")], out, bundle)
    early, late = max(memory[: len(memory) // 5 + 1]), max(memory[-len(memory) // 5 :])
    with (out / "measurements.csv").open(newline="") as f:
        rows = sum(1 for _ in csv.DictReader(f))
    print(
        f"folder of {rows} frames: {seconds:.0f} s, {rows / seconds:.1f} frames/s; "
        f"memory {early:.0f} MB early, {late:.0f} MB late, at most {max(memory):.0f} MB"
    )


def linked(frames: list[Path], count: int, study: Path) -> Path:
    """Make a folder of `count` links to frames."""
    shutil.rmtree(study, ignore_errors=True)
    study.mkdir()
    for i in range(count):
        frame = frames[i % len(frames)].resolve()
        (study / f"{i:06d}{frame.suffix}").symlink_to(frame)
    return study


def watched(paths: list[Path], out: Path, bundle: list[str]) -> tuple[float, list[float]]:
    """(seconds of `fetal-jax measure`, megabytes of the process and its children over time)."""
    command = [*FETAL_JAX, "measure", *map(str, paths)]
    command += ["--plane=head", "--spacing-mm=0.1", f"--out={out}", *bundle]
    began, memory = time.perf_counter(), [0.0]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        memory.append(resident(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"measure ended with {process.returncode}")
    return time.perf_counter() - began, memory


def resident(pid: int) -> float:
    """Megabytes that a process and its children hold."""
    try:
        children = (thread / "children" for thread in Path(f"/proc/{pid}/task").iterdir())
        pids = {pid} | {int(child) for file in children for child in file.read_text().split()}
        return sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) * 4096 for p in pids) / 1e6
    except (OSError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
