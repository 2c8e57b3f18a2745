"""Fit the acceptance rule of each plane to measured frames: a logistic score of wrong values, and its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.errors import amount
from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.cases import Case
from fetal_jax.evaluation.spoil import AS_IT_IS
from fetal_jax.evaluation.statistics.exact import share_interval
from fetal_jax.evaluation.statistics.fitted_score import fit
from fetal_jax.inference import score

Array = NDArray[Any]
FOLDS = 5
FEW_WRONG, MOST_WRONG, MOST_RIGHT = 0.01, 0.05, 0.9
"""At most 1 % of the measured values may be wrong, out of fold. If that leaves less than 90 % of the right values
measured, more are allowed until 90 % are, but never over 5 %. Half of the weight is spoilt frames."""
FEWEST, FEWEST_WRONG = 20, 10
"""Subjects below which a plane gets no rule, and wrong values below which it gets no score."""


@dataclass(frozen=True)
class Judged:
    """The values of one plane, each judged by a model that has not seen its subject."""

    plane: str
    cases: list[Case]
    limit: float | None
    """None if the rule has no score."""
    probability: Array
    """(N,) error probability; NaN if something other than the score decides."""
    measured: Array
    """(N,) bool: whether the value is `measured`, and needs no review."""

    @property
    def wrong(self) -> Array:
        """(N,) bool: whether the value is wrong."""
        return np.array([case.wrong for case in self.cases], bool)


def fit_rules(cases: Sequence[Case], data: str) -> tuple[dict[str, dict[str, Any]], list[Judged]]:
    """Fit the acceptance rule of each plane, for `bundle.json`, and judge it out of fold.

    A plane with few subjects gets no rule, so that all of its values need review. One with few wrong values, too few to
    fit a score, gets the rule without a score: values without a flag need no review.

    Args:
      cases: from frames that the network has not seen.
      data: names and fingerprints of their data sets.
    """
    rules, judged = {}, []
    for plane in dict.fromkeys(case.plane for case in cases):
        own = [case for case in cases if case.plane == plane]
        if len({case.subject for case in own if case.kind == AS_IT_IS}) < FEWEST:
            continue
        rule: dict[str, Any] = {"data": data, "frames": len(own), "subjects": len({case.subject for case in own})}
        measured = np.array([case.status(None) == "measured" for case in own])
        probability = np.full(len(own), np.nan)
        scored = np.array([case.scored for case in own])
        learnt = [case for case in own if case.scored]
        wrong = [case.wrong for case in learnt]
        if FEWEST_WRONG <= sum(wrong) < len(wrong):
            probability[scored] = out_of_fold(learnt)
            rule["score"] = _model(learnt)
            rule["limit"] = limit(probability[scored], wrong, [case.weight for case in learnt])
            measured = scored & (probability <= rule["limit"])
        rules[plane] = rule
        judged.append(Judged(plane, own, rule.get("limit"), probability, measured))
    return rules, judged


def describe(judged: Sequence[Judged], without: Sequence[str] = ()) -> list[str]:
    """Format the numbers for a terminal, with the planes `without` a rule."""
    lines = []
    for plane in judged:
        right, measured = ~plane.wrong, plane.measured
        bad = int((measured & ~right).sum())
        subjects = len({case.subject for case, s in zip(plane.cases, measured, strict=True) if s})
        most = share_interval(bad / max(measured.sum(), 1), subjects)[1]  # a frame's spoilt copies are not independent
        whole = sum(case.kind == AS_IT_IS for case in plane.cases)
        score_of = "the flags decide"
        if plane.limit is not None:
            known = ~np.isnan(plane.probability)
            score_of = (
                f"AUROC {metrics.auroc(plane.wrong[known], plane.probability[known]):.3f}, limit {plane.limit:.3f}"
            )
        lines.append(
            f"{plane.plane:8} {score_of}; measured {(measured & right).sum()} of {right.sum()} right values; "
            f"of {measured.sum()} measured {bad} wrong "
            f"(at most {100 * most:.1f} %, by {amount(subjects, 'subject')}); "
            f"values of {amount(whole, 'frame')} and {len(plane.cases) - whole} spoilt copies of them"
        )
    few = f"no rule: fewer than {FEWEST} subjects; each of its values stays to review, as not calibrated"
    return lines + [f"{plane:8} {few}" for plane in without]


COUNTS = ("frames", "plane", "right", "right and measured", "measured", "wrong and measured", "bound")
"""Columns of `counts`. The bound is the exact 95 % one of the share of wrong values among the measured, for independent
frames."""


def counts(judged: Sequence[Judged]) -> list[tuple[str, str, int, int, int, int, float]]:
    """Count the decisions for each kind of frame, out of fold: a row of `COUNTS` for each kind and plane.

    Unchanged frames have a row for each data set.
    """
    rows = []
    for plane in judged:
        kinds = [(case.kind, case.source if case.kind == AS_IT_IS else "") for case in plane.cases]
        for kind, source in dict.fromkeys(kinds):
            own = np.array([(kind, source) == k for k in kinds])
            right, measured = own & ~plane.wrong, own & plane.measured
            bad, count = int((measured & plane.wrong).sum()), int(measured.sum())
            bound = share_interval(bad / count, count)[1] if count else np.nan
            name = f"{kind}, {source}" if source else kind
            rows.append((name, plane.plane, int(right.sum()), count - bad, count, bad, bound))
    return sorted(rows, key=lambda row: (not row[0].startswith(AS_IT_IS), row))


def out_of_fold(cases: Sequence[Case]) -> Array:
    """Error probability (N,) of each case by a model fitted without its subject; NaN if there is nothing to fit."""
    names = np.array([case.subject for case in cases])
    subjects = np.random.default_rng(0).permutation(np.unique(names))
    found = np.full(len(cases), np.nan)
    for held in np.array_split(subjects, FOLDS):
        out = np.isin(names, held)
        learnt = [case for case, o in zip(cases, out, strict=True) if not o]
        found[out] = by_model(learnt, [case for case, o in zip(cases, out, strict=True) if o])
    return found


def by_model(learnt: Sequence[Case], judged: Sequence[Case]) -> Array:
    """Error probabilities (N,) of cases by a model fitted to others; NaN if those are all right, or all wrong."""
    wrong = [case.wrong for case in learnt]
    if not 0 < sum(wrong) < len(wrong):
        return np.full(len(judged), np.nan)
    model = _model(learnt)
    return np.array([score.error_probability(model, case.given) for case in judged])


def _model(cases: Sequence[Case]) -> dict[str, Any]:
    names = score.INPUTS_OF[cases[0].plane]
    return fit([c.given for c in cases], [c.wrong for c in cases], [c.weight for c in cases], names)


def limit(probabilities: Array, wrong: Sequence[bool], weights: Sequence[float]) -> float:
    """The highest error probability of a measured value, by the shares above; -1 if no value may be measured."""
    order = np.argsort(probabilities)
    counts, bad = np.array(weights, float)[order], np.array(wrong, float)[order]
    share = np.cumsum(counts * bad) / np.cumsum(counts)
    right = np.cumsum(counts * (1 - bad)) / np.sum(counts * (1 - bad))
    few, most = (int(np.flatnonzero(share <= s).max(initial=-1)) for s in (FEW_WRONG, MOST_WRONG))
    last = max(few, min(int(np.argmax(right >= MOST_RIGHT)), most))
    last = min(last, int(np.isfinite(probabilities).sum()) - 1)  # unknown ones sort last and set no limit
    return float(probabilities[order][last]) if last >= 0 else -1.0
