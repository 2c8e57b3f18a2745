"""`fetal-jax growth --hc 290 --ac 260 --fl 56 [--ga 30w2d]`"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from fetal_jax import __version__
from fetal_jax.cli import number, several
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
from fetal_jax.growth.contradiction import contradiction
from fetal_jax.growth.hadlock import BPD_CONVENTION
from fetal_jax.growth.measures import CONVENTIONS, GrowthError, bpd_as, bpd_text, given, labels
from fetal_jax.planes import QUANTITIES

SIZES = {
    "hc": "head circumference",
    "ac": "abdominal circumference",
    "fl": "femur length",
    "bpd": "biparietal diameter, with --bpd-convention",
    "ofd": "occipitofrontal diameter",
    "crl": "crown-rump length, alone",
}
DEFAULT_STANDARDS = ("intergrowth", "intergrowth-hadlock", "hadlock", "who", "fmf")
SUFFIXES = (".png", ".svg", ".pdf")
SAME = "the same sizes: these centiles only compare them with each other."
"""Said of an age that is not given, in the text and on the chart."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for measure, text in SIZES.items():
        parser.add_argument(f"--{measure}", type=number, metavar="MM", help=f"{text}, in mm")
    parser.add_argument(
        "--bpd-convention", choices=CONVENTIONS, help="where the BPD's calipers are placed on the skull"
    )
    parser.add_argument(
        "--ga",
        metavar="AGE",
        help="known gestational age: 30w2d, 30+2, '30 2/7', 212d (days), or 30.2w (decimal weeks)",
    )
    parser.add_argument(
        "--standard",
        nargs="+",  # blanks between the names were the way before commas
        type=several("standard", STANDARDS),
        default=[DEFAULT_STANDARDS],
        metavar="NAME,...",
        help=f"standards of the centiles: {', '.join(STANDARDS)}; default: {','.join(DEFAULT_STANDARDS)}",
    )
    parser.add_argument(
        "--weight-formula",
        choices=WEIGHT_FORMULAS,
        help="compare the weight by this formula in every standard, also where its curves were made with another; "
        "default: the formula of each standard",
    )
    parser.add_argument(
        "--chart", type=Path, metavar="FILE", help="draw the curves of the first standard: .png, .svg or .pdf"
    )
    parser.add_argument("--code", default="", help="code of the patient or examination, written on the chart; no name")
    parser.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="date of the examination, on the chart")


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date: write it as 2026-11-28") from None


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Print age, weight and centiles, each with its formula, and the sources; then draw the chart."""
    if args.chart and args.chart.suffix.lower() not in SUFFIXES:
        raise UserError(f"--chart={args.chart}: give a file that ends in .png, .svg or .pdf")
    convention = args.bpd_convention
    if args.bpd is not None and convention is None:
        raise UserError(f"--bpd needs --bpd-convention: {' or '.join(CONVENTIONS)}")
    known = None if args.ga is None else parse_age(args.ga)
    sizes = given(convention, **{measure: getattr(args, measure) for measure in SIZES})

    apart = _apart(sizes, convention)
    ages = _print_ages(sizes, convention, known, args.ga, apart)
    if known is None and not ages:
        raise GrowthError(f"{apart}, or give --ga" if apart else "no formula gives an age from these sizes: give --ga")
    weights = _print_weights(sizes, convention, args.weight_formula, apart)
    weeks = ages[0].weeks if known is None else known
    print(f"Centiles at {format_age(weeks)}" + ("" if known is not None else f", the age by {ages[0].formula}"))
    centiles = []
    values = {}
    standards = [name for names in args.standard for name in names]
    for name in standards:
        values[name] = _values(sizes, weights, name, args.weight_formula)
        centiles += _print_centiles(values[name], weeks, name, convention, args.weight_formula)
        if weights and "efw" in STANDARDS[name].weeks and "efw" not in values[name]:
            own = STANDARDS[name].weight_formula
            print(f"  EFW  no centile by {name}: its weights are by {own} ({labels(WEIGHT_FORMULAS[own])})")
    if not any(values.values()):
        print("  none: no standard has a curve for these sizes")
    if known is None and centiles:
        print(f"  The age comes from {SAME} Give --ga.")
    print("Sources")
    results: list[GestationalAge | FetalWeight | Centile] = [*ages, *weights.values(), *centiles]
    for citation in dict.fromkeys(result.citation for result in results):
        print(f"  {citation}.")
    print(NOT_CLINICAL)
    if args.chart:
        notes = [f"{apart}."] if apart else []
        notes += [] if known is not None else [f"The age is by {ages[0].formula}, from {SAME}"]
        _draw(args, standards[0], values[standards[0]], weeks, notes)


def _lengths(sizes: dict[str, float], *measures: str) -> dict[str, float | None]:
    return {f"{measure}_mm": sizes.get(measure) for measure in measures}


def _apart(sizes: dict[str, float], convention: str | None) -> str:
    """Say why the sizes cannot be of one fetus; empty if they can."""
    bpd = {"bpd": bpd_as(BPD_CONVENTION, sizes["bpd"], convention)} if "bpd" in sizes else {}
    said = contradiction(sizes | bpd)
    return said and f"{said}: two fetuses, a wrong size or abnormal growth; measure again"


def _print_ages(
    sizes: dict[str, float], convention: str | None, known: float | None, text: str | None, apart: str
) -> list[GestationalAge]:
    """Print and return the age by each standard that gives one; none from sizes that are `apart`."""
    print("Age")
    if known is not None:
        print(f"  {format_age(known)}  {known:6.2f} weeks  as given: {text}")
    if apart:
        print(f"  none by the sizes: {apart}")
        return []
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


def _print_weights(
    sizes: dict[str, float], convention: str | None, wanted: str | None, apart: str
) -> dict[str, FetalWeight]:
    """Print and return the weight by each formula whose measures are given; `wanted` must be one of them.

    Sizes that are `apart` give none.
    """
    if apart:
        print(f"Weight\n  none: {apart}")
        return {}
    weights = {
        formula: fetal_weight(**_lengths(sizes, "hc", "ac", "fl", "bpd"), bpd_convention=convention, formula=formula)
        for formula, measures in WEIGHT_FORMULAS.items()
        if sizes.keys() >= set(measures) or formula == wanted
    }
    print("Weight" if weights else "Weight\n  none: it takes AC and FL, or HC and AC, or more")
    for name, weight in weights.items():
        print(f"  {weight.grams:6.0f} g  {name:11}  {weight.formula}")
    return weights


def _values(
    sizes: dict[str, float], weights: dict[str, FetalWeight], standard: str, wanted: str | None
) -> dict[str, float]:
    """Sizes in mm for which a standard has curves, and the weight in g by its own formula or the wanted one."""
    formula = wanted or STANDARDS[standard].weight_formula
    found = sizes | ({"efw": weights[formula].grams} if formula in weights else {})
    return {measure: found[measure] for measure in STANDARDS[standard].weeks if measure in found}


def _print_centiles(
    values: dict[str, float], weeks: float, standard: str, convention: str | None, wanted: str | None
) -> list[Centile]:
    """Print and return the centile of each value in a standard; BPD is converted to the standard's convention."""
    chosen = STANDARDS[standard]
    centiles = []
    for measure, value in values.items():
        q = QUANTITIES[measure]
        shown, detail = value, ""
        if measure == "bpd" and chosen.bpd_convention:
            shown = bpd_as(chosen.bpd_convention, value, convention)
            detail = f"; {bpd_text(chosen.bpd_convention, value, convention)}"
        if measure == "efw" and wanted not in (None, chosen.weight_formula):
            detail = f"; weight by {wanted}, curves by {chosen.weight_formula}"
        row = f"  {q.label:4} {shown:6.{0 if measure == 'efw' else 1}f} {q.unit:2}"
        try:
            found = centile(
                *(measure, value, weeks, standard, convention),
                weight_formula=wanted,
                allow_other_formula=wanted is not None,
            )
        except GrowthError as e:
            print(f"{row}  no centile by {standard}: {e}")
        else:
            z = "       " if found.z is None else f"z {found.z:+.2f}"
            print(f"{row}  {found.text:>5} %  {z}  {found.formula}{detail}")
            centiles.append(found)
    return centiles


def _draw(args: argparse.Namespace, standard: str, values: dict[str, float], weeks: float, about: list[str]) -> None:
    try:
        from fetal_jax.growth import chart  # only a chart needs matplotlib
    except ImportError:
        raise UserError("--chart draws with matplotlib: pip install '.[chart]'") from None
    dates = [f"examined {args.date}"] if args.date else []
    figure = chart.draw(
        *(values, weeks, standard, args.bpd_convention),
        weight_formula=args.weight_formula,
        heading="   ".join([args.code, *dates] if args.code else dates),
        notes=[*about, f"Drawn on {datetime.date.today()} by fetal_jax {__version__}."],
    )
    chart.write(args.chart, figure)
    print(f"Chart ({standard}): {args.chart}")
