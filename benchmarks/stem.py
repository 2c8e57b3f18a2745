"""What the 2x2 stem buys: a train step of the plain network and of the one that starts at half the resolution.

python benchmarks/stem.py [--quick]

Both have about 7.7 million parameters: width 32 and five levels; width 64, four levels and space-to-depth before them.
"""

from __future__ import annotations

import sys

from rounds import alternate, ours, table


def main() -> None:
    quick = "--quick" in sys.argv
    contestants = {
        "plain, width 32, five levels": ours("jax_unet.py", "step", "--multipliers", "1", "2", "4", "8", "16"),
        "2x2 stem, width 64, four levels": ours("jax_unet.py", "step", "--width=64", "--stem=2"),
    }
    results = alternate(contestants, 3 if quick else 5)
    print("Train step, batch 8, 256x256, float32.\n")
    print(table(results, "plain, width 32, five levels", ("parameters", "GFLOP a frame")))


if __name__ == "__main__":
    main()
