"""A short run is killed, stopped and its checkpoints damaged; each time it must end as the run that was left alone.

fetal-jax prepare fetal_phantom/small
python benchmarks/chaos.py [--kills 25] [--terms 10] [--flips 20] [--data-dir runs/data]

A trial starts the run, sends a signal at a random moment, and starts it again until it ends; or it takes the finished
run, damages a random file of the newest checkpoint, and starts it again. Compared are the digests of every leaf of the
last checkpoint (parameters, their mean, the optimiser's state) and the rows of metrics.jsonl without their wall clock.
Ends with exit code 1 where any trial differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

STEPS, PREEMPTED = 60, 75
TINY = {
    "data.name": "fetal_phantom/small",
    "input_shape": "(64,96)",
    "total_steps": STEPS,
    "checkpoint_every": 4,
    "eval_every": 30,
    "eval_frames": 8,
    "model.width": 8,
    "model.multipliers": "(1,2)",
    "model.depths": "(1,1)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--terms", type=int, default=10)
    parser.add_argument("--flips", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, wrong = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        began = time.monotonic()
        finish(whole, args.data_dir)
        seconds = time.monotonic() - began
        due = outcome(whole)
        trials: list[tuple[str, Callable[[Path], str]]] = []
        for number, name in [(signal.SIGKILL, "SIGKILL")] * args.kills + [(signal.SIGTERM, "SIGTERM")] * args.terms:
            moment = rng.uniform(0.1, 1) * seconds
            stop = partial(interrupt, data_dir=args.data_dir, number=number, moment=moment)
            trials.append((f"{name} after {moment:.1f} of {seconds:.1f} s", stop))
        for damage in (truncate, empty, remove, *[flip] * args.flips):
            trials.append((f"{damage.__name__} a file", partial(spoil, whole, damage=damage, rng=rng)))
        for i, (name, disturb) in enumerate(trials, 1):
            workdir = Path(folder) / "trial"
            said = disturb(workdir)
            starts = finish(workdir, args.data_dir)
            same = outcome(workdir) == due
            wrong += not same
            print(f"{i:3} of {len(trials)}  {'same' if same else 'DIFFERS'}  {name}: {said}, {starts}", flush=True)
            shutil.rmtree(workdir)
    print(f"{len(trials) - wrong} of {len(trials)} trials ended as the run that was left alone")
    raise SystemExit(wrong > 0)


def start(workdir: Path, data_dir: Path) -> subprocess.Popen[str]:
    overrides = [f"--config.{key}={value}" for key, value in {**TINY, "data.dir": data_dir}.items()]
    command = [sys.executable, "-m", "fetal_jax.cli.main", "train", "--config=configs/demo.py", f"--workdir={workdir}"]
    return subprocess.Popen([*command, *overrides], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(workdir: Path, data_dir: Path) -> str:
    """Start the run, which must end by itself; what it said of where it began."""
    process = start(workdir, data_dir)
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}:\n{out[-2000:]}")
    said = [line.split(",")[0] for line in out.splitlines() if line.startswith(("resumed", "set aside"))]
    return "; ".join(line.replace(str(workdir), "WORKDIR") for line in said) or "from its start"


def interrupt(workdir: Path, data_dir: Path, number: signal.Signals, moment: float) -> str:
    """Start the run and send it a signal; how it ended."""
    process = start(workdir, data_dir)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    process.communicate()
    allowed = {0, -number, PREEMPTED if number == signal.SIGTERM else 0}  # -SIGTERM: before it could listen
    if process.returncode not in allowed:
        raise SystemExit(f"{number.name} made the run end with {process.returncode}")
    return f"exit code {process.returncode}"


def spoil(whole: Path, workdir: Path, damage: Callable[[Path, random.Random], None], rng: random.Random) -> str:
    """A copy of the finished run with a damaged file in its newest checkpoint; which one."""
    shutil.copytree(whole, workdir)
    newest = workdir / "checkpoints" / str(STEPS)
    victim = rng.choice(sorted(p for p in newest.rglob("*") if p.is_file() and p.stat().st_size))
    damage(victim, rng)
    return str(victim.relative_to(newest))


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def outcome(workdir: Path) -> tuple[object, object]:
    """The digests of the last checkpoint's state, and the rows of the metrics without their wall clock."""
    meta = json.loads((workdir / "checkpoints" / str(STEPS) / "meta" / "metadata").read_text())
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return meta["digests"]["state"], [{k: v for k, v in row.items() if k != "frames_per_s"} for row in rows]


if __name__ == "__main__":
    main()
