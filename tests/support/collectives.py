"""Collectives of a compiled training step."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from jax.sharding import Mesh

from fetal_jax.config import Config
from fetal_jax.model import unet
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import compiled_step, optimiser
from tests.support.training import abstract_state

COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)(?:-start)?\("
)

ARRAY = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")


class Collective(NamedTuple):
    """One array that an instruction sends: the kind of the instruction and the array's elements and bytes."""

    kind: str
    size: int
    bytes: int


def collectives(program: str) -> list[Collective]:
    """Every array that a compiled program (`Compiled.as_text()`) sends between devices."""
    found = []
    for result, kind in COLLECTIVE.findall(program):
        for _, bits, shape in ARRAY.findall(result):
            size = math.prod(int(n) for n in shape.split(",") if n)
            found.append(Collective(kind, size, size * int(bits or 8) // 8))
    return found


def compile_step(config: Config, mesh: Mesh) -> Any:
    """The training step on a mesh with the axes `data` and `fsdp`, compiled from shapes alone."""
    sharding = Sharding(mesh)
    network, tx = unet.from_config(config.model, len(config.planes)), optimiser(config)
    return compiled_step(network, tx, config, sharding, abstract_state(config, sharding))
