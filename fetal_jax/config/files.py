"""Configuration files and command-line overrides -> `Config`; a run's `config.json`."""

from __future__ import annotations

import ast
import json
import runpy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetal_jax.config.schema import KEYS, RENAMED, Config
from fetal_jax.config.values import check, flat, from_values, renamed
from fetal_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_PACKAGE = Path(__file__).parents[1]
SHIPPED = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
"""The shipped configurations: inside the package in a wheel, beside it in the repository."""


def defaults() -> ConfigDict:
    """Every key with its default, for the files in `configs/` to change."""
    from ml_collections import config_dict  # part of the `train` extra

    values = asdict(Config())
    name = values["data"]["name"]
    values["data"]["name"] = config_dict.placeholder(object)  # takes a mapping or its text
    config = config_dict.ConfigDict(values)
    config.data.name = name
    return config


def load(path: str, overrides: list[str]) -> Config:
    """Read a configuration file, apply `--config.key=value` overrides, and check the result.

    Args:
      path: a Python file with `get_config()`, which returns a changed `defaults()`; or the name of a shipped one.
      overrides: arguments of the command line.

    Raises:
      UserError: no such file or key, or a value that does not fit.
    """
    file = find(path)
    try:
        values = renamed(flat(runpy.run_path(str(file))["get_config"]()))
    except Exception as e:  # the file is Python: whatever it raises is about that file
        raise UserError(f"{file} is not a configuration file: {type(e).__name__}: {' '.join(str(e).split())}") from None
    try:
        from_values(values)
    except UserError as e:
        raise UserError(f"{file}: {e}") from None
    config = from_values(values | dict(_override(argument) for argument in overrides))
    check(config)
    return config


def _override(argument: str) -> tuple[str, Any]:
    """Parse `--config.key=value` by the type of the key."""
    name, _, text = argument.removeprefix("--config.").partition("=")
    name = RENAMED.get(name, name)
    if name not in KEYS or isinstance(KEYS[name].default, str | dict):
        return name, text
    if text in ("true", "false"):
        return name, text == "true"
    variadic = isinstance(KEYS[name].default, tuple)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        words = tuple(part.strip() for part in text.split(","))
        value = words if variadic and len(words) > 1 else text
    return name, (value,) if variadic and not isinstance(value, tuple | list) else value


def find(path: str) -> Path:
    """Find the file of a configuration.

    An existing file is taken first. A shipped configuration is found by its bare name (`hc18` or `hc18.py`), and by
    `configs/NAME.py` if the current folder has no `configs/`.

    Raises:
      UserError: there is no such file.
    """
    given = Path(path)
    if given.is_file():
        return given
    shipped = SHIPPED / given.with_suffix(".py").name
    here = given.parent == Path() or (given.parent == Path("configs") and not given.parent.is_dir())
    if here and shipped.is_file():
        return shipped
    names = sorted(p.stem for p in SHIPPED.glob("*.py") if p.stem != "__init__")
    raise UserError(f"{path}: no such file; for a shipped configuration give its name: {', '.join(names)}")


def to_json(config: Config) -> str:
    """The text of a run's `config.json`: every key, nested by group."""
    return json.dumps(asdict(config), indent=2) + "\n"


def from_json(path: Path) -> Config:
    """The configuration in a run's `config.json`.

    Raises:
      UserError: there is none, or it is damaged or of another version.
    """
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} is not a run: it has no {path.name}") from None
    except ValueError:
        saved = None
    if not isinstance(saved, dict):
        raise UserError(f"{path} is damaged: restore it, or train into another --workdir")
    try:
        return from_values(saved)
    except UserError as e:
        raise UserError(f"{path} is of another version: {e}") from None
