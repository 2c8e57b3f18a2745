"""Two thousand files that are not what they should be: no crash, no hang over 10 s, under 2 GB, the good ones measured.

python benchmarks/mutants.py [--count 2000]          about five minutes
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.test_mutants import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for name, value in run(Path(work), args.count).items():
            print(f"{name} {value:.4g}")


if __name__ == "__main__":
    main()
