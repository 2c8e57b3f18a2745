"""Acceptance rules from measured frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from etils import epath
from matplotlib.figure import Figure

from fetal_jax.evaluation.cases import Case
from fetal_jax.evaluation.report.acceptance_plot import plot_rules
from fetal_jax.evaluation.spoil import AS_IT_IS, WRONG_PLANE
from fetal_jax.evaluation.statistics import fitted_rules
from fetal_jax.inference import score

SURE = {"other": 0.02, "head": 0.98}


def cases(n: int, wrong: bool = True, plane: str = "head", **more) -> list[Case]:
    """Heads of which every fifth is off by 30 % and has a soft outline."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        bad = wrong and i % 5 == 0
        given = dict.fromkeys(score.INPUTS, 0.01) | {
            "width": float((0.1 if bad else 0.02) * np.exp(rng.normal(0, 0.3)))
        }
        off = 0.3 if bad else 0.01
        fields = {"kind": AS_IT_IS, "planes": SURE, "flags": ("no spacing",), "off": off} | more
        found.append(Case("set", f"s{i // 2}", f"{i}.png", plane=plane, given=given, **fields))
    return found


def test_rule_separates_right_from_wrong_values():
    rules, (judged,) = fitted_rules.fit_rules(cases(200), "set/1.0.0 200 frames abc")
    rule = rules["head"]
    assert (rule["data"], rule["frames"], rule["subjects"]) == ("set/1.0.0 200 frames abc", 200, 100)
    assert judged.measured[~judged.wrong].mean() > 0.9
    assert judged.measured[judged.wrong].mean() < 0.1
    soft, sharp = ({**dict.fromkeys(score.INPUTS, 0.01), "width": w} for w in (0.1, 0.02))
    assert score.error_probability(rule["score"], sharp) < rule["limit"] < score.error_probability(rule["score"], soft)


def test_counts_of_each_kind_of_frame():
    spoilt = [replace(case, source="other") for case in cases(10, wrong=False, kind="blur", flags=("nothing found",))]
    _, judged = fitted_rules.fit_rules([*cases(40, wrong=False), *cases(1, kind="blur"), *spoilt], "x")
    first, second = fitted_rules.counts(judged)
    assert first[:-1] == (f"{AS_IT_IS}, set", "head", 40, 40, 40, 0)
    assert first[-1] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert second == ("blur", "head", 10, 0, 1, 1, 1.0)


def test_the_printed_bound_counts_subjects_not_their_spoilt_copies():
    as_they_are = cases(40, wrong=False)
    _, judged = fitted_rules.fit_rules(as_they_are, "x")
    spoilt = [replace(case, kind=kind) for case in as_they_are for kind in ("blur", "dark", "noise")]
    _, with_copies = fitted_rules.fit_rules([*as_they_are, *spoilt], "x")
    bound = f"(at most {100 * (1 - 0.025 ** (1 / 20)):.1f} %, by 20 subjects)"
    for found, count, copies in ((judged, 40, 0), (with_copies, 160, 120)):
        (line,) = fitted_rules.describe(found)
        assert line.endswith(
            f"of {count} measured 0 wrong {bound}; values of 40 frames and {copies} spoilt copies of them"
        )


def test_plane_without_wrong_values_is_judged_by_flags():
    flagged = cases(20, wrong=False, flags=("poor fit",))
    rules, (judged,) = fitted_rules.fit_rules(cases(60, wrong=False) + flagged, "x")
    assert set(rules["head"]) == {"data", "frames", "subjects"}
    assert judged.measured.tolist() == [True] * 60 + [False] * 20


def test_plane_with_few_subjects_gets_no_rule():
    assert fitted_rules.fit_rules(cases(30), "x") == ({}, [])
    (line,) = fitted_rules.describe([], ["head"])
    assert line.startswith("head ")
    assert "no rule: fewer than 20 subjects" in line


