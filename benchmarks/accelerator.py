"""The first minutes on a GPU, in one command: is the step right, how fast is it, and a network trained on it.

python benchmarks/accelerator.py --out=DIR [--data-dir=runs/data] [--minutes=8] [-- --config.KEY=VALUE ...]
python benchmarks/accelerator.py --out=DIR --rehearse        the same on a CPU: little networks, a handful of steps

Parts: `data` draws the phantoms that are not there, `check` compares the loss curve with the CPU's, `pipeline` counts
augmented frames, `step-*` time the paper's network beside PyTorch (PEER_PYTHON, default: this Python), and `routine`
and `paper` train these recipes in bfloat16; keys after `--` change `routine`. Every part is a process with a limit of
its own; if one fails the others go on. DIR gets results.json after each part, NAME.tar.gz of each training (bundle,
metrics.jsonl, config.json, profile) and a log of each part. Exit code 1: some part failed. More: docs/accelerator.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("PEER_PYTHON", sys.executable)

from rounds import FETAL_JAX, HERE, Result, alternate, ours, parser, peer

PRECISIONS = {"float32": ("float32", "highest"), "tf32": ("float32", "default"), "bfloat16": ("bfloat16", "default")}
"""Type of the computation and precision of its products; TF32 is what a GPU takes for the default."""
ROUNDING = {"float32": 2**-24, "tf32": 2**-11, "bfloat16": 2**-9}
ALLOWED = {"float32": 200, "tf32": 10, "bfloat16": 10}
"""Roundings that a loss may be off in the first `COMPARED` steps, for `check`. After more steps curves part: on an H200
float32 was off by 23 roundings in 10 steps and by 1,470 in 20."""
COMPARED = 10
PEAKS = {"float32": 67.0, "tf32": 495.0, "bfloat16": 989.0, "memory": 3.35}
"""TFLOP/s without sparsity and TB/s of an H100 SXM, from its maker's data sheet; an H200 has 4.8 TB/s."""
SECONDS = {
    **{"data": 90, "check": 120, "pipeline": 90, "step-bfloat16": 180, "routine": 180},
    **{"step-tf32": 150, "step-float32": 150, "paper": 200},
}
"""The parts in order of worth, and the longest time of each: on an H200 of 16 cores `data` took 47 s and `check` 75 s,
our step some 50 s to compile, PyTorch's 65 s."""
EXPORT_S, SAVE_S = 25, 10  # of a training's time
LARGER = {  # eight frames of the recipe become 32: docs/scale.md has the rule
    "routine": {"batch_size": 32, "total_steps": 8000, "eval_every": 2000, "optim.lr": 2e-3, "optim.ema": 0.992},
    "paper": {"batch_size": 32, "total_steps": 4000, "eval_every": 2000, "optim.lr": 1.4e-3, "optim.ema": 0.99},
}
LITTLE = {
    **{"input_shape": (32, 48), "model.width": 8, "batch_size": 4},
    **{"total_steps": 4, "eval_every": 4, "eval_frames": 4, "log_every": 1},
}
PHANTOMS = "fetal_phantom/large"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument(
        "--minutes", type=float, default=8.0, help="for everything but a rehearsal; default: %(default)s"
    )
    options.add_argument("--rehearse", action="store_true", help="on a CPU, a handful of steps")
    options.add_argument("--only", nargs="+", choices=SECONDS, default=list(SECONDS))
    for name, value in PEAKS.items():
        what = "TB/s of its memory" if name == "memory" else f"TFLOP/s in {name}"
        options.add_argument(f"--peak-{name}", type=float, default=value, help=f"{what}; default: %(default)s")
    options.add_argument("--part", choices=SECONDS, help="be this part; for the driver")
    args, keys = options.parse_known_args()
    args.keys = [key for key in keys if key != "--"]
    if unknown := [key for key in args.keys if not key.startswith("--config.")]:
        options.error(f"{unknown[0]} is neither an option nor --config.KEY=VALUE")
    args.out.mkdir(parents=True, exist_ok=True)
    sys.exit(part(args) if args.part else drive(args))


