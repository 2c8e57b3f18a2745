"""The table counts every frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fetal_jax.biometry import Measurement
from fetal_jax.cli.evaluate import refuse_other_split
from fetal_jax.errors import UserError
from fetal_jax.evaluation.frames import Row, interval_tables, plane_temperature, summarise


def row(plane="head", error=0.0, dice=0.98, failed=False, named="head", hausdorff=1.0):
    measure = {"head": "hc_mm", "abdomen": "ac_mm"}.get(plane)
    return Row(
        0,
        "f.png",
        "s",
        plane,
        named,
        measure,
        200.0,
        200.0 + error,
        error,
        dice,
        hausdorff,
        failed,
        None,
        endpoint_errors=(0.01,) * 2,
    )


def test_failures_are_counted_and_never_dropped():
    rows = [row(error=1.0), row(error=-3.0, dice=0.92), row(error=np.nan, dice=0.0, failed=True, hausdorff=np.nan)]
    head = summarise(rows)["hc_mm"]
    assert (head["frames"], head["missing"], head["failed"]) == (3, 1, 1)
    assert (head["mae"], head["bias"]) == pytest.approx((2.0, -1.0))
    assert head["dice"] == pytest.approx((0.98 + 0.92 + 0) / 3)
    assert head["hausdorff_mm"] == pytest.approx(1.0)


def test_planes_and_measures_are_told_apart():
    rows = [row(), row("abdomen", error=2.0, named="head"), row("abdomen", error=4.0, named="abdomen")]
    summary = summarise(rows)
    assert summary["ac_mm"]["mae"] == pytest.approx(3.0)
    assert summary["hc_mm"]["frames"] == 1
    assert summary["plane"]["recall"] == {"head": 1.0, "abdomen": 0.5}
    assert "fl_mm" not in summary


def test_a_network_of_one_plane_has_no_plane_table():
    assert "plane" not in summarise([row(named=None)])


def test_the_other_configurations_split_is_refused():
    with pytest.raises(UserError, match="hc18/benchmark"):
        refuse_other_split("hc18/benchmark/1.0.0", "hc18/examinations", "test")
    refuse_other_split("hc18/benchmark/1.0.0", "hc18/benchmark", "test")
    refuse_other_split("hc18/benchmark/1.0.0", "fetal_phantom/small", "test")


def test_a_table_takes_enough_frames_with_a_figure():
    found = Measurement("head", hc_mm=200.0, sd_mm=2.0)
    rows = [replace(row(error=float(e)), found=found) for e in range(1, 40)]
    assert interval_tables(rows) == {"hc_mm": {"level": 0.9, "factor": 18.0}}  # the 36th of 39, over 2
    assert interval_tables([*rows, replace(row(error=np.nan), found=found)]) == interval_tables(rows)
    assert interval_tables(rows[:19]) == {}


def test_coverage_counts_the_frames_without_an_interval():
    rows = [replace(row(), interval_mm=(190.0, 210.0)), replace(row(), interval_mm=(201.0, 211.0)), row()]
    found = summarise(rows)["hc_mm"]["interval"]
    assert (found["frames"], found["coverage"], found["width_mm"], found["without"]) == (2, 0.5, 15.0, 1)


def test_the_temperature_of_overconfident_planes_is_above_one():
    sure = replace(row(), planes={"head": 0.99, "abdomen": 0.01})
    assert plane_temperature([sure] * 30 + [replace(sure, plane="abdomen")] * 10) > 2
    assert plane_temperature([row()] * 40) == 1.0
