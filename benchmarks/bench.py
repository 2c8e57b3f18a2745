"""Every speed that the README quotes, in one command: `make bench`, or `make bench QUICK=1` for a first look.

python benchmarks/bench.py [--quick] [--hc18 DIR] [--data-dir DIR] [--only NAME...]

Writes benchmarks/RESULTS.md and benchmarks/costs.png; quick ones go to runs/bench-quick. Each comparison is a script of
its own; what one has said is kept in runs/bench until all are done, so that the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import cv2

HERE = Path(__file__).resolve().parent
LIMIT_S = 900  # of one comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--hc18", type=Path, default=Path("../shared/data/hc18"))
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--only", nargs="*", help="names of comparisons")
    args = parser.parse_args()
    kept = Path("runs/bench-quick" if args.quick else "runs/bench").resolve()
    kept.mkdir(parents=True, exist_ok=True)
    figure = (kept if args.quick else HERE) / "costs.png"
    frames = some_frames(args.hc18, kept)
    titles, commands, fenced = plan(args.quick, frames, args.data_dir, figure)

    failed = []
    for name, command in commands.items():
        text = kept / f"{name}.md"
        if (args.only and name not in args.only) or text.exists():
            continue
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        try:
            said = run(command)
        except (subprocess.SubprocessError, OSError) as e:
            failed.append(name)
            print(f"{name} failed: {e}\n{getattr(e, 'stderr', '') or ''}"[-3000:], file=sys.stderr, flush=True)
            continue
        text.with_suffix(".part").write_text(f"```\n{said.rstrip()}\n```\n" if name in fenced else said)
        text.with_suffix(".part").rename(text)

    out = (kept if args.quick else HERE) / "RESULTS.md"
    out.write_text(results(titles, commands, kept, figure.name))
    print(f"{time.strftime('%H:%M:%S')} {out}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the same command tries these again")
    if not args.only:
        for name in commands:
            (kept / f"{name}.md").unlink(missing_ok=True)


def plan(
    quick: bool, frames: list[Path], data_dir: Path, figure: Path
) -> tuple[dict[str, str], dict[str, list[str]], set[str]]:
    """Titles and commands of the comparisons, by name, and the names of those that print no Markdown."""
    hasty = ["--quick"] if quick else []
    real = (data_dir / "hc18" / "benchmark").is_dir()
    name = "hc18/benchmark" if real else "fetal_phantom/small"
    data = [f"--data-dir={data_dir}", f"--name={name}"]
    if not (data_dir / name).is_dir():
        fetal_jax = [sys.executable, "-m", "fetal_jax.cli.main"]
        subprocess.run([*fetal_jax, "prepare", name, f"--data-dir={data_dir}"], check=True)
    paths = [str(f) for f in frames]
    folders = ["--one-by-one=20", "--folder=60", "--long=0"] if quick else ["--folder=300", "--long=0"]
    titles = {
        "step": "Train step and forward pass",
        "stem": "What the 2x2 stem buys",
        "starts": "What a start costs",
        "pipeline": "Training pipeline",
        "measure": "Measuring a map, beside OpenCV's usual recipe (one core)",
        "folder": "From the file to millimetres",
        "runtimes": "The network of heads: ONNX Runtime and XLA",
        "precision": "The network of heads in fewer bits",
        "costs": "How costs grow",
    }
    commands = {
        "step": ["step.py", *hasty],
        **({} if quick else {"stem": ["stem.py"]}),
        "starts": ["starts.py", paths[0], *hasty],
        "pipeline": ["pipeline_peer.py", *hasty, *data],
        "measure": ["measure.py"],
        "folder": ["measure_folder.py", *paths[:200], *folders],
        "runtimes": ["runtimes.py", *hasty],
        "costs": ["costs.py", *hasty, *data, f"--out={figure}", "--frames", *paths[:50]],
    }
    if real:
        commands["precision"] = ["precision.py", *hasty, *data]
    return titles, commands, {"measure", "folder"}


def some_frames(hc18: Path, kept: Path) -> list[Path]:
    """HC18's frames where they are at hand, or drawn ones."""
    frames = sorted((hc18 / "training_set").glob("*HC.png"))
    if frames:
        return frames
    from tfds_builders.fetal_phantom.phantom import draw

    folder = kept / "frames"
    folder.mkdir(exist_ok=True)
    for i in range(20):
        path = folder / f"{i:02d}.png"
        cv2.imwrite(str(path), cv2.resize(draw("head", i).image, (800, 540)))
        frames.append(path)
    return frames


def run(command: list[str]) -> str:
    """What a script of this folder prints; one core where it measures one."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if command[0] == "measure.py":
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    script = [sys.executable, str(HERE / command[0]), *command[1:]]
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=LIMIT_S, env=environment)
    return done.stdout


def results(titles: dict[str, str], commands: dict[str, list[str]], kept: Path, figure: str) -> str:
    """RESULTS.md."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "onnxruntime", "numpy"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        "# Results of `make bench`",
        "Research software. Not for clinical use.",
        f"{time.strftime('%Y-%m-%d')}, {cores} cores of {processor()}, Python {platform.python_version()}, {versions}. "
        "Contestants are processes of their own that work in turns; ratios are of medians: under 1 the row is faster.",
    ]
    for name, title in titles.items():
        text = kept / f"{name}.md"
        said = text.read_text().rstrip() if text.exists() else "not measured"
        script = commands.get(name, [f"{name}.py"])[0]
        parts += [f"## {title}", f"`python benchmarks/{script}`", said]
    parts.append(f"![Seconds and megabytes over what was changed]({figure})")
    parts += ["## On an accelerator", "`python benchmarks/step.py --device=gpu --dtype=bfloat16`: not measured"]
    return "\n\n".join(parts) + "\n"


def processor() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