def drive(args: argparse.Namespace) -> int:
    """Run the parts one after the other, each within its limit and what is left of all; 1 if one failed."""
    slower = 60 if args.rehearse else 1  # a CPU compiles for longer than it computes
    end = time.monotonic() + slower * 60 * args.minutes
    results: dict[str, Any] = {"rehearsed": args.rehearse}
    environment = os.environ | {
        "PYTHONPATH": f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "JAX_PLATFORMS": "cpu" if args.rehearse else "cuda,cpu",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first process on the GPU leaves no memory for its peer
        "JAX_COMPILATION_CACHE_DIR": str((args.out / "cache").resolve()),
    }
    for name in (name for name in SECONDS if name in args.only):
        began = time.monotonic()
        limit = min(float(slower * SECONDS[name]), end - began)
        if limit < 20:
            results[name] = {"error": "no time was left"}
        else:
            print(f"{time.strftime('%H:%M:%S')} {name}, at most {limit:.0f} s", flush=True)
            results[name] = bounded([sys.executable, *sys.argv, f"--part={name}"], name, args.out, limit, environment)
        results[name]["seconds"] = round(time.monotonic() - began, 1)
        print(json.dumps({name: results[name]}), flush=True)
        (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    return int(any("error" in result for result in results.values() if isinstance(result, dict)))


def bounded(command: list[str], name: str, out: Path, limit: float, environment: dict[str, str]) -> dict[str, Any]:
    """What a part says in its last line of JSON, or its error; its log is in `out`. It is killed at its limit."""
    log = out / f"{name}.log"
    environment = environment | {"PART_SECONDS": str(limit)}
    with log.open("w") as f:
        process = subprocess.Popen(command, stdout=f, stderr=f, env=environment, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with its own processes
                process.wait()
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    if code is None:
        return {"error": f"stopped after {limit:.0f} s; its last line: {lines[-1][-300:]}"}
    if code:
        return {"error": f"exit code {code}; its last line: {lines[-1][-300:]}"}
    said = [line for line in lines if line.startswith('{"')]  # libraries may warn after it
    found: dict[str, Any] = json.loads(said[-1]) if said else {"error": f"no result; its last line: {lines[-1][-300:]}"}
    return found


def part(args: argparse.Namespace) -> int:
    """Be one part: print what it found as a line of JSON."""
    name: str = args.part
    if name.startswith("step-"):
        found = step(name.removeprefix("step-"), args)
    elif name in LARGER:
        found = train(name, args)
    else:
        parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]]
        parts = {"data": data, "check": check, "pipeline": pipeline}
        found = parts[name](args)
    print(json.dumps(found), flush=True)
    return 0


