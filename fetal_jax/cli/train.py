"""`fetal-jax train --config=FILE --workdir=DIR [--config.key=value ...] [--profile]`, and of several processes each"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
from etils import epath

from fetal_jax import config as recipe
from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket, user_cache
from fetal_jax.model import cpu
from fetal_jax.training import distributed
from fetal_jax.training.run import Preempted, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a recipe, such as configs/hc18.py")
    parser.add_argument("--workdir", type=epath.Path, required=True, help="on disk or in a bucket (gs://)")
    parser.add_argument("--profile", action="store_true", help="also write a trace of a few steps, for Perfetto")
    several = parser.add_argument_group("several processes", "found by themselves on Cloud TPU, GKE and SLURM")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0; or FETAL_COORDINATOR")
    several.add_argument("--processes", type=int, metavar="N", help="how many; or FETAL_PROCESSES")
    several.add_argument("--process-id", type=int, metavar="K", help="which one this is, from 0; or FETAL_PROCESS_ID")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Train; goes on by itself where the work directory holds a checkpoint of the same recipe.

    Returns:
      0, or 75 (`EX_TEMPFAIL`: start me again) where SIGTERM stopped the run with a checkpoint.
    """
    distributed.start(args.coordinator, args.processes, args.process_id)
    try:
        train_recipe(args.config, args.workdir, overrides, args.profile)
    except Preempted as e:
        if distributed.is_first():
            print(f"fetal-jax train: {e}", flush=True)
        return os.EX_TEMPFAIL
    except Exception as e:
        if not jax.distributed.is_initialized():
            raise
        known = isinstance(e, UserError)
        print(f"fetal-jax train: {e}" if known else traceback.format_exc(), file=sys.stderr)
        distributed.give_up(2 if known else 1)
    return 0


def train_recipe(path: str, workdir: Path, overrides: list[str], profile: bool = False) -> None:
    """Train the recipe of a file with overrides."""
    config = recipe.load(path, overrides)
    if profile and in_bucket(workdir):
        raise UserError(f"--profile writes to a disk: give it a --workdir other than {workdir}")
    if config.model.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if not jax.distributed.is_initialized():
        _use_all_cores(config)
    cpu.keep_freed_memory()
    keep_compiled_programs()
    try:
        train(config, workdir, profile)
    except FloatingPointError as e:
        raise UserError(f"{e}; lower optim.lr, or look at the frames") from None
    except OSError as e:
        raise UserError(f"{e.filename or workdir}: {e.strerror or e}: make room, or give another --workdir") from None


def keep_compiled_programs() -> None:
    """Keep what XLA compiles in the user's cache folder, so that the next start of the recipe takes a moment.

    JAX's own switches change it: `JAX_COMPILATION_CACHE_DIR` the folder, `JAX_ENABLE_COMPILATION_CACHE=false` ends it.
    """
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(user_cache()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _use_all_cores(config: Any) -> None:
    """Where the processor is all there is, make it one device a core, as many as divide the batch,
    or the part of it that is taken at a time.

    XLA runs the operations of one CPU device one after the other, and the small ones on one core: two devices on two
    cores train the demo 1.3 times as fast as one (101 frames/s against 78). A layout that asks for a number of devices,
    or `XLA_FLAGS` that set it, are left as they are.
    """
    asked = (config.mesh.data, config.mesh.fsdp) != (-1, 1) or "device_count" in os.environ.get("XLA_FLAGS", "")
    if not asked:
        part = config.batch_size // config.accumulate
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = max(n for n in range(1, cores + 1) if part % n == 0)
        jax.config.update("jax_num_cpu_devices", devices)
