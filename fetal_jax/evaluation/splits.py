"""Which frames a network has not seen: checks of a split against what a network says it was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fetal_jax.config import data_set
from fetal_jax.data.source import Split, splits, trained_on
from fetal_jax.errors import UserError

HELD_OUT = "held-out"
"""As a split: the fold of the training split that the run left out."""


def refuse_other_split(trained: Iterable[str], dataset: str, split: str) -> None:
    """Refuse another configuration of a data set that was trained on: it divides the same frames differently.

    Raises:
      UserError: the network was trained on another configuration of the same data set.
    """
    for name in trained:
        if data_set(name) == data_set(dataset) and name != dataset:
            raise UserError(
                f"trained on {name}: the {split} split of {dataset} holds frames that it was trained on; "
                f"give --dataset={name}"
            )


def changed_training(training: dict[str, Any], dataset: str, data_dir: str) -> str:
    """A warning if the training split of a data set is no longer what the network was trained on, else empty.

    Test frames may then have been trained on: one subject more or less moves others to another split.
    """
    was = trained_on(training).get(dataset)
    if not was or "train" not in splits(dataset, data_dir):
        return ""
    now = Split(dataset, "train", data_dir).fingerprint
    return "" if now == was else f"trained on {was}, but in {data_dir} is {now}: frames may have changed splits"


def held_out(training: dict[str, Any]) -> str:
    """The split that a network has not seen because `data.leave_out` left it out of the training split.

    Raises:
      UserError: it left nothing out.
    """
    fold = (training.get("recipe") or {}).get("data.leave_out", -1)
    if fold < 0:
        raise UserError("this network left no fold out: train with --config.data.leave_out=0 (to 4)")
    return f"train/fold{fold}"
