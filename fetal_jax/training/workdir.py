"""The work directory of a run: locked by one run at a time, and for one configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fetal_jax import bundle, files
from fetal_jax import config as configuration
from fetal_jax.config import Config
from fetal_jax.data import training_record
from fetal_jax.errors import UserError
from fetal_jax.training import checkpoints, distributed
from fetal_jax.training.start import check_start

LONGER = (
    "export it and start a new run from it: fetal-jax export --workdir=OLD --out=BUNDLE, then fetal-jax train with "
    "--workdir=NEW --config.init.bundle=BUNDLE"
)
"""The learning rate falls to zero at the end of a run, so that a finished run cannot be extended."""


@contextmanager
def exclusive(workdir: Path) -> Iterator[None]:
    """Lock a work directory for this run: two runs in one would mix their checkpoints. A bucket has no lock.

    The first process locks it for all processes of the run.

    Raises:
      UserError: it is a file or a bundle, or another run has locked it.
    """
    if workdir.is_file():
        raise UserError(f"{workdir} is a file: give a folder as --workdir")
    if (workdir / bundle.INFO).exists():
        start = f"to start from it, give --config.init.bundle={workdir}"
        raise UserError(f"{workdir} is a bundle, not a run: give another --workdir; {start}")
    with ExitStack() as stack:
        error: UserError | None = None
        if distributed.is_first():
            try:
                stack.enter_context(files.lock(workdir, "wait for that run to end, or give another --workdir"))
            except UserError as e:
                error = e
        if not distributed.all_agree(error is None):
            raise error or UserError(f"another run is writing into {workdir}")
        yield


def check_workdir(workdir: Path, config: Config, remedy: str = "give another --workdir") -> None:
    """Refuse a work directory of another configuration and, in a new one, a start that is impossible.

    Args:
      workdir: of the run.
      config: of the run.
      remedy: end of the message about another configuration.

    Raises:
      UserError: names the keys that differ, or the fault in `init`.
    """
    path = workdir / "config.json"
    if path.exists():
        keys = configuration.differences(configuration.from_json(path), config)
        if keys:
            only_length = len(keys) == 1 and keys[0].startswith("total_steps")
            longer = f"; to train a finished run longer, {LONGER}" if only_length else ""
            raise UserError(f"{workdir} holds a run of another configuration ({'; '.join(keys)}): {remedy}{longer}")
    elif checkpoints.saved_steps(workdir):
        raise UserError(f"{workdir} holds checkpoints without a config.json: give another --workdir")
    else:
        check_start(config)


def check_data(workdir: Path, meta: Mapping[str, Any]) -> None:
    """Refuse to resume a run on other data than those of its checkpoints.

    Args:
      workdir: of the run.
      meta: `training_record.training_record` of the data that are here.

    Raises:
      UserError: names both fingerprints and the remedies.
    """
    saved = checkpoints.newest_meta(workdir)
    if saved and training_record.trained_on(saved) != training_record.trained_on(meta):
        remedy = "give the --config.data.dir that has those data, or another --workdir"
        raise UserError(f"{workdir} was trained on {saved['fingerprint']}, here is {meta['fingerprint']}: {remedy}")


def keep_start(workdir: Path, config: Config) -> Config:
    """Return the configuration of a resumed run, with the start it really had; prints a note if another one was given.

    A resumed run does not use `init`, so `config.json` must keep the start that was used.
    """
    used = configuration.from_json(workdir / "config.json").init
    given = config.init.bundle or config.init.sononet
    if given and config.init != used and distributed.is_first():
        was = used.bundle or used.sononet or "random weights"
        print(f"{given} is not used: the run started from {was}, and resumes from its checkpoint", flush=True)
    return replace(config, init=used)


def write_config(workdir: Path, config: Config) -> None:
    """Write `config.json`, after every process has passed all checks."""
    distributed.all_agree(True)
    if distributed.is_first():
        workdir.mkdir(parents=True, exist_ok=True)
        files.write_whole(workdir / "config.json", configuration.to_json(config))
