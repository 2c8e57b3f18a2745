"""The mesh and who holds what on it: the only place that names a PartitionSpec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fetal_jax.errors import UserError

SMALLEST_SHARDED = 2**12  # elements: below that a gather costs more than the memory it saves
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    # the end of a leaf's path            its axes over the mesh
    (r"conv/kernel", (None, None, None, "fsdp")),  # 3x3 convolutions (3, 3, in, out): by what they put out
    (r"project/kernel", (None, "fsdp")),  # up-convolutions (in, 4 out)
    (r".*", ()),  # scales, biases, both heads, counters: whole on every device
)
"""Who holds what: the first rule that fits a leaf's path, for the parameters, their mean and both moments alike."""


@dataclass(frozen=True)
class Sharding:
    """A mesh with the axes `data` and `fsdp`: batches are split over both, parameters and their like over `fsdp`."""

    mesh: Mesh

    @classmethod
    def create(cls, data: int, fsdp: int) -> Sharding:
        """The mesh over all devices. One of the two sizes may be -1: what the other leaves.

        Raises:
          UserError: the devices cannot be laid out so.
        """
        count = jax.device_count()
        sizes = [count // max(fsdp, 1) if data == -1 else data, count // max(data, 1) if fsdp == -1 else fsdp]
        if min(sizes) < 1 or sizes[0] * sizes[1] != count:
            raise UserError(
                f"config.mesh is {data} x {fsdp}, but there are {count} devices: their product must be that"
            )
        return cls(jax.make_mesh(tuple(sizes), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto)))

    @property
    def batch(self) -> NamedSharding:
        """Of an array whose first axis runs over examples."""
        return NamedSharding(self.mesh, PartitionSpec(("data", "fsdp")))

    @property
    def replicated(self) -> NamedSharding:
        """Of what every device holds whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    def parameters(self, abstract: Any) -> Any:
        """A sharding for each leaf of a tree by `RULES`; whole where it is small or `fsdp` does not divide its axis."""

        def place(path: Any, leaf: Any) -> NamedSharding:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            parts = next(parts for rule, parts in RULES if re.search(f"({rule})$", name))
            divides = all(
                size % self.mesh.shape[axis] == 0 for size, axis in zip(leaf.shape, parts, strict=False) if axis
            )
            return NamedSharding(self.mesh, PartitionSpec(*parts if divides and leaf.size >= SMALLEST_SHARDED else ()))

        return jax.tree_util.tree_map_with_path(place, abstract)

    def put(self, batch: Any) -> Any:
        """A process' part of a batch -> the global batch on its devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.batch, x), batch)

    def local(self, tree: Any) -> Any:
        """A tree that lies on the mesh -> whole, on one device of each process."""
        return jax.tree.map(lambda x: x.addressable_data(0), jax.jit(_same, out_shardings=self.replicated)(tree))


def spread(tree: Any, abstract: Any) -> Any:
    """A tree that every process has whole -> onto the shardings of `abstract`, each device its own part."""

    def place(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        whole = np.asarray(leaf)
        # a copy: a step that is given its state for good must not write into somebody else's
        return jax.make_array_from_callback(whole.shape, like.sharding, lambda index: whole[index].copy())

    return jax.tree.map(place, tree, abstract)


def _same(tree: Any) -> Any:
    return tree
