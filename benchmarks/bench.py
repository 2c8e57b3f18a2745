"""Every speed that the README quotes, in one command: `make bench`, or `make bench QUICK=1` for a first look.

python benchmarks/bench.py [--quick] [--hc18 DIR] [--data-dir DIR] [--only NAME...]

Writes this processor's part of benchmarks/RESULTS.md and, between its two marks, its column of the README's table
(other processors' stay); quick results go to runs/bench-quick. Each comparison is a script. Its output is kept in
runs/bench until all are done, so that the same command resumes after a stop.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from rounds import FETAL_JAX, HERE, parser

from fetal_jax.cli import demo

LIMIT_S = 1800  # of one comparison; the longest takes 9 minutes, and over 15 on a slow virtual machine
HEAD = "# Results of `make bench`\n\nResearch software. Not for clinical use.\n"
MARKS = "<!-- make bench -->\n", "<!-- end -->"
TITLES = {
    "step": "Train step and forward pass",
    "pipeline": "Training pipeline",
    "biometry": "The measuring step (one core)",
    "measure_folder": "From the file to millimetres",
    "runtimes": "The shipped network: ONNX Runtime, XLA, fewer bits",
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--hc18", type=Path, help="folder of HC18; without it, synthetic frames are measured")
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--only", nargs="*", choices=TITLES, default=list(TITLES))
    args = options.parse_args()
    kept = Path("runs/bench-quick" if args.quick else "runs/bench").resolve()
    kept.mkdir(parents=True, exist_ok=True)
    for name, command in commands(args.quick, some_frames(args.hc18, kept), args.data_dir).items():
        text = kept / f"{name}.md"
        if name not in args.only or text.exists():
            continue
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        text.with_suffix(".part").write_text(run([f"{name}.py", *command]))
        text.with_suffix(".part").rename(text)

    texts = {name: path.read_text().rstrip() for name in TITLES if (path := kept / f"{name}.md").exists()}
    out = (kept if args.quick else HERE) / "RESULTS.md"
    parts = re.split(r"(?m)^(?=## On )", out.read_text())[1:] if out.exists() else []
    title = f"## On {processor()}\n"
    parts = [part for part in parts if not part.startswith(title)]
    out.write_text("\n".join([HEAD, section(title, texts, "HC18's" if args.hc18 else "synthetic"), *parts]))
    if not args.quick and texts.keys() == TITLES.keys():
        readme = HERE.parent / "README.md"
        before, table, after = re.split("|".join(MARKS), readme.read_text())
        readme.write_text(before + MARKS[0] + with_column(table, processor(), headlines(texts)) + MARKS[1] + after)
        for name in TITLES:
            (kept / f"{name}.md").unlink()
    print(f"{time.strftime('%H:%M:%S')} {out}")


def commands(quick: bool, frames: list[Path], data_dir: Path) -> dict[str, list[str]]:
    """Arguments of each script; prepares synthetic frames where HC18 is not prepared."""
    hasty = ["--quick"] if quick else []
    real = (data_dir / "hc18" / "benchmark").is_dir()
    name = "hc18/benchmark" if real else "fetal_phantom/small"
    if not (data_dir / name).is_dir():
        subprocess.run([*FETAL_JAX, "prepare", name, f"--data-dir={data_dir}"], check=True)
    data = [f"--data-dir={data_dir}", f"--name={name}"]
    few = ["--one-by-one=20", "--folder=40", "--processes=1"] if quick else []
    return {
        "step": hasty,
        "pipeline": [*hasty, *data],
        "biometry": [*data, *(["--maps=20"] if quick else [])],
        "measure_folder": [*map(str, frames[:200]), *few],
        "runtimes": [*data, *(["--frames=12"] if quick else [])],
    }


def some_frames(hc18: Path | None, kept: Path) -> list[Path]:
    """HC18's frames, or synthetic ones without it."""
    if hc18 is None:
        demo.draw_folder(kept / "frames")
        return sorted((kept / "frames").glob("*.png"))
    if not (frames := sorted((hc18 / "training_set").glob("*HC.png"))):
        raise SystemExit(f"{hc18} has no training_set/*HC.png: give --hc18=DIR, the folder of HC18, or leave it out")
    return frames


def run(command: list[str]) -> str:
    """Run a script of this folder, the measuring step on one core; its output."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if command[0] == "biometry.py":
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    script = [sys.executable, str(HERE / command[0]), *command[1:]]
    done = subprocess.run(script, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}; the same command tries it again")
    return done.stdout


def section(title: str, texts: dict[str, str], frames: str) -> str:
    """Results of this processor; `frames` were measured as files."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "onnxruntime", "numpy"))
    run_on = f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    method = "Contestants are processes that work in turns; ratios are of medians: under 1 the row is faster."
    lines = [title, f"{run_on}, {versions}. Measured files: {frames} frames. {method}\n"]
    for name, what in TITLES.items():
        lines += [f"### {what}\n", f"`python benchmarks/{name}.py`\n", texts.get(name, "not measured") + "\n"]
    return "\n".join(lines)


def headlines(texts: dict[str, str]) -> dict[str, str]:
    """This processor's column of the README's table, by row."""
    tables = re.split(r"\n(?=Train step|Forward pass)", texts["step"])
    column = {}
    for title in ("Train step, 4 levels", "Train step, 5 levels", "Forward pass, 4 levels"):
        table = next(t for t in tables if t.startswith(title))
        us, them = (cells(table, who) for who in ("ours, XLA", "PyTorch"))
        column[f"{title.lower()}: ms"] = f"{us[1]} / {them[1]} = {us[3]}"
        column[f"{title.lower()}: MB"] = f"{us[4]} / {them[4]} = {float(us[4]) / float(them[4]):.2f}"
    served = cells(texts["pipeline"], "default")
    return column | {"augmented frames per second, no worker": f"{served[2]} / {served[4]} = {served[5]}"}


def with_column(table: str, name: str, column: dict[str, str]) -> str:
    """The README's table with this processor's column; those of other processors stay."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    (_, *names), _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = {n: {row[0]: row[i] for row in rows} for i, n in enumerate(names, start=1)} | {name: column}
    heads = ["ours / PyTorch", *columns]
    rows = [heads, ["---"] * len(heads), *([row, *(c.get(row, "") for c in columns.values())] for row in column)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def cells(table: str, first: str) -> list[str]:
    """Cells of the first row of a Markdown table that begins with `first`."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return next(row for row in rows if row[0] == first)


def processor() -> str:
    """Name of the processor and its widest vector instructions, where Linux knows them."""
    info = Path("/proc/cpuinfo")
    known = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line) if info.exists() else {}
    known = {key.strip(): value.strip() for key, value in known.items()}
    flags = known.get("flags", "").split()
    vectors = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return ", ".join(filter(None, [known.get("model name", platform.machine()), vectors]))


if __name__ == "__main__":
    main()
