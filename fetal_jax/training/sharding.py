"""The device mesh and the sharding rules: the only module that names a PartitionSpec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fetal_jax.errors import UserError

SMALLEST_SHARDED = 2**12  # elements: for smaller leaves a gather costs more than the memory it saves
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    # end of a leaf's path              mesh axis of each of its axes
    (r"conv/kernel", (None, None, None, "fsdp")),  # 3x3 convolutions (3, 3, in, out), by output channel
    (r"project/kernel", (None, "fsdp")),  # up-convolutions (in, 4 out)
    (r".*", ()),  # scales, biases, both heads, counters: replicated
)
"""The first rule that matches the path applies, to parameters, their running mean and both moments alike."""


@dataclass(frozen=True)
class Sharding:
    """A mesh with the axes `data` and `fsdp`: batches are split over both, the state over `fsdp`."""

    mesh: Mesh

    @classmethod
    def create(cls, data: int, fsdp: int) -> Sharding:
        """Make a mesh over all devices. One of the two sizes may be -1: all remaining devices.

        Raises:
          UserError: the product of the sizes is not the number of devices.
        """
        count = jax.device_count()
        sizes = [count // max(fsdp, 1) if data == -1 else data, count // max(data, 1) if fsdp == -1 else fsdp]
        if min(sizes) < 1 or sizes[0] * sizes[1] != count:
            raise UserError(
                f"config.mesh is {data} x {fsdp}, but there are {count} devices: the product must be {count}"
            )
        return cls(jax.make_mesh(tuple(sizes), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto)))

    @property
    def batch(self) -> NamedSharding:
        """Sharding of a batch along its first axis."""
        return NamedSharding(self.mesh, PartitionSpec(("data", "fsdp")))

    @property
    def replicated(self) -> NamedSharding:
        """Fully replicated sharding."""
        return NamedSharding(self.mesh, PartitionSpec())

    def parameters(self, abstract: Any) -> Any:
        """Sharding of each leaf of a tree by `RULES`; replicated if it is small or `fsdp` does not divide its axis."""

        def place(path: Any, leaf: Any) -> NamedSharding:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            parts = next(parts for rule, parts in RULES if re.search(f"({rule})$", name))
            divides = all(
                size % self.mesh.shape[axis] == 0 for size, axis in zip(leaf.shape, parts, strict=False) if axis
            )
            return NamedSharding(self.mesh, PartitionSpec(*parts if divides and leaf.size >= SMALLEST_SHARDED else ()))

        return jax.tree_util.tree_map_with_path(place, abstract)

    def put(self, batch: Any) -> Any:
        """Place the global batch on its devices, from this process's part of it."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.batch, x), batch)

    def local(self, tree: Any) -> Any:
        """Gather a sharded tree on one device of each process."""
        return jax.tree.map(lambda x: x.addressable_data(0), jax.jit(_same, out_shardings=self.replicated)(tree))


def spread(tree: Any, abstract: Any) -> Any:
    """Shard a tree that every process has in full, as in `abstract`."""

    def place(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        whole = np.asarray(leaf)
        # a copy: the step donates its state, and must not write into another owner's array
        return jax.make_array_from_callback(whole.shape, like.sharding, lambda index: whole[index].copy())

    return jax.tree.map(place, tree, abstract)


def _same(tree: Any) -> Any:
    return tree
