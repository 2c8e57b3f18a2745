"""How often each status is right, on validation frames as they are and spoilt.

python benchmarks/flags.py [--name SET] [--bundle DIR]      prints the table of docs/flags.md

The picture beside it is `acceptance.png` of `fetal-jax evaluate --bundle=BUNDLE --calibrate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rounds import parser

from fetal_jax import bundle
from fetal_jax.data.source import Split
from fetal_jax.evaluation.cases import Case, draw, measure_cases
from fetal_jax.evaluation.spoil import AS_IT_IS
from fetal_jax.evaluation.statistics.exact import share_interval
from fetal_jax.inference import Predictor, score


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    options.add_argument("--name", action="append", help="a data set; default: hc18/benchmark")
    options.add_argument("--bundle", type=bundle.find, default=bundle.DEFAULT)
    options.add_argument("--frames", type=int, help="of each plane; default: the whole validation split")
    args = options.parse_args()
    predictor = Predictor.from_bundle(args.bundle)
    splits = {name: Split(name, "validation", args.data_dir) for name in args.name or ("hc18/benchmark",)}
    frames = [(name, frame) for name, s in splits.items() for frame in draw(s, most=args.frames or len(s))]
    print("\n".join(table(list(measure_cases(predictor, frames)), predictor.info.acceptance)))


def table(cases: Sequence[Case], rules: Mapping[str, Any]) -> list[str]:
    """Count right and wrong values by kind of frame and plane; the bound is exact, with frames taken as independent."""
    lines = ["| frames | plane | right | of them measured | measured | of them wrong | 95 % bound |"]
    lines += ["|---|---|---|---|---|---|---|"]
    groups = dict.fromkeys((case.kind, case.source if case.kind == AS_IT_IS else "", case.plane) for case in cases)
    for kind, source, plane in sorted(groups, key=lambda g: (g[0] != AS_IT_IS, g)):
        own = [c for c in cases if (c.kind, c.plane) == (kind, plane) and source in ("", c.source)]
        stands = [case for case in own if measured(case, rules)]
        right, bad = sum(not case.wrong for case in own), sum(case.wrong for case in stands)
        bound = f"{100 * share_interval(bad / len(stands), len(stands))[1]:.1f} %" if stands else ""
        name = f"{kind}, {source}" if source else kind
        lines.append(f"| {name} | {plane} | {right} | {len(stands) - bad} | {len(stands)} | {bad} | {bound} |")
    return lines


def measured(case: Case, rules: Mapping[str, Any]) -> bool:
    """Whether a value stands by itself, by the bundle's own rule."""
    rule = rules.get(case.plane)
    if rule is None:
        return False
    risk = score.error_probability(rule["score"], case.given) if "score" in rule else None
    return case.status(risk, rule.get("limit", 1.0)) == "measured"


if __name__ == "__main__":
    main()
