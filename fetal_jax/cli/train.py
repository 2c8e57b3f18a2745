"""`fetal-jax train --config=FILE --workdir=DIR [--config.key=value ...]`"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

from fetal_jax import recipe, train
from fetal_jax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a recipe, such as configs/hc18.py")
    parser.add_argument("--workdir", type=Path, required=True)


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Train; goes on by itself where the work directory holds a checkpoint of the same recipe."""
    train_recipe(args.config, args.workdir, overrides)


def train_recipe(path: str, workdir: Path, overrides: list[str]) -> None:
    """Train the recipe of a file with overrides."""
    config = recipe.load(path, overrides)
    jax.config.update("jax_compilation_cache_dir", str(workdir.absolute() / "jax_cache"))
    try:
        train.run(config, workdir)
    except FloatingPointError as e:
        raise UserError(f"{e}; lower optim.lr, or look at the frames") from None
