"""Whether a machine measured differently in one month than in its other months.

The rule: for each measure, machine and month with at least `FEWEST` patients, and as many in the machine's other
months, Welch's t-test between the month's patients and the others'. The most significant month is flagged while its p
is below `FALSE_ALARM` over the number of tests left (Holm's steps). It is then removed from the comparison group, so
that one drifted month does not make the others suspicious. Without drift, a report has a false alarm with a
probability of at most `FALSE_ALARM`, over all its machines, months and measures together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

FALSE_ALARM = 0.001
FEWEST = 20


@dataclass(frozen=True)
class Cell:
    """The values of one measure, machine and month: the mean value of each patient."""

    measure: str
    device: str
    month: str
    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """The mean value."""
        return self.total / self.n


@dataclass(frozen=True)
class Alarm:
    """A month in which a machine measured differently."""

    cell: Cell
    others: float
    """Mean of the machine's other months."""
    p: float
    limit: float
    """The limit for p."""


@dataclass(frozen=True)
class Drift:
    """The tests of a report, and the alarms."""

    tests: int
    too_few: int
    """Months of a machine and measure that were not tested."""
    alarms: tuple[Alarm, ...]


def find(cells: Iterable[Cell]) -> Drift:
    """Test all months by the rule above."""
    groups: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.measure, cell.device].append(cell)
    tested = {key: [c for c in group if _testable(c, group)] for key, group in groups.items()}
    tests = sum(map(len, tested.values()))
    found: list[Alarm] = []
    results = {c: result for key, group in tested.items() for c in group if (result := _test(c, groups[key]))}
    while results:
        cell = min(results, key=lambda c: results[c][1])
        (others, p), limit = results.pop(cell), FALSE_ALARM / (tests - len(found))
        if p >= limit:
            break
        found.append(Alarm(cell, others, p, limit))
        key = cell.measure, cell.device
        groups[key] = [c for c in groups[key] if c is not cell]
        for other in groups[key]:
            if other in results:
                again = _test(other, groups[key])
                results |= {other: again} if again else {}
                if not again:
                    del results[other]
    return Drift(tests, sum(map(len, groups.values())) + len(found) - tests, tuple(found))


def _testable(cell: Cell, group: list[Cell]) -> bool:
    return cell.n >= FEWEST and sum(c.n for c in group) - cell.n >= FEWEST


def _test(cell: Cell, group: list[Cell]) -> tuple[float, float] | None:
    """Welch's test: (mean of the other months, p); None if too few patients are left."""
    if not _testable(cell, group):
        return None
    n, total, squares = (sum(getattr(c, k) for c in group if c is not cell) for k in ("n", "total", "squares"))
    (mean, sd), (others, sd_others) = _moments(cell.n, cell.total, cell.squares), _moments(n, total, squares)
    if not (sd or sd_others):
        return others, float(mean == others)
    found = stats.ttest_ind_from_stats(mean, sd, cell.n, others, sd_others, n, equal_var=False)
    return others, float(found.pvalue)


def _moments(n: int, total: float, squares: float) -> tuple[float, float]:
    """Mean and SD."""
    mean = total / n
    return mean, float(np.sqrt(max(squares - n * mean**2, 0) / (n - 1)))
