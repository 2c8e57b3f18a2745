"""What the 2x2 stem buys: a train step of plain networks and of ones that start at half the resolution.

python benchmarks/stem.py

In each pair the parameters are the same within 1 %: one level fewer, twice the width, space-to-depth before them.
"""

from __future__ import annotations

from rounds import alternate, ours, table


def main() -> None:
    print("Train step, batch 8, 256x256, float32.\n")
    for width in (16, 32):
        plain = f"plain, width {width}, five levels"
        contestants = {
            plain: ours("jax_unet.py", "step", f"--width={width}", "--multipliers", "1", "2", "4", "8", "16"),
            f"2x2 stem, width {2 * width}, four levels": ours(
                "jax_unet.py", "step", f"--width={2 * width}", "--stem=2"
            ),
        }
        print(table(alternate(contestants, 5), plain, ("parameters", "GFLOP a frame")), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
