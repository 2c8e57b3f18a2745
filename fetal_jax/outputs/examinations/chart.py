"""A small SVG of a measure's centile curves with the visits of one pregnancy. matplotlib is not in the base install.

Colours are CSS variables with defaults for white paper, so that a page can draw the same chart on black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from fetal_jax.growth import STANDARDS, GrowthError, format_age, reference
from fetal_jax.growth.measures import bpd_as
from fetal_jax.outputs.examinations.examination import BPD_CONVENTION
from fetal_jax.planes import QUANTITIES

CENTILES = {3: "1 3", 10: "4 3", 50: "", 90: "4 3", 97: "1 3"}
"""Centiles that are drawn, and the dashes that distinguish their curves without colour."""
STANDARD_NAMES = {"hadlock": "Hadlock", "intergrowth": "INTERGROWTH-21st", "who": "WHO"}
WIDTH, HEIGHT = 320, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 22, 26, 30
_AGES = 53


@dataclass(frozen=True)
class Point:
    """One visit on a chart."""

    weeks: float
    value: float
    """In mm or g; BPD is outer-outer."""
    low: float | None = None
    """Range of the age in weeks, if it comes from the same sizes."""
    high: float | None = None
    current: bool = True
    """Whether it is the page's own visit, drawn filled; others are hollow."""


@lru_cache(maxsize=64)
def curves(measure: str, standard: str) -> tuple[tuple[float, ...], dict[int, tuple[float, ...]]]:
    """Ages in weeks, and the values of each centile of `CENTILES` at these ages."""
    ages = np.linspace(*STANDARDS[standard].weeks[measure], _AGES)
    at = [reference(measure, age, standard) for age in ages]
    return tuple(map(float, ages)), {c: tuple(r.value(c) for r in at) for c in CENTILES}


def draw(measure: str, standard: str, points: Sequence[Point]) -> Markup:
    """Draw the standard's curves and the points as an SVG element, with a label for screen readers.

    Raises:
      GrowthError: the standard has no curve for the measure.
    """
    if measure not in STANDARDS[standard].weeks:
        raise GrowthError(f"{standard} has no curve for {measure!r}")
    ages, lines = curves(measure, standard)
    quantity = QUANTITIES[measure]
    wanted = STANDARDS[standard].bpd_convention
    if measure == "bpd" and wanted:
        points = [Point(p.weeks, bpd_as(wanted, p.value, BPD_CONVENTION), p.low, p.high, p.current) for p in points]
    x0, x1 = min([ages[0], *(p.weeks for p in points)]), max([ages[-1], *(p.weeks for p in points)])
    values = [p.value for p in points]
    step = _nice_step(max(lines[97]) - min(lines[3]))
    y0 = step * math.floor(min(*lines[3], *values) / step)
    y1 = step * math.ceil(max(*lines[97], *values) / step)

    def x(weeks: float) -> float:
        return _LEFT + (min(max(weeks, x0), x1) - x0) / (x1 - x0) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - _TOP - _BOTTOM)

    def path(values: Sequence[float]) -> str:
        return " ".join(f"{x(a):.1f},{y(v):.1f}" for a, v in zip(ages, values, strict=True))

    grey, faint, band = "var(--chart-text, #5b6472)", "var(--chart-grid, #e6e9ee)", "var(--chart-band, #eef3f8)"
    shown = ", ".join(f"{p.value:.{_digits(measure)}f} {quantity.unit} at {format_age(p.weeks)}" for p in points)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{quantity.label} by gestational age, {STANDARD_NAMES[standard]}: {shown or 'no value'}</title>",
        f'<text x="0" y="13" class="name" font-weight="600" font-size="12" fill="var(--chart-name, #14181f)">'
        f'{quantity.label} <tspan font-weight="400" fill="{grey}">{quantity.unit}</tspan></text>',
        f'<polygon fill="{band}" points="{path(lines[10])} {" ".join(reversed(path(lines[90]).split()))}"/>',
        f'<g font-size="9" fill="{grey}" stroke-width="1">',
    ]
    for value in np.arange(y0, y1 + step / 2, step):
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{faint}"/>'
            f'<text x="{_LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{value:g}</text>'
        )
    for week in range(4 * math.ceil(x0 / 4), math.floor(x1) + 1, 4):
        parts.append(f'<text x="{x(week):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{week}</text>')
    parts.append(f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">weeks</text>')
    for percent, dash in CENTILES.items():
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<polyline fill="none" stroke="var(--chart-curve, #8994a3)" points="{path(lines[percent])}"{dashes}/>'
        )
    for percent, shift in {97: -1, 50: 3, 3: 7}.items():  # keeps labels of close curves from overlapping
        parts.append(
            f'<text x="{x(ages[-1]) + 4:.1f}" y="{y(lines[percent][-1]) + shift:.1f}" font-size="8">{percent}</text>'
        )
    return Markup("".join([*parts, "</g>", *_points(points, x, y), "</svg>"]))  # safe: only numbers and our own words


def _points(points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    accent, paper = "var(--accent, #0b5fa5)", "var(--paper, #fff)"
    ordered = sorted(points, key=lambda p: p.weeks)
    parts = [
        f'<line x1="{x(p.low):.1f}" x2="{x(p.high):.1f}" y1="{y(p.value):.1f}" y2="{y(p.value):.1f}" '
        f'stroke="{accent}" stroke-width="1.5" opacity=".55"/>'
        for p in ordered
        if p.low is not None and p.high is not None
    ]
    if len(ordered) > 1:
        line = " ".join(f"{x(p.weeks):.1f},{y(p.value):.1f}" for p in ordered)
        parts.append(f'<polyline fill="none" stroke="{accent}" stroke-width="1.2" points="{line}"/>')
    parts += [
        f'<circle cx="{x(p.weeks):.1f}" cy="{y(p.value):.1f}" r="4" fill="{accent if p.current else paper}" '
        f'stroke="{accent if not p.current else paper}" stroke-width="1.5"/>'
        for p in ordered
    ]
    return parts


def _digits(measure: str) -> int:
    return 0 if measure == "efw" else 1


def _nice_step(span: float) -> float:
    """Distance between grid lines: 1, 2 or 5 times a power of ten, at most six in `span`."""
    power = 10 ** math.floor(math.log10(span / 6))
    return float(next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= 6))
