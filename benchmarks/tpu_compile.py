"""The unchanged training step, compiled for TPU slices by XLA's own compiler, on a machine without a TPU.

pip install -c constraints.txt '.[tpu]'
python benchmarks/tpu_compile.py                         every recipe on a v5e 2x4, 32 frames per chip
python benchmarks/tpu_compile.py --slices --frames 64    one recipe on v5e 2x4, 4x4, 16x16 and v6e 4x4

Prints what the compiled program of one chip computes, moves, holds and sends. The two bounds are these numbers divided
by the maker's peaks; a real step takes longer than the larger one. The efficiency compares the larger bound with the
same followed by the collectives, not overlapped, at half of the interconnect's stated rate.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh
from rounds import parser

sys.path.insert(0, str(Path(__file__).parents[1]))

from fetal_jax import config as configs
from tests.support.collectives import collectives, compile_step

RECIPES = ("paper", "hc18", "unified", "demo")
ENVIRONMENT = {"TPU_ACCELERATOR_TYPE": "v5litepod-8", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_SKIP_MDS_QUERY": "1"}
SLICES = ("v5e:2x4", "v5e:4x4", "v5e:16x16", "v6e:4x4")


Chip = namedtuple("Chip", "flops bandwidth memory interconnect")
CHIPS = {"v5e": Chip(197e12, 819e9, 16e9, 1600e9 / 8), "v6e": Chip(918e12, 1640e9, 32e9, 3584e9 / 8)}
"""The maker's peaks: bfloat16 FLOP/s, bytes/s of memory, bytes of memory, bytes/s of the interconnect; from
cloud.google.com/tpu/docs/v5e and /v6e."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--recipe", help=f"default: all of {', '.join(RECIPES)}; with --slices hc18")
    options.add_argument("--frames", type=int, default=32, help="of one chip")
    options.add_argument("--fsdp", type=int, default=1)
    options.add_argument("--slices", action="store_true", help=f"{', '.join(SLICES)} in place of {SLICES[0]} alone")
    args = options.parse_args()
    os.environ.update(ENVIRONMENT)  # before the compiler is loaded
    names = [args.recipe] if args.recipe else ["hc18"] if args.slices else RECIPES
    print(
        "| recipe | slice | GFLOP | GB moved | compute bound | bandwidth bound | frames/s per chip, at most "
        "| memory | sent | largest sent | efficiency 8 to 256 |"
    )
    print("|" + "---|" * 11)
    for name in names:
        for slice_name in SLICES if args.slices else SLICES[:1]:
            print(row(name, slice_name, args.frames, args.fsdp), flush=True)
    rates = ", ".join(f"{name} {chip.interconnect * 8 / 1e9:,.0f} Gbit/s" for name, chip in CHIPS.items())
    print(f"The efficiency takes half of the interconnect's stated rate of a chip ({rates}), nothing overlapped.")


def row(name: str, slice_name: str, frames: int, fsdp: int) -> str:
    """A line of the table: a recipe in bfloat16 on a slice."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=slice_name).devices
    chip = CHIPS[slice_name.partition(":")[0]]
    config = configs.load(
        str(Path("configs") / f"{name}.py"),
        [f"--config.batch_size={frames * len(devices)}", "--config.model.dtype=bfloat16"],
    )
    compiled = compile_step(config, Mesh(np.array(devices).reshape(-1, fsdp), ("data", "fsdp")))
    cost, held, sent = compiled.cost_analysis(), compiled.memory_analysis(), collectives(compiled.as_text())
    memory = (
        held.argument_size_in_bytes + held.output_size_in_bytes - held.alias_size_in_bytes + held.temp_size_in_bytes
    )
    compute, bandwidth = cost["flops"] / chip.flops, cost["bytes accessed"] / chip.bandwidth
    bound, total = max(compute, bandwidth), sum(c.bytes for c in sent)

    def step_time(chips: int) -> float:  # a ring sends (n - 1) / n of the bytes twice
        return bound + 2 * total * (chips - 1) / chips / (chip.interconnect / 2)

    cells = [
        name,
        f"{slice_name}, {frames} frames per chip",
        f"{cost['flops'] / 1e9:.0f}",
        f"{cost['bytes accessed'] / 1e9:.1f}",
        f"{1e3 * compute:.1f} ms",
        f"{1e3 * bandwidth:.1f} ms",
        f"{frames / bound:,.0f}",
        f"{memory / 1e9:.2f} of {chip.memory / 1e9:.0f} GB",
        f"{total / 1e6:.1f} MB",
        max((f"{c.bytes / 1e6:.1f} MB {c.kind}" for c in sent), key=lambda t: float(t.split()[0]), default="none"),
        f"{100 * step_time(8) / step_time(256):.1f} %",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
