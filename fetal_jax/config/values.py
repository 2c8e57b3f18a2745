"""Values -> a checked `Config`, and back. Pure functions."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from fetal_jax.config.schema import KEYS, RENAMED, Config
from fetal_jax.errors import UserError


def from_values(values: Mapping[str, Any]) -> Config:
    """Build a configuration from some of its values; the others keep their defaults.

    Args:
      values: nested (`{"model": {"width": 8}}`) or with dotted names (`{"model.width": 8}`).

    Raises:
      UserError: an unknown key, or a value of the wrong type. Ranges are checked by `check`.
    """
    typed = {name: _typed(name, value) for name, value in renamed(flat(values)).items()}

    def build(default: Any, prefix: str = "") -> Any:
        parts = {f.name: getattr(default, f.name) for f in fields(default)}
        return type(default)(
            **{
                name: build(value, f"{prefix}{name}.") if is_dataclass(value) else typed.get(f"{prefix}{name}", value)
                for name, value in parts.items()
            }
        )

    config: Config = build(Config())
    return config


def _typed(name: str, value: Any) -> Any:
    if name not in KEYS:
        raise UserError(f"config.{name}: no such key{_nearest(name)}")
    if name == "data.name":
        return weights(value)
    try:
        return KEYS[name].convert(value)
    except ValueError:
        default = KEYS[name].default  # shows how several values are written
        example = f", such as {','.join(map(str, default))}" if isinstance(default, tuple) and default else ""
        raise _refused(name, value, f"{KEYS[name].must_be}{example}") from None


def _refused(name: str, value: Any, must_be: str = "") -> UserError:
    return UserError(f"config.{name} is {value}; it must be {must_be or KEYS[name].must_be}")


def _nearest(name: str) -> str:
    """End of a message: the keys with a similar name, or with the word in their meaning."""
    group = [key for key in KEYS if key.startswith(f"{name}.")]
    if group:
        return f"; {name} is a group, give its keys, such as config.{group[0]}"
    last = name.rpartition(".")[2]
    leaves = {key: key.rpartition(".")[2] for key in KEYS}
    like = difflib.get_close_matches(last, leaves.values(), 3, 0.7)
    found = [key for leaf in like for key in leaves if leaves[key] == leaf]
    found += difflib.get_close_matches(name, KEYS, 3, 0.75)
    found += [key for key in leaves if last and last in leaves[key].split("_")]
    found += [key for key in KEYS if last and last.replace("_", " ") in KEYS[key].meaning.lower()]
    names = [f"config.{key}" for key in dict.fromkeys(found)]
    if not names:
        return "; fetal-jax train --help-config lists all"
    return f"; the nearest {'is' if len(names) == 1 else 'are'} {', '.join(names[:3])}"


def check(config: Config) -> None:
    """Refuse a configuration that cannot be trained.

    Raises:
      UserError: naming the key, its value and what it must be.
    """
    values = flat(config)
    for name, key in KEYS.items():
        if not key.rule.holds(values[name]):
            raise _refused(name, values[name])
    model, accumulate = config.model, config.accumulate
    levels = len(model.multipliers)
    divisor = model.stem * 2 ** (levels - 1)
    widths = [int(model.width * m) for m in (*model.multipliers, *model.decoder)]
    axes = (config.mesh.data, config.mesh.fsdp)
    trained = weights(config.data.name)
    classless = set(map(data_set, config.data.no_class_loss))
    rules = [
        ("batch_size", config.batch_size % accumulate == 0, f"a multiple of accumulate, {accumulate}"),
        ("input_shape", all(n % divisor == 0 for n in config.input_shape), f"multiples of {divisor}"),
        ("model.multipliers", levels > 0, "at least one"),
        ("model.depths", len(model.depths) == levels, f"as many as model.multipliers, {levels}"),
        ("model.decoder", len(model.decoder) in (0, levels - 1), f"empty, or one less than the levels, {levels - 1}"),
        ("model.width", all(w > 0 and w % min(model.groups, w) == 0 for w in widths), "a multiple of the groups"),
        ("data.no_class_loss", classless <= set(map(data_set, trained)), f"some of data.name: {', '.join(trained)}"),
        ("mesh.data", axes != (-1, -1), "at least 1 where mesh.fsdp is -1"),
    ]
    for name, holds, must in rules:
        if not holds:
            raise _refused(name, values[name], must)


def weights(value: Any) -> dict[str, float]:
    """Read `data.name`, a mapping or its text (`A` or `A=3, B=1`), as a mapping.

    Raises:
      UserError: a weight is missing or not above 0, or a data set is named twice.
    """
    if isinstance(value, str):
        parts = [part.partition("=") for part in (value if "=" in value else f"{value}=1").split(",")]
        pairs = [(name.strip(), _number(weight)) for name, _, weight in parts]
    else:
        pairs = [(name, _number(weight)) for name, weight in value.items()] if isinstance(value, Mapping) else []
    if not pairs or not all(name and 0 < weight < math.inf for name, weight in pairs):
        raise _refused("data.name", value, "a data set, or several with weights: A=3, B=1")
    if len({data_set(name) for name, _ in pairs}) < len(pairs):
        raise _refused("data.name", value, "a list that names each data set once, in one configuration")
    return dict(pairs)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def mixture(config: Config) -> dict[str, float]:
    """The data sets that a configuration trains on, each with its share of the frames; the shares sum to 1."""
    parts = weights(config.data.name)
    return {name: weight / sum(parts.values()) for name, weight in parts.items()}


def data_set(name: str) -> str:
    """The data set of a name: the configurations of a builder are subsets of one data set, except those of `folder`.

    `hc18/benchmark` belongs to `hc18`, `folder/mine` is `folder/mine`.
    """
    base = name.partition("/")[0]
    return name if base == "folder" else base


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """All values by their dotted names, of a `Config`, an ml_collections dict or nested dictionaries."""
    if is_dataclass(tree) and not isinstance(tree, type):
        tree = asdict(tree)
    elif hasattr(tree, "to_dict"):
        tree = tree.to_dict()
    found: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) and path not in KEYS else {path: value}
    return found


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted names, with the present name for each former one; a former name wins where both are given."""
    kept = {name: value for name, value in values.items() if name not in RENAMED}
    return kept | {RENAMED[name]: value for name, value in values.items() if name in RENAMED}


def portable(config: Config) -> dict[str, Any]:
    """Values by dotted names, without those that a resumed run may change: the recipe stored in a bundle."""
    return {name: value for name, value in sorted(flat(config).items()) if not KEYS[name].may_change}


def differences(one: Config, other: Config) -> list[str]:
    """Keys whose values differ, with both values, without those that a resumed run may change."""
    a, b = portable(one), portable(other)
    return [f"{name}: {a[name]} / {b[name]}" for name in a if a[name] != b[name]]
