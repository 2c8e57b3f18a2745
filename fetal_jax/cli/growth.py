"""`fetal-jax growth`: a patient's sizes -> gestational age, fetal weight, centiles, and the chart."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fetal_jax import growth
from fetal_jax.errors import UserError
from fetal_jax.growth import age, centiles
from fetal_jax.growth.bpd import CONVENTIONS, as_convention
from fetal_jax.growth.who import OutsideTable

SIZES = ("hc", "ac", "fl", "bpd", "ofd")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name in SIZES:
        parser.add_argument(f"--{name}", type=float, metavar="MM")
    parser.add_argument("--bpd-convention", choices=CONVENTIONS, help="how the BPD was measured; required with --bpd")
    parser.add_argument("--ga", metavar="30w2d", help="the age that is known, for the centiles; else the estimated one")
    parser.add_argument("--age-standard", choices=age.STANDARDS, default="hadlock")
    parser.add_argument("--standard", choices=centiles.STANDARDS, default="intergrowth", help="of the centiles")
    parser.add_argument("--chart", type=Path, metavar="FILE.png|.svg")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Print age, weight and centiles, each with its source; draw the chart if asked to."""
    sizes = {name: getattr(args, name) for name in SIZES if getattr(args, name) is not None}
    if not sizes:
        raise UserError(f"give at least one size in mm: {', '.join('--' + name for name in SIZES)}")
    if args.chart and args.chart.suffix not in (".png", ".svg"):
        raise UserError(f"{args.chart}: the chart is written as .png or .svg")
    try:
        _report(args, sizes)
    except ValueError as e:
        raise UserError(str(e)) from None


def _report(args: argparse.Namespace, sizes: dict[str, float]) -> None:
    given = {f"{name}_mm": mm for name, mm in sizes.items() if name != "ofd"} | {"bpd_convention": args.bpd_convention}
    print("Research software. Not for clinical use.")
    estimated = growth.gestational_age(**given, standard=args.age_standard) if set(sizes) - {"ofd"} else None
    if estimated:
        print(f"gestational age  {estimated}  ({estimated.weeks:.2f} weeks)  {estimated.formula}; {estimated.citation}")
    if estimated is None and args.ga is None:
        raise ValueError("no formula gives the age from an OFD alone: give --ga")
    weeks = parse_age(args.ga) if args.ga else estimated.weeks if estimated else 0.0
    points = dict(sizes)
    formula = "intergrowth" if args.standard == "intergrowth" else "hadlock3"
    needed = {"hc", "ac"} if formula == "intergrowth" else {"hc", "ac", "fl"}
    if needed <= set(sizes):
        weight = growth.fetal_weight(**given, formula=formula)
        points["efw"] = weight.grams
        print(f"fetal weight     {weight.grams:.0f} g  {weight.formula}; {weight.citation}")
    print(f"centiles at {weeks:.2f} weeks ({'given' if args.ga else 'estimated from these sizes: no judge of growth'})")
    drawn = {}
    for name, value in points.items():
        unit = "g" if name == "efw" else "mm"
        try:
            z = growth.z_score(name, value, weeks, args.standard, args.bpd_convention)
            percent = growth.centile(name, value, weeks, args.standard, args.bpd_convention)
            place = f"centile {percent:5.1f}  z {z:+.2f}  {args.standard}; {centiles.citation(name, args.standard)}"
        except OutsideTable as e:
            place = str(e)
        except ValueError as e:
            print(f"  {name.upper():3} {value:7.1f} {unit}  not given: {e}")
            continue
        print(f"  {name.upper():3} {value:7.1f} {unit}  {place}")
        standard = centiles.BPD_OF_STANDARD.get(args.standard)
        drawn[name] = as_convention(value, args.bpd_convention, standard) if name == "bpd" and standard else value
    if args.chart:
        _draw(drawn, weeks, args.standard, args.chart)


def _draw(points: dict[str, float], weeks: float, standard: str, path: Path) -> None:
    if not points:
        raise ValueError(f"{path}: no size has a centile to be drawn")
    try:
        from fetal_jax.growth import chart
    except ImportError as e:
        raise UserError(f"--chart needs {e.name}: pip install 'fetal_jax[report]'") from None
    chart.draw(points, weeks, standard, path)
    print(f"chart: {path}")


def parse_age(text: str) -> float:
    """Exact weeks of "30w2d", "30+2" or "30.29".

    Raises:
      ValueError: it is none of them, or has more than six days.
    """
    if match := re.fullmatch(r"(\d+)\s*(?:w|\+)\s*(?:([0-6])\s*d?)?", text.strip()):
        return int(match[1]) + int(match[2] or 0) / 7
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--ga {text}: write an age as 30w2d, 30+2 or 30.29 weeks") from None
