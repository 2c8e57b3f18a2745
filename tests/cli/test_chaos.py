"""Runs that are killed, stopped or damaged at random end with the same bits as one that was left alone."""

from __future__ import annotations

import random
import shutil
import signal
import time
from functools import partial

import pytest

from tests.cli.chaos import Run, draw, empty, flip, outcome, remove, spoil, truncate

KILLS, TERMS, FLIPS = 25, 10, 20


@pytest.mark.soak
@pytest.mark.parametrize("processes", [1, 2])
def test_every_trial_ends_as_the_run_that_was_left_alone(processes, tmp_path):
    """SIGKILL (every fifth while a checkpoint is written) and SIGTERM at random moments; damaged checkpoint files."""
    rng = random.Random(processes)
    run, whole, workdir = Run(draw(tmp_path / "data"), processes), tmp_path / "whole", tmp_path / "run"
    run.finish(workdir)  # compiles
    shutil.rmtree(workdir)
    began = time.monotonic()
    run.finish(whole)
    seconds = time.monotonic() - began
    expected = outcome(whole)

    trials = {}
    for i, number in enumerate([signal.SIGKILL] * KILLS + [signal.SIGTERM] * TERMS):
        moment, in_save = rng.uniform(0.1, 1) * seconds, number == signal.SIGKILL and i % 5 == 0
        everyone = list(range(processes))
        victims = everyone if rng.random() < 0.5 else [rng.choice(everyone)]
        name = f"{i}: {number.name} to {victims} after {moment:.1f} of {seconds:.1f} s"
        trials[name] = partial(run.interrupt, workdir, number, moment, in_save, victims)
    for i, damage in enumerate((truncate, empty, remove, *[flip] * FLIPS)):
        trials[f"{i}: {damage.__name__} a file"] = partial(spoil, whole, workdir, damage, rng)

    different = []
    for name, disturb in trials.items():
        ended = disturb()
        began_at = run.finish(workdir)
        if outcome(workdir) != expected:
            different.append(f"{name}: {ended}, {began_at}")
        shutil.rmtree(workdir)
    assert not different
