"""Corrupted files: no crash, no hang, little memory, and the good ones are all measured."""

from __future__ import annotations

import pytest

from tests.support.corrupted_files import measure_corrupted


def test_a_few_corrupted_files(tmp_path):
    measure_corrupted(tmp_path, 40)


@pytest.mark.soak
def test_two_thousand_corrupted_files(tmp_path):
    print(measure_corrupted(tmp_path, 2000))
