"""Checks that the frames of a split are new to a network, from its record of training data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fetal_jax.config import data_set
from fetal_jax.data.source import Split, splits
from fetal_jax.data.training_record import all_recorded, left_out, recorded, seen, trained_on
from fetal_jax.errors import UserError
from fetal_jax.evaluation.report.checklist import EXTERNAL, INTERNAL, OVERLAPPING
from fetal_jax.inference import Predictor

HELD_OUT = "held-out"
"""Name, in place of a split, of the fold of the training split that the run left out."""
ENOUGH = 100
"""Subjects of a calibration split from which it serves alone; HC18's has 18 and 36 heads, while its folds have 639."""
START_NOT_RECORDED = (
    "what it started from, if not from random weights, is not recorded (its run or its start is of an older version): "
    "these frames may have been trained on before"
)


def refuse_other_split(trained: Iterable[str], dataset: str, split: str) -> None:
    """Refuse another configuration of a training data set, because it splits the same frames differently.

    Args:
      trained: all data sets that the weights were ever trained on (`training_record.seen`).
      dataset: the one to test on.
      split: its split.

    Raises:
      UserError: the network, or what it started from, was trained on another configuration of the same data set.
    """
    same = [name for name in trained if data_set(name) == data_set(dataset)]
    others = [name for name in same if name != dataset]
    if others:
        only = f"give --dataset={others[0]}"
        remedy = only if len(same) == 1 else "its splits overlap those of others: give another data set"
        raise UserError(
            f"trained on {' and '.join(others)}: the {split} split of {dataset} holds frames that it was trained on; "
            f"{remedy}"
        )


def changed_training(training: dict[str, Any], dataset: str, data_dir: str) -> str:
    """Give a warning if the training split of a data set has changed since the training, else an empty text.

    Test frames may then have been used for training: one subject more or less moves others to another split.
    """
    known = seen(training).get(dataset)
    if not known or "train" not in splits(dataset, data_dir):
        return ""
    now = Split(dataset, "train", data_dir).fingerprint
    was = [fingerprint for fingerprint in known if fingerprint != now]
    if not was:
        return ""
    return f"trained on {' and '.join(was)}, but in {data_dir} is {now}: frames may have changed splits"


def kind_of_test(training: dict[str, Any], frames: Split, dataset: str, data_dir: str) -> tuple[str, list[str]]:
    """Tell by the recorded fingerprints whether a test is internal or external, and what is doubtful about it.

    Args:
      training: the record of the network.
      frames: those to test on, of `dataset`.
      dataset: its name, which `refuse_other_split` has accepted.
      data_dir: the folder that has it.

    Returns:
      `INTERNAL`, `EXTERNAL` or `OVERLAPPING`, or empty if not all training data are recorded; and the doubts.
    """
    known = seen(training)
    train = [Split(dataset, "train", data_dir)] if "train" in splits(dataset, data_dir) else []
    if dataset in known:
        if frames.name.startswith("train") and frames.name != f"train/fold{left_out(training)}":
            return OVERLAPPING, [f"{frames.name} of {dataset} is what it was trained on"]
        if not known[dataset]:
            return OVERLAPPING, [f"no fingerprint of {dataset} is recorded: its frames may have changed splits"]
        if not train:
            return OVERLAPPING, [f"{dataset} in {data_dir} has no training split: its frames may have changed splits"]
        changed = changed_training(training, dataset, data_dir)
        return (OVERLAPPING, [changed]) if changed else (INTERNAL, [])
    fingerprints = [fingerprint for of_name in known.values() for fingerprint in of_name]
    for one in (frames, *train):
        for was in fingerprints:
            if one.fingerprint_as(was.partition(" ")[0]) == was:
                said = [f"the split {one.name} of {dataset} is what it was trained on, as {was}"]
                return (OVERLAPPING if one is frames else INTERNAL), said
    return (EXTERNAL, []) if all_recorded(training) else ("", [START_NOT_RECORDED])


def held_out(training: dict[str, Any], dataset: str) -> str:
    """The fold of the training split that a network has not seen (`data.leave_out`).

    Raises:
      UserError: nothing was left out, or the weights that the run started from have seen those frames.
    """
    fold = left_out(training)
    if fold < 0:
        raise UserError("this network left no fold out: train with --config.data.leave_out=0 (to 4)")
    for earlier in recorded(training):
        if earlier["leave_out"] != fold and data_set(dataset) in map(data_set, trained_on(earlier)):
            raise UserError(
                f"this network left fold {fold} out, but the weights that it started from were trained on {dataset} "
                "with that fold: give a --dataset that is new to them, or start from a bundle that left it out too"
            )
    return f"train/fold{fold}"


@dataclass(frozen=True)
class Unseen:
    """Frames that were used neither to train a network nor to choose its checkpoint."""

    dataset: str
    predictor: Predictor
    frames: Split
    data: str
    """Fingerprint of these frames, for `bundle.json`."""


def unseen(opened: Predictor, folds: Sequence[Predictor], dataset: str, data_dir: str) -> list[Unseen]:
    """The frames of a data set to calibrate a bundle on: those that each fold left out.

    Without folds, or if it is large (`ENOUGH`), the data set's calibration split, measured by the bundle itself.

    Raises:
      UserError: there are neither, or a fold was trained on other frames.
    """
    for network in (opened, *folds):
        refuse_other_split(seen(network.info.training), dataset, "calibration")
    if not folds or "calibration" in splits(dataset, data_dir):
        frames = Split(dataset, "calibration", data_dir)
        if not folds or len(frames.subjects) >= ENOUGH:
            return [Unseen(dataset, opened, frames, frames.fingerprint)]
    found, data = [], f"{Split(dataset, 'train', data_dir).fingerprint}, out of fold"
    for fold in folds:
        if changed := changed_training(fold.info.training, dataset, data_dir):
            raise UserError(f"a fold was {changed}")
        left = held_out(fold.info.training, dataset)
        found.append(Unseen(dataset, fold, Split(dataset, left, data_dir), data))
    return found
