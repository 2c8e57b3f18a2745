"""Phantoms: frames drawn a second on one core, and the planes that a published classifier of real frames names in them.

python benchmarks/phantom.py [--sononet sononet16.npz]

SonoNet16 (C. F. Baumgartner et al., IEEE TMI 2017; weights Apache-2.0, `SonoNet16.npz` of baumgach/SonoNet-weights)
has seen real frames alone: if it calls a drawn head a brain, the drawing looks like one.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from rounds import parser

from tfds_builders.fetal_phantom.phantom import draw

PLANES = ("head", "abdomen", "femur", "thorax", "cervix", "other")
CLASSES = "3VV 4CH abdomen other head head femur kidneys lips LVOT profile RVOT spine spine".split()  # noqa: SIM905
FIRST_SEED = 900_000


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sononet", type=Path)
    options.add_argument("--frames", type=int, default=60, help="of each plane")
    args = options.parse_args()
    layers = np.load(args.sononet, allow_pickle=False) if args.sononet else None
    cv2.setNumThreads(1)
    draw("head", 0)
    for plane in PLANES:
        start = time.process_time()
        frames = [draw(plane, FIRST_SEED + i).image for i in range(args.frames)]
        line = f"{plane}: {args.frames / (time.process_time() - start):.0f} frames/s of one core, 640x480"
        if layers is not None:
            counts = Counter(classes(layers, frames)).most_common()
            line += "; named " + ", ".join(f"{name} {n / args.frames:.0%}" for name, n in counts)
        print(line, flush=True)


def classes(layers: Any, frames: list[Any]) -> list[str]:
    """SonoNet16's class of each frame (H, W) uint8."""
    small = np.stack([cv2.resize(f, (288, 224), interpolation=cv2.INTER_AREA) for f in frames]).astype(np.float32)
    small -= small.mean((1, 2), keepdims=True)
    small *= 255 / small.std((1, 2), keepdims=True)
    parts = np.split(small[:, None], range(10, len(small), 10))
    return [CLASSES[i] for part in parts for i in np.asarray(sononet(layers, part)).argmax(1)]


def sononet(layers: Any, x: Any) -> Any:
    """(N, 1, 224, 288) -> logits (N, 14): fifteen convolutions, four pools, a mean."""
    for i in range(15):
        kernel, beta, gamma, mean, inverse = (layers[f"arr_{5 * i + k}"] for k in range(5))
        x = jax.lax.conv(x, kernel, (1, 1), "SAME") - mean[:, None, None]
        x = x * (inverse * gamma)[:, None, None] + beta[:, None, None]
        x = jax.nn.relu(x) if i < 14 else x
        if i in (1, 3, 6, 9):
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return x.mean((2, 3))


if __name__ == "__main__":
    main()