def data(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the phantoms if they are not there, on all cores."""
    import accelerator_data

    from fetal_jax.data.source import splits

    if not splits(PHANTOMS, args.data_dir):
        counts = {"train": 48, "validation": 9} if args.rehearse else {"train": 4500, "validation": 450}
        accelerator_data.draw(PHANTOMS, args.data_dir, counts)
    return {"phantoms": len(opened(PHANTOMS, args)), "cores": cores()}


def recipe(name: str, args: argparse.Namespace, **changes: Any) -> list[str]:
    """Overrides of a recipe: the larger batch or the rehearsal's, and only data sets that are there."""
    from fetal_jax import config as configs
    from fetal_jax.data.source import splits

    shares = dict(configs.load(name, []).data.name)
    there = {k: v for k, v in shares.items() if splits(k, args.data_dir)}
    keys = LARGER[name] | (LITTLE if args.rehearse else {"model.dtype": "bfloat16", "data.workers": cores() - 2})
    keys |= {"data.dir": args.data_dir, "data.name": ", ".join(f"{k}={v}" for k, v in there.items())} | changes
    if not any(k.startswith("hc18") for k in there):
        keys["data.no_class_loss"] = ()
    if name == "routine" and not args.rehearse:
        keys["init.bundle"] = "default"
    return [f"--config.{key}={value}" for key, value in keys.items()] + (args.keys if name == "routine" else [])


def check(args: argparse.Namespace) -> dict[str, Any]:
    """Loss curves of the same start and batches: float32 on the CPU, and each precision on the first device."""
    import jax
    from jax.sharding import AxisType, Mesh

    from fetal_jax import config as configs
    from fetal_jax.data.pipeline import training_batches
    from fetal_jax.model import unet
    from fetal_jax.training.sharding import Sharding
    from fetal_jax.training.step import compiled_step, initial_state, optimiser

    steps, auto = 4 if args.rehearse else 20, (AxisType.Auto, AxisType.Auto)
    kept, batches = None, []
    curves = {}
    ways = {"cpu": ("float32", "highest"), **PRECISIONS}
    for way, (dtype, precision) in ways.items():
        overrides = recipe("routine", args, **{"batch_size": 8, "model.dtype": dtype, "model.precision": precision})
        config = configs.load("routine", overrides)
        if not batches:
            source = training_batches([opened(name, args) for name in config.data.name], config)
            batches = [next(source) for _ in range(steps)]
            source.close()
        device = jax.devices("cpu" if way == "cpu" else None)[0]
        sharding = Sharding(Mesh(np.array([[device]]), ("data", "fsdp"), axis_types=auto))
        network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
        if kept is None:  # drawn once: even random numbers are rounded differently elsewhere
            kept = jax.tree.map(np.asarray, jax.jit(partial(initial_state, network, tx, config))())
        state = jax.device_put(kept, sharding.replicated)
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state)
        run = compiled_step(network, tx, config, sharding, abstract)
        curves[way] = []
        for batch in batches:
            frames = {k: v for k, v in batch.items() if k != "index"} | {"stop": np.zeros(8, bool)}
            state, logs = run(state, sharding.put(frames))
            curves[way].append(float(logs["loss"]))
    return verdict(curves) | {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "losses": curves}


def verdict(curves: dict[str, list[float]]) -> dict[str, Any]:
    """How far each curve is from the CPU's: relative, and in roundings of its precision; an error beyond `ALLOWED`."""
    true = np.array(curves["cpu"][:COMPARED])
    off = {way: float(np.max(np.abs(curves[way][:COMPARED] / true - 1))) for way in PRECISIONS}  # NaN stays NaN
    roundings = {way: value / ROUNDING[way] for way, value in off.items()}
    wrong = [f"{way} is off by {off[way]:.1e}" for way in PRECISIONS if not roundings[way] <= ALLOWED[way]]
    found: dict[str, Any] = {"largest relative difference": off, "in roundings": roundings}
    return found | ({"error": "; ".join(wrong)} if wrong else {})