def test_out_of_fold_probability_does_not_know_its_own_subject():
    before = cases(60)
    after = [replace(case, off=0.3) if case.subject == "s1" else case for case in before]
    own = np.array([case.subject == "s1" for case in before])
    p, q = fitted_rules.out_of_fold(before), fitted_rules.out_of_fold(after)
    np.testing.assert_array_equal(p[own], q[own])
    assert (p[~own] != q[~own]).mean() > 0.7


def test_other_plane_is_wrong_and_never_measured():
    (case,) = cases(1, wrong=False, kind=WRONG_PLANE, off=np.inf, planes={"abdomen": 0.9, "head": 0.1})
    assert case.wrong
    assert not case.scored


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([0] * 10, 0.9),
        ([0] * 9 + [1], 0.8),  # the last wrong one is left out
        ([1] + [0] * 9, -1.0),  # the best one is wrong: no share under 5 % exists
    ],
)
def test_limit_keeps_the_right_and_few_wrong(wrong, expected):
    p = np.arange(len(wrong)) / len(wrong)
    assert fitted_rules.limit(p, wrong, [1.0] * len(wrong)) == pytest.approx(expected)


def test_more_wrong_ones_are_taken_until_90_percent_of_the_right_are_measured():
    wrong = [0] * 40 + [1] + [0] * 60 + [1] * 5
    p = np.arange(len(wrong)) / 1000
    assert fitted_rules.limit(p, wrong, [1.0] * len(wrong)) == pytest.approx(0.100)  # 1 of 101 is under 1 %
    wrong[41] = 1
    assert fitted_rules.limit(p, wrong, [1.0] * len(wrong)) == pytest.approx(0.091)  # 90 of 99 right ones, 2 wrong


def test_spoilt_copies_count_as_one_frame():
    as_it_is, spoilt = cases(1), cases(1, kind="blur")
    assert as_it_is[0].weight == 1
    assert 7 * spoilt[0].weight == pytest.approx(1)


@pytest.mark.parametrize("n", range(1, 13))
def test_limit_by_trying_every_number_of_values(n):
    """The rule in words, tried out: k values are measured, the least doubtful first."""
    for seed in range(40):
        rng = np.random.default_rng([n, seed])
        p, wrong, weights = rng.permutation(n) / n, rng.uniform(size=n) < 0.15, rng.choice([1 / 7, 1.0], n)
        wrong[rng.integers(n)] = False  # a score needs a right value to be fitted
        first = np.argsort(p)
        bad = {k: sum(weights[i] for i in first[:k] if wrong[i]) / sum(weights[first[:k]]) for k in range(1, n + 1)}
        right = sum(weights[~wrong])
        good = {k: sum(weights[i] for i in first[:k] if not wrong[i]) >= 0.9 * right - 1e-12 for k in range(1, n + 1)}
        k = max([0, *(k for k in bad if bad[k] <= 0.01)])
        enough = min(k for k in good if good[k])  # of values that give 90 % of the right ones
        if k < enough:
            k = max(k, min(enough, max([0, *(j for j in bad if bad[j] <= 0.05)])))
        expected = sorted(p)[k - 1] if k else -1.0
        assert fitted_rules.limit(p, wrong.tolist(), weights.tolist()) == pytest.approx(expected), (p, wrong, weights)


@pytest.mark.parametrize("n", [200, 30])  # 30 are too few for a rule
def test_picture_is_written(tmp_path, n):
    _, judged = fitted_rules.fit_rules(cases(n), "x")
    plot_rules(judged, epath.Path(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    def fail(self, file, **kwargs):
        file.write(b"half")
        raise OSError("no space left")

    _, judged = fitted_rules.fit_rules(cases(30), "x")
    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        plot_rules(judged, epath.Path(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_unknown_probabilities_set_no_limit():
    p, wrong = np.array([0.1, 0.2, np.nan, np.nan]), [False] * 4
    assert fitted_rules.limit(p, wrong, [1.0] * 4) == 0.2
