"""How well a bundle knows its wrong values: spoilt synthetic frames that no bundle was trained or fitted on.

python benchmarks/spoilt.py [--bundle DIR] [--frames 2000]

The mix: heads, abdomens and femurs in turn; of each a sixth is measured as a plane that it does not show, in shadow,
blurred, cut, beside a second structure, and with another plane's structure touching it (`evaluation/spoil.py`).

A value is wrong if HC is off by over 5 %, AC or FL by over 8 %, and always for another plane. AUROC: of the score for a
wrong value, over the values that it decides about, by the bundle's own score; and with each kind in turn judged by a
score that was fitted to the five others. Bounds are exact (Clopper-Pearson, 95 %).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rounds import parser
from tqdm import tqdm

from fetal_jax import bundle
from fetal_jax.data.source import Frame
from fetal_jax.evaluation.cases import Case, case_of
from fetal_jax.evaluation.metrics import auroc
from fetal_jax.evaluation.spoil import WRONG_PLANE, spoil
from fetal_jax.evaluation.statistics.exact import share_interval
from fetal_jax.evaluation.statistics.fitted_rules import by_model
from fetal_jax.inference import Predictor, score
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE
from tfds_builders.fetal_phantom.phantom import draw

KINDS = (WRONG_PLANE, "shadow", "blur", "cut", "two structures", "body")
FIRST_SEED = 700_000
"""Seeds from 300,000 on are in no split of `fetal_phantom`; tests and other benchmarks use others."""
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
PLANES = tuple(SHAPE_OF_PLANE)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--bundle", type=bundle.find, default=bundle.DEFAULT)
    options.add_argument("--frames", type=int, default=2000)
    args = options.parse_args()
    predictor = Predictor.from_bundle(args.bundle)
    cases = [case for i in tqdm(range(args.frames), unit="frame") for case in spoilt(predictor, i)]
    print(f"{args.frames} frames, {args.frames - len(cases)} of them without a value")
    print("\n".join([*ranking(cases, predictor.info.acceptance), "", *outcomes(cases, predictor.info.acceptance)]))
    print("\n".join(["", *calibration(cases, predictor.info.acceptance)]))


def spoilt(predictor: Predictor, i: int) -> Iterator[Case]:
    """The value of the frame of a number, spoilt by the kind that is its turn."""
    plane, kind = PLANES[i % 3], KINDS[i // 3 % len(KINDS)]
    frame, rng = drawn(plane, FIRST_SEED + i), np.random.default_rng(i)
    asked = plane
    if kind == WRONG_PLANE:
        asked = str(rng.choice([p for p in PLANES if p != plane]))
    else:
        other = str(rng.choice([p for p in PLANES if p != plane]))
        frame = spoil(frame, kind, drawn(other, FIRST_SEED + 100_000 + i), i)
    (seen,) = predictor.predict([frame.image], [None])
    yield from case_of(predictor, "fetal_phantom", frame, kind, asked, seen)


def drawn(plane: str, seed: int) -> Frame:
    """The phantom of a plane and a seed as a labelled frame."""
    phantom = draw(plane, seed)
    truth = {PRIMARY[plane]: phantom.millimetres[PRIMARY[plane]]}
    name = f"{plane}_{seed}.png"
    return Frame(
        phantom.image, plane, SHAPE_OF_PLANE[plane], phantom.shape, phantom.spacing_mm, truth, f"phantom{seed}", name
    )


def risk(case: Case, rules: dict[str, Any]) -> float:
    """The bundle's error probability; NaN where the plane has no score."""
    rule = rules.get(case.plane, {})
    return score.error_probability(rule["score"], case.given) if "score" in rule else np.nan


def measured(case: Case, rules: dict[str, Any]) -> bool:
    """Whether the value is `measured` by the bundle's own rule."""
    if case.plane not in rules:
        return False
    own = risk(case, rules)
    return case.status(None if np.isnan(own) else own, rules[case.plane].get("limit", 1.0)) == "measured"


def ranking(cases: Sequence[Case], rules: dict[str, Any]) -> list[str]:
    lines = ["| AUROC | values | decided by the score | of them wrong | the bundle's score | each kind left out |"]
    lines += ["|---|---|---|---|---|---|"]
    for plane in PLANES:
        own = [case for case in cases if case.plane == plane]
        scored = [case for case in own if case.scored]
        wrong = np.array([case.wrong for case in scored], bool)
        shipped = auroc(wrong, np.array([risk(case, rules) for case in scored]))
        left_out = np.full(len(scored), np.nan)
        for kind in KINDS:
            here = np.array([case.kind == kind for case in scored], bool)
            held = [case for case, h in zip(scored, here, strict=True) if h]
            left_out[here] = by_model([case for case in scored if case.kind != kind], held) if held else np.nan
        lines.append(
            f"| {PRIMARY[plane][:2].upper()} | {len(own)} | {len(scored)} | {wrong.sum()} | {shipped:.3f} | "
            f"{auroc(wrong, left_out):.3f} |"
        )
    return lines


def outcomes(cases: Sequence[Case], rules: dict[str, Any]) -> list[str]:
    lines = ["| kind | plane | right | of them measured | measured | of them wrong | share, 95 % bound |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for kind in (*KINDS, ""):
        for plane in (*PLANES, ""):
            own = [case for case in cases if kind in ("", case.kind) and plane in ("", case.plane)]
            stands = [case for case in own if measured(case, rules)]
            right, bad = sum(not case.wrong for case in own), sum(case.wrong for case in stands)
            bound = ""
            if stands:
                share = bad / len(stands)
                bound = f"{100 * share:.1f} %, {100 * share_interval(share, len(stands))[1]:.1f} %"
            cells = (kind or "all", plane or "all", right, len(stands) - bad, len(stands), bad, bound)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def calibration(cases: Sequence[Case], rules: dict[str, Any]) -> list[str]:
    lines = ["| probability | plane | values | mean probability | share wrong |", "|---|---|---|---|---|"]
    for plane in PLANES:
        scored = [case for case in cases if case.plane == plane and case.scored]
        p = np.array([risk(case, rules) for case in scored])
        wrong = np.array([case.wrong for case in scored], bool)
        for low, high in pairwise(BINS):
            here = (p >= low) & ((p < high) | (high == 1.0))
            if here.any():
                cells = (
                    f"{low:g} to {high:g}",
                    plane,
                    here.sum(),
                    f"{p[here].mean():.3f}",
                    f"{wrong[here].mean():.3f}",
                )
                lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


if __name__ == "__main__":
    main()