def pipeline(args: argparse.Namespace) -> dict[str, Any]:
    """Augmented frames per second of the recipe `routine`, by number of worker processes."""
    from fetal_jax import config as configs
    from fetal_jax.data.pipeline import training_batches

    rates = {}
    for workers in sorted({0, max(1, cores() // 2), cores()}):
        config = configs.load("routine", recipe("routine", args, **{"data.workers": workers}))
        batches = training_batches([opened(name, args) for name in config.data.name], config)
        for _ in range(4 + 2 * workers):  # until all are at work
            next(batches)
        count, began = 0, time.perf_counter()
        while (passed := time.perf_counter() - began) < (1 if args.rehearse else 5):
            count += len(next(batches)["index"])
        rates[workers] = round(count / passed, 1)
        print(f"{workers} workers: {rates[workers]} frames/s", flush=True)
        batches.close()
    return {"cores": cores(), "data": dict(config.data.name), "frames/s by workers": rates}


def step(precision: str, args: argparse.Namespace) -> dict[str, Any]:
    """The paper's network beside PyTorch, as it is and compiled: time of a step, frames/s, share of the roofline."""
    dtype, products = PRECISIONS[precision]
    batch = 2 if args.rehearse else 32
    side, width, repeat = ("32", 8, 2) if args.rehearse else ("256", 32, 20)
    where = ["step", f"--device={'cpu' if args.rehearse else 'gpu'}", f"--dtype={dtype}", f"--precision={products}"]
    where += [f"--batch={batch}", "--size", side, side, f"--width={width}", f"--repeat={repeat}", "--multipliers"]
    where += ["1", "2", "4", "8", "16"]
    found: dict[str, Any] = {"batch": batch, "side": side, "width": width}
    ways = {"ours": ours("jax_unet.py", *where), "PyTorch": peer("torch_unet.py", *where)}
    ways["PyTorch, compiled"] = [*ways["PyTorch"], "--way=compile"]
    if precision != "bfloat16":
        del ways["PyTorch"]  # its time goes to the others
    results: dict[str, Result] = {}
    for them in ([*ways], ["ours"]):  # if the peer fails, ours alone
        try:
            results = alternate({name: ways[name] for name in them}, 2 if args.rehearse else 7)
            break
        except SystemExit as e:
            found["error"] = str(e)
    if not results:
        return found
    for name, result in results.items():
        seconds = result.median / repeat
        found[name] = {"ms": 1e3 * seconds, "frames/s": batch / seconds, "version": result.facts["version"]}
        found[name] |= {"least ms": 1e3 * result.least / repeat, "start s": round(result.facts["start_s"], 1)}
    facts, seconds = results["ours"].facts, results["ours"].median / repeat
    bounds = {  # a gradient costs twice its forward pass
        "compute ms": 3 * batch * facts["GFLOP per frame"] / vars(args)[f"peak_{precision}"],
        "memory ms": batch * facts["GB a frame"] / vars(args)["peak_memory"],
    }
    found["ours"] |= bounds | {"share of roofline": max(bounds.values()) / (1e3 * seconds)}
    found["ours"] |= {key: facts[key] for key in ("XLA's GFLOP", "XLA's GB", "device_peak_mb") if key in facts}
    for name in results.keys() - {"ours"}:
        found[f"ours / {name}"] = results["ours"].median / results[name].median
    return found


def train(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train a recipe until its steps or its time are over, and pack what it made."""
    limit = time.monotonic() + float(os.environ["PART_SECONDS"])
    workdir, bundle = args.out / f"{name}-run", args.out / f"{name}-bundle"
    command = [*FETAL_JAX, "train", f"--config={name}", f"--workdir={workdir}", *recipe(name, args)]
    process = subprocess.Popen([*command, *([] if args.rehearse else ["--profile"])], stdout=sys.stderr)
    try:
        code = process.wait(limit - EXPORT_S - SAVE_S - time.monotonic())
    except subprocess.TimeoutExpired:
        process.terminate()  # it saves a checkpoint
        code = process.wait()
    if code not in (0, os.EX_TEMPFAIL):
        return {"error": f"training ended with {code}"}
    export = [*FETAL_JAX, "export", f"--workdir={workdir}", f"--out={bundle}"]
    best = subprocess.run([*export, "--best"], stdout=sys.stderr, check=False).returncode == 0
    if not best:  # stopped before its first validation
        subprocess.run(export, stdout=sys.stderr, check=True)
    rows = [json.loads(row) for row in (workdir / "metrics.jsonl").read_text().splitlines()]
    rates = sorted(row["frames_per_s"] for row in rows if "frames_per_s" in row)
    with tarfile.open(args.out / f"{name}.tar.gz", "w:gz") as packed:
        packed.add(bundle, "bundle")
        for path in (workdir / "metrics.jsonl", workdir / "config.json", *workdir.rglob("perfetto_trace.json.gz")):
            packed.add(path, path.name)
    last = [row for row in rows if any(key.startswith("validation/") for key in row)]
    return {
        "stopped early": code != 0,
        "steps": rows[-1]["step"],
        "frames/s": rates[len(rates) // 2] if rates else None,
        "exported": "best" if best else "newest",
        "last validation": last[-1] if last else None,
    }


def opened(name: str, args: argparse.Namespace) -> Any:
    """The decoded training frames of a data set."""
    from fetal_jax.data.decoded import decoded
    from fetal_jax.data.source import Split

    return decoded(Split(name, "train", args.data_dir))


def cores() -> int:
    """Cores of this process."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
