"""What a start costs: the first step of `configs/hc18.py`'s network, compiled anew and taken from the cache.

python benchmarks/starts.py [--quick]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile

from rounds import alternate, ours


def main() -> None:
    rounds = 2 if "--quick" in sys.argv else 5
    shape = ["--size", "192", "288", "--width=16", "--multipliers", "1", "2", "4", "8", "8", "--stem=2", "--planes=1"]
    command = ours("jax_unet.py", "step", *shape)
    cold, second = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
            for times in (cold, second):
                times.append(alternate({"start": command}, 1)["start"].facts["first step s"])
    ratio = statistics.median(second) / statistics.median(cold)
    print("The first step of a process: traced, compiled, run.\n")
    print("| start | median s | least s |\n| --- | --- | --- |")
    for name, times in (("cold", cold), ("second", second)):
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} |")
    print(f"\nThe second takes {ratio:.0%} of the first (target: at most 25 %).")


if __name__ == "__main__":
    main()
