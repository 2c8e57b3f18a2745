"""`fetal-jax train`: train a configuration in a work directory, or resume it.

JAX is imported only to train, so that `--help` and `--help-config` are fast and work in every installation.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fetal_jax.cli.main import RESUME
from fetal_jax.config import Config, load
from fetal_jax.config.help import help_text
from fetal_jax.errors import UserError, not_written
from fetal_jax.files import in_bucket, user_cache
from fetal_jax.processes import cores

CONFIG_KEYS = "--config.KEY=VALUE sets one key, for example --config.optim.lr=1e-3; --help-config lists all keys"
WAIT = "--xla_cpu_collective_call_terminate_timeout_seconds"
"""XLA's limit, in seconds: by default it aborts when one CPU device waits 40 s for another, as on a busy machine."""


class _HelpConfig(argparse.Action):
    """Print every configuration key and exit, as `--help` does."""

    def __init__(self, **options: Any):
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(help_text(), end="")
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s --config=FILE --workdir=DIR [--config.KEY=VALUE ...] [options]"
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="configuration file, or the name of a shipped one such as hc18",
    )
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="folder or bucket (gs://) of the run; a run in it is resumed"
    )
    parser.add_argument("--profile", action="store_true", help="also write a trace of a few steps for Perfetto")
    keys = parser.add_argument_group("configuration keys", CONFIG_KEYS)
    keys.add_argument("--help-config", action=_HelpConfig, help="list every key with its type, default and meaning")
    several = parser.add_argument_group(
        "several processes", "Start the same command once per process. Cloud TPU, GKE and SLURM need none of these."
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0 (or FETAL_COORDINATOR)")
    several.add_argument("--processes", type=int, metavar="N", help="number of processes (or FETAL_PROCESSES)")
    several.add_argument(
        "--process-id", type=int, metavar="K", help="which process this is, from 0 (or FETAL_PROCESS_ID)"
    )


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Train; resume if the work directory holds a checkpoint of the same configuration.

    Returns:
      0, or 75 (`EX_TEMPFAIL`: start the command again) if SIGTERM stopped the run and a checkpoint is saved. If one of
      several processes fails, it exits here: with 2 or 1 as in `main`, or 134 if another process is gone or late.
    """
    try:
        import jax
        from etils import epath

        from fetal_jax.training import distributed
        from fetal_jax.training.run import Preempted
    except ImportError as e:
        raise UserError(f"{e}: pip install '.[train]'") from None

    try:
        distributed.start(args.coordinator, args.processes, args.process_id)
        train_config(args.config, epath.Path(args.workdir), overrides, args.profile)
    except Preempted as e:
        if distributed.is_first():
            print(f"fetal-jax train: {e}", flush=True)
        return os.EX_TEMPFAIL
    except Exception as e:
        lost = distributed.lost_peer(e)
        if not (lost or jax.distributed.is_initialized()):
            raise
        if lost:
            traceback.print_exc()  # some bugs raise the same messages in JAX
            said, code = f"another process of the run is gone or late ({lost}){RESUME['train']}", distributed.LOST
        elif isinstance(e, UserError):
            said, code = str(e), 2
        else:
            said, code = traceback.format_exc(), 1
        print(f"fetal-jax train: {said}", file=sys.stderr)
        distributed.give_up(code)
    return 0


def train_config(path: str, workdir: Path, overrides: list[str], profile: bool = False) -> None:
    """Train the configuration of a file with overrides.

    Raises:
      UserError: the configuration, the data or the work directory is wrong, or the loss stays not finite.
      Preempted: SIGTERM stopped the run; a checkpoint is saved.
      KeyboardInterrupt: Ctrl-C stopped the run; the first one saves a checkpoint, a second one ends at once.
    """
    import cv2
    import jax

    from fetal_jax.model import cpu
    from fetal_jax.training.run import Preempted, train

    config = load(path, overrides)
    if profile and in_bucket(workdir):
        raise UserError(f"--profile writes to a disk: give a --workdir other than {workdir}")
    if not jax.distributed.is_initialized():
        _use_all_cores(config)
    cpu.keep_freed_memory()
    cv2.setNumThreads(1)  # grain's threads and processes share the cores
    keep_compiled_programs()
    try:
        with stop_on_signals() as received:
            train(config, workdir, profile, lambda: bool(received))
    except Preempted as e:
        if signal.SIGINT not in received:
            raise
        print(e, flush=True)
        raise KeyboardInterrupt from None  # a person stopped it, so the exit code must not ask for a restart
    except FloatingPointError as e:
        raise UserError(f"{e}; lower optim.lr, or look at the frames") from None
    except OSError as e:
        raise not_written(e, workdir, ", or give another --workdir") from None


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGTERM and the first Ctrl-C are appended, so that a run can end between two steps.

    Only the main thread can have handlers; in other threads the list stays empty. An ignored Ctrl-C stays ignored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, _: object) -> None:
        received.append(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print(
                "\nstopping with a checkpoint after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True
            )

    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    numbers = [signal.SIGTERM, *([signal.SIGINT] if interruptible else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keep_compiled_programs() -> None:
    """Cache compiled programs in the user's cache folder, so that the next start of a configuration takes seconds.

    JAX's own variables take precedence: `JAX_COMPILATION_CACHE_DIR` sets the folder,
    `JAX_ENABLE_COMPILATION_CACHE=false` turns it off.
    """
    import jax

    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(user_cache()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _use_all_cores(config: Config) -> None:
    """Without an accelerator, make one CPU device per core: as many as divide the batch, or its accumulated part.

    XLA runs the operations of one CPU device one after the other, and the small ones on one core: two devices on two
    cores train the demo 1.3 times as fast as one (101 frames/s against 78). If the mesh or
    `XLA_FLAGS` set the number of devices, it is not changed.
    """
    import jax

    flags = os.environ.get("XLA_FLAGS", "")
    asked = (config.mesh.data, config.mesh.fsdp) != (-1, 1) or "device_count" in flags
    if not asked:
        part = config.batch_size // config.accumulate
        devices = max(n for n in range(1, cores() + 1) if part % n == 0)
        jax.config.update("jax_num_cpu_devices", devices)
        if WAIT not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {WAIT}=86400".strip()
