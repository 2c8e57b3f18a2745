"""The mesh and who holds what on it: the only place that names a PartitionSpec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fetal_jax.errors import UserError

SMALLEST_SHARDED = 2**12  # elements: below that a gather costs more than the memory it saves


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
        """A sharding for each leaf of a tree: its last axis over `fsdp` where that divides it and it is not small."""

        def place(leaf: Any) -> NamedSharding:
            parts = self.mesh.shape["fsdp"]
            if leaf.ndim and leaf.size >= SMALLEST_SHARDED and leaf.shape[-1] % parts == 0:
                return NamedSharding(self.mesh, PartitionSpec(*[None] * (leaf.ndim - 1), "fsdp"))
            return self.replicated

        return jax.tree.map(place, abstract)

    def put(self, batch: Any) -> Any:
        """A process' part of a batch -> the global batch on its devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.batch, x), batch)
