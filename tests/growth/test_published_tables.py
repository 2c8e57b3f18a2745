"""Standards against the official tables, if they are present."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from fetal_jax.growth import (
    reference,
)


@pytest.fixture(scope="module")
def reference_dir(data_dir) -> Path:
    """The published tables, which may not be shipped: `reference/` beside the real frames."""
    path = data_dir.parent / "reference"
    if not path.is_dir():
        pytest.skip(f"no published tables in {path}")
    return path


def table(path: Path) -> list[tuple[float, list[float]]]:
    """Rows of a week and seven values."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(float(r[0]), [float(v) for v in r[1:]]) for r in rows if len(r) == 8 and r[0].isdigit()]


@pytest.mark.parametrize("measure", ["hc", "bpd", "ofd", "ac", "fl"])
def test_intergrowth_size_tables(measure, reference_dir):
    """Each cell to the printed tenth: within half of it and the 0.02 mm that the published coefficients are rounded by.

    The tables were made with the z-scores 1.28, 1.645 and 1.88; the exact ones move the third decimal of a mm.
    """
    printed = (-1.88, -1.645, -1.28, 0, 1.28, 1.645, 1.88)
    for kind, scores in (("centiles", printed), ("zscores", (-3, -2, -1, 0, 1, 2, 3))):
        rows = table(reference_dir / "intergrowth" / f"{measure}_{kind}.txt")
        assert [week for week, _ in rows] == list(range(14, 41))
        for week, row in rows:
            of_age = reference(measure, week, "intergrowth").distribution
            assert [of_age.value(z) for z in scores] == pytest.approx(row, abs=0.07), (kind, week)


def test_intergrowth_weight_tables(reference_dir):
    rows = table(reference_dir / "intergrowth" / "efw_centiles.txt")
    assert [week for week, _ in rows] == list(range(22, 41))
    for week, row in rows:
        of_age = reference("efw", week, "intergrowth")
        assert [of_age.value(p) for p in (3, 5, 10, 50, 90, 95, 97)] == pytest.approx(row, abs=0.52), week


def test_intergrowth_weight_tables_disagree_with_each_other(reference_dir):
    """The z-score table is neither the equations' nor the centile table's: up to 1.5 % off at three SD."""
    rows = table(reference_dir / "intergrowth" / "efw_zscores.txt")
    worst = 0.0
    for week, row in rows:
        of_age = reference("efw", week, "intergrowth").distribution
        assert of_age.value(0) == pytest.approx(row[3], abs=0.51)
        worst = max(worst, *(abs(of_age.value(z) / g - 1) for z, g in zip(range(-3, 4), row, strict=True)))
    assert 0.01 < worst < 0.016


def test_who_tables(reference_dir):
    with (reference_dir / "who" / "who_global.csv").open() as f:
        rows = [row for row in csv.DictReader(f) if row["fetalDimension"] != "HL"]
    with (reference_dir / "who" / "who_efw_sex.csv").open() as f:
        by_sex = {"F": "who-female", "M": "who-male"}
        rows += [row | {"fetalDimension": "EFW"} for row in csv.DictReader(f) if 0.01 < float(row["quantile"]) < 0.99]
    assert len(rows) == 55 + 18
    for row in rows:
        b = [float(row[f"b{i}"]) for i in range(5)]
        for week in range(14, 41):
            value = math.exp(sum(c * week**i for i, c in enumerate(b)))
            standard = by_sex[row["sex"]] if "sex" in row else "who"
            got = reference(row["fetalDimension"].lower(), week, standard).value(100 * float(row["quantile"]))
            assert got == pytest.approx(value, rel=1e-9)
