"""The record of a network's training data, in checkpoints and bundles, with that of the weights it started from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetal_jax.data.source import Split

Training = Mapping[str, Any]
"""A record: the keys of `training_record`; in a bundle also `recipe` and `before`."""
NOT_RECORDED: dict[str, Any] = {"datasets": None, "leave_out": -1}
"""Entry of `before` whose data are not known, because the bundle or checkpoint is older than this record."""


def training_record(train_splits: list[Split]) -> dict[str, Any]:
    """Record that a checkpoint and a bundle keep about the training data.

    Returns:
      `datasets`, the fingerprint of each data set by its name and version; and the same as texts, for people and older
      programs: `dataset` and `fingerprint`.
    """
    datasets = {split.dataset: split.fingerprint for split in train_splits}
    return {"datasets": datasets, "dataset": ", ".join(datasets), "fingerprint": ", ".join(datasets.values())}


def trained_on(training: Training) -> dict[str, str]:
    """Read a `training_record`: the fingerprint of each data set by its name without version, empty if not stated.

    Older records have only the texts. Earlier trainings are not included: see `seen`.
    """
    return {name.rpartition("/")[0]: fingerprint for name, fingerprint in _datasets(training).items()}


def _datasets(training: Training) -> dict[str, str]:
    """The fingerprint of each data set by its name and version."""
    if training.get("datasets") is not None:
        return dict(training["datasets"])
    if training.get("fingerprint"):
        return {text.partition(" ")[0]: text for text in training["fingerprint"].split(", ")}
    return dict.fromkeys(training["dataset"].split(", "), "")


def left_out(training: Training) -> int:
    """The fold that a network's own run left out of training (`data.leave_out`); -1: none."""
    fold: int = (training.get("recipe") or {}).get("data.leave_out", -1)
    return fold


def before(training: Training) -> list[dict[str, Any]]:
    """The trainings of the weights before a network's own run, oldest first.

    Each entry holds the `datasets` of its record, and the fold that it left out, `leave_out`. Empty after a start from
    random weights, or from SonoNet's, which saw no data set of ours. A training that is not known is `NOT_RECORDED`.
    """
    return list(training.get("before", [NOT_RECORDED]))


def before_run_from(start: Training) -> list[dict[str, Any]]:
    """The `before` of a run that starts from the network with this record: that network's `before` and training."""
    return [*before(start), {"datasets": _datasets(start), "leave_out": left_out(start)}]


def before_mean_of(several: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The `before` of the mean of several networks: the union of theirs."""
    found: list[dict[str, Any]] = []
    for one in several:
        found += [training for training in one if training not in found]
    return found


def recorded(training: Training) -> list[dict[str, Any]]:
    """The trainings of `before` whose data are known."""
    return [earlier for earlier in before(training) if earlier["datasets"] is not None]


def all_recorded(training: Training) -> bool:
    """Whether all trainings of the weights are known."""
    return len(recorded(training)) == len(before(training))


def seen(training: Training) -> dict[str, list[str]]:
    """The data sets that the weights were ever trained on, those of the last run first.

    Returns:
      The recorded fingerprints of each data set by its name without version; several if the data set has changed.
    """
    found: dict[str, list[str]] = {}
    for each in (training, *reversed(recorded(training))):
        for name, fingerprint in trained_on(each).items():
            known = found.setdefault(name, [])
            if fingerprint and fingerprint not in known:
                known.append(fingerprint)
    return found
