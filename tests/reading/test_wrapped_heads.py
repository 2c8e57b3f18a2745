"""A head in any wrapping has the millimetres of its plain PNG, or none, with a reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.support.wrapped_heads import draw, outcome


def check(folder, seeds: range) -> Counter[str]:
    """Outcomes of the draws; fails at the first that is neither right nor refused with a reason."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        wrapped = draw(np.random.default_rng(seed), folder)
        found = outcome(wrapped)
        if isinstance(found, str):
            assert len(found) > 20, (seed, wrapped.says)
            counts["refused"] += 1
        else:
            assert not wrapped.misleading, (seed, wrapped.says, found)
            assert found == pytest.approx(wrapped.hc_mm, rel=0.01), (seed, wrapped.says)
            counts["measured"] += 1
        wrapped.path.unlink()
    return counts


def test_two_hundred_wrapped_heads(tmp_path):
    counts = check(tmp_path, range(200))
    assert counts["measured"] > 120
    assert counts["refused"] > 20


@pytest.mark.soak
def test_five_thousand_wrapped_heads(tmp_path):
    print(check(tmp_path, range(5000)))
