"""The list of configuration keys as text for `fetal-jax train --help-config` and as docs/configuration.md."""

from __future__ import annotations

from itertools import groupby

from fetal_jax.config.keys import Key
from fetal_jax.config.schema import GROUPS, KEYS, RENAMED, Config

_USE = """Set a key on the command line with `--config.KEY=VALUE`, or in a configuration file:

    from fetal_jax.config import defaults

    def get_config():
        config = defaults()
        config.optim.lr = 1e-3
        return config

A tuple is written as `192,288` or `"(192,288)"`, names as `head,femur`. An unknown key or a value out of range is
refused before anything starts. A resumed run may change only the keys marked with *: they do not change what is learnt.
"""


def _groups() -> list[tuple[str, list[Key]]]:
    """(description, keys) of each group, in the order of declaration."""
    by_group = groupby(KEYS.values(), lambda key: key.name.rpartition(".")[0])
    return [(str(GROUPS.get(name, Config).__doc__), list(keys)) for name, keys in by_group]


def _described(key: Key) -> str:
    return key.meaning + (f" [{key.unit}]" if key.unit else "")


def _default(key: Key) -> str:
    if isinstance(key.default, dict):
        return ", ".join(key.default)
    return str(key.default).replace(" ", "") or "''"


def help_text() -> str:
    """Every key with default, meaning, unit and range, for a terminal."""
    lines = [_USE.replace("`", "")]
    for description, keys in _groups():
        lines += [description, ""]
        for key in keys:
            lines += [
                f"  {key.name}={_default(key)}{' *' * key.may_change}",
                f"      {_described(key)} ({key.must_be})",
            ]
        lines += [""]
    return "\n".join(lines)


def markdown() -> str:
    """The text of docs/configuration.md."""
    source = "Made by `python -m fetal_jax.config.help`. `fetal-jax train --help-config` prints the same list."
    lines = ["# Configuration keys", "", source, "", _USE]
    for description, keys in _groups():
        lines += [f"## {keys[0].name.rpartition('.')[0] or 'The run'}", "", description, ""]
        lines += ["| key | default | value | meaning [unit] |", "|---|---|---|---|"]
        for key in keys:
            cells = (f"`{key.name}`{' *' * key.may_change}", f"`{_default(key)}`", key.must_be, _described(key))
            lines += [f"| {' | '.join(cells)} |"]
        lines += [""]
    lines += ["## Former names", "", "These are still read from files, overrides, `config.json` and bundles.", ""]
    return "\n".join([*lines, *(f"- `{old}`: now `{new}`" for old, new in RENAMED.items())]) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
