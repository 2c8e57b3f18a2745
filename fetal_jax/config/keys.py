"""Declaration of one configuration key: default, meaning, unit, type and range."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A range of values: its text for messages, and its test."""

    text: str
    holds: Callable[[Any], bool]


ANY = Rule("", lambda _: True)


def at_least(low: float) -> Rule:
    """`value >= low`."""
    return Rule(f"at least {low}", lambda v: v >= low)


def above(low: float) -> Rule:
    """`value > low`."""
    return Rule(f"above {low}", lambda v: v > low)


def between(low: float, high: float) -> Rule:
    """`low <= value <= high`."""
    return Rule(f"between {low} and {high}", lambda v: low <= v <= high)


def below(low: float, high: float) -> Rule:
    """`low <= value < high`."""
    return Rule(f"at least {low} and below {high}", lambda v: low <= v < high)


def one_of(*values: Any) -> Rule:
    """One of a few values."""
    return Rule(" or ".join(map(str, values)), lambda v: v in values)


def each(rule: Rule) -> Rule:
    """A tuple whose elements all follow a rule."""
    return Rule(f"each {rule.text}", lambda v: all(map(rule.holds, v)))


def key(default: Any, meaning: str, rule: Rule = ANY, unit: str = "", may_change: bool = False) -> Any:
    """Declare a field of a configuration dataclass.

    Args:
      default: the default value.
      meaning: one phrase for `--help-config` and docs/configuration.md.
      rule: the allowed range.
      unit: of the value.
      may_change: whether a resumed run may use another value because the result of training does not depend on it.
    """
    metadata = {"meaning": meaning, "rule": rule, "unit": unit, "may_change": may_change}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Key:
    """A declared key, by its dotted name."""

    name: str
    type: Any
    default: Any
    meaning: str
    rule: Rule
    unit: str
    may_change: bool

    @property
    def must_be(self) -> str:
        """Type and range of a value, in words."""
        return ", ".join(filter(None, [_TYPES[self.type], self.rule.text]))

    def convert(self, value: Any) -> Any:
        """Convert a value to the key's type: a list becomes a tuple, an integer a float; the range is not checked.

        Raises:
          ValueError: it is of another type, or not finite.
        """
        return _convert(value, self.type)


_TYPES: dict[Any, str] = {
    int: "an integer",
    float: "a finite number",
    bool: "True or False",
    str: "text",
    tuple[int, int]: "two integers",
    tuple[float, float]: "two finite numbers",
    tuple[int, ...]: "integers",
    tuple[float, ...]: "finite numbers",
    tuple[str, ...]: "names",
    Mapping[str, float]: "data sets with their weights",
}


def _convert(value: Any, wanted: Any) -> Any:
    if isinstance(wanted, types.GenericAlias) and typing.get_origin(wanted) is tuple:
        element, *rest = typing.get_args(wanted)
        if not isinstance(value, tuple | list) or (rest != [...] and len(value) != 1 + len(rest)):
            raise ValueError
        return tuple(_convert(v, element) for v in value)
    if wanted is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if wanted in (int, bool, str) and type(value) is wanted:
        return value
    raise ValueError
