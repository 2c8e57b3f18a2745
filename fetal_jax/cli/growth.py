"""`fetal-jax growth --hc 290 --ac 260 --fl 56 [--ga 30w2d]`"""

from __future__ import annotations

import argparse
from pathlib import Path

from fetal_jax.errors import NOT_CLINICAL, UserError
from fetal_jax.growth import (
    STANDARDS,
    WEIGHT_FORMULAS,
    Centile,
    FetalWeight,
    GestationalAge,
    centile,
    fetal_weight,
    format_age,
    gestational_age,
    parse_age,
)
from fetal_jax.growth.measures import CONVENTIONS, GrowthError, given
from fetal_jax.planes import QUANTITIES

SIZES = {
    "hc": "head circumference",
    "ac": "abdominal circumference",
    "fl": "femur length",
    "bpd": "biparietal diameter, with --bpd-convention",
    "ofd": "occipitofrontal diameter",
    "crl": "crown-rump length, alone",
}
DEFAULT_STANDARDS = ("intergrowth", "intergrowth-hadlock", "hadlock", "who")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for measure, text in SIZES.items():
        parser.add_argument(f"--{measure}", type=float, metavar="MM", help=f"{text}, in mm")
    parser.add_argument("--bpd-convention", choices=CONVENTIONS, help="position of the BPD's calipers on the skull")
    parser.add_argument("--ga", metavar="AGE", help="the known gestational age: 30w2d, or weeks as 30.3")
    parser.add_argument(
        "--standard",
        nargs="+",
        choices=STANDARDS,
        default=DEFAULT_STANDARDS,
        help=f"standards of the centiles; default: {' '.join(DEFAULT_STANDARDS)}",
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the first standard's curves: .png or .svg")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Print age, weight and centiles, each with its formula; draw the chart."""
    if args.chart and args.chart.suffix not in (".png", ".svg"):
        raise UserError(f"--chart={args.chart}: give a file that ends in .png or .svg")
    known = None if args.ga is None else parse_age(args.ga)
    convention = args.bpd_convention
    sizes = given(convention, **{measure: getattr(args, measure) for measure in SIZES})

    ages = _print_ages(sizes, convention, known)
    if known is None and not ages:
        raise GrowthError("no formula gives an age from these sizes: give --ga")
    weights = _print_weights(sizes, convention)
    weeks = ages[0].weeks if known is None else known
    values = {name: _values(sizes, weights, name) for name in args.standard}
    print(f"Centiles at {format_age(weeks)}" + ("" if known is not None else f", the age by {ages[0].formula}"))
    centiles = [c for name in values for c in _print_centiles(values[name], weeks, name, convention)]
    if not any(values.values()):
        print("  none: no standard has a curve for what is given")
    if known is None and centiles:
        print("  The age comes from the same sizes: these centiles only compare them with each other. Give --ga.")
    if args.chart:
        _draw(args.chart, values[args.standard[0]], weeks, args.standard[0], convention)
    print("Sources")
    results: list[GestationalAge | FetalWeight | Centile] = [*ages, *weights.values(), *centiles]
    for citation in dict.fromkeys(result.citation for result in results):
        print(f"  {citation}.")
    print(NOT_CLINICAL)


def _lengths(sizes: dict[str, float], *measures: str) -> dict[str, float | None]:
    return {f"{measure}_mm": sizes.get(measure) for measure in measures}


def _print_ages(sizes: dict[str, float], convention: str | None, known: float | None) -> list[GestationalAge]:
    """Print and return the age by each standard that gives one."""
    print("Age")
    if known is not None:
        print(f"  {format_age(known)}  {known:6.2f} weeks  as given")
    ages = []
    for standard in ("hadlock", "intergrowth"):
        try:
            age = gestational_age(
                **_lengths(sizes, "hc", "ac", "fl", "bpd", "crl"), bpd_convention=convention, standard=standard
            )
        except GrowthError as e:
            print(f"  none by {standard}: {e}")
        else:
            print(f"  {age}  {age.weeks:6.2f} weeks  {age.formula}")
            ages.append(age)
    return ages


def _print_weights(sizes: dict[str, float], convention: str | None) -> dict[str, FetalWeight]:
    """Print and return the weight by each formula whose measures are given."""
    weights = {
        formula: fetal_weight(**_lengths(sizes, "hc", "ac", "fl", "bpd"), bpd_convention=convention, formula=formula)
        for formula, measures in WEIGHT_FORMULAS.items()
        if sizes.keys() >= set(measures)
    }
    print("Weight" if weights else "Weight\n  none: it takes AC and FL, or HC and AC, or more")
    for weight in weights.values():
        print(f"  {weight.grams:6.0f} g  {weight.formula}")
    return weights


def _values(sizes: dict[str, float], weights: dict[str, FetalWeight], standard: str) -> dict[str, float]:
    """Values that a standard has curves for: sizes, and the weight by the standard's own formula."""
    formula = STANDARDS[standard].weight_formula
    found = sizes | ({"efw": weights[formula].grams} if formula in weights else {})
    return {measure: found[measure] for measure in STANDARDS[standard].weeks if measure in found}


def _print_centiles(values: dict[str, float], weeks: float, standard: str, convention: str | None) -> list[Centile]:
    """Print and return the centile of each value in a standard."""
    centiles = []
    for measure, value in values.items():
        q = QUANTITIES[measure]
        text = f"  {q.label:4} {value:6.{0 if measure == 'efw' else 1}f} {q.unit:2}"
        try:
            found = centile(measure, value, weeks, standard, convention)
        except GrowthError as e:
            print(f"{text}  no centile by {standard}: {e}")
        else:
            print(f"{text}  {found.text:>5} %  z {found.z:+.2f}  {found.formula}")
            centiles.append(found)
    return centiles


def _draw(path: Path, values: dict[str, float], weeks: float, standard: str, convention: str | None) -> None:
    try:
        from fetal_jax.growth import chart  # only a chart needs matplotlib
    except ImportError:
        raise UserError("--chart draws with matplotlib: pip install '.[chart]'") from None
    chart.write(path, chart.draw(values, weeks, standard, convention))
    print(f"Chart ({standard}): {path}")
