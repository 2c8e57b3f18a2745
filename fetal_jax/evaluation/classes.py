"""Classification of planes: accuracy, confusion, rejection of other planes, calibration of its probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.frames import EvaluatedFrame
from fetal_jax.evaluation.statistics import bootstrap, exact
from fetal_jax.inference.predictor import tempered
from fetal_jax.planes import SHAPE_OF_PLANE, expected_class

Array = NDArray[Any]


def plane_summary(frames: list[EvaluatedFrame], temperature: float) -> dict[str, Any]:
    """Compute the `plane` part of `metrics.json`; empty if no frame has both a prediction and a class."""
    seen = [(f, f.planes, name) for f in frames if f.planes and (name := expected_class(f.plane, tuple(f.planes)))]
    if not seen:
        return {}
    classes, subjects = list(seen[0][1]), [f.subject for f, *_ in seen]
    probability = np.array([list(p.values()) for _, p, _ in seen])
    true = np.array([classes.index(name) for *_, name in seen])
    predicted, confidence = probability.argmax(1), probability.max(1)
    before = tempered(probability, 1 / temperature).max(1)  # confidence without the temperature
    structure = np.array([f.plane in SHAPE_OF_PLANE for f, *_ in seen])
    doubt = 1 - sum((probability[:, classes.index(c)] for c in classes if c in SHAPE_OF_PLANE), np.zeros(len(seen)))
    right, planes = (true == predicted).astype(float), np.array([f.plane for f, *_ in seen])

    def statistics(i: Array) -> dict[str, float]:
        table = metrics.confusion(true[i], predicted[i], len(classes))
        return {
            "balanced_accuracy": metrics.balanced_accuracy(table),
            "macro_f1": metrics.macro_f1(table),
            "rejection_auroc": metrics.auroc(~structure[i], doubt[i]),
            "calibration_error": metrics.calibration_error(confidence[i], right[i]),
            "calibration_error_before": metrics.calibration_error(before[i], right[i]),
        }

    recalls = {f"recall_{p}": np.where(planes == p, right, np.nan) for p in np.unique(planes).tolist()}
    shares = {"accuracy": right, **recalls}
    everything = {"accuracy": float(right.mean()), **statistics(np.arange(len(seen)))}
    bins = metrics.reliability(confidence, right)
    return {
        "frames": len(seen),
        "without_class": len(frames) - len(seen),
        "temperature": temperature,
        **{k: None if np.isnan(v) else v for k, v in everything.items()},
        "recall": {k.removeprefix("recall_"): float(np.nanmean(v)) for k, v in recalls.items()},
        "ci": bootstrap.intervals(subjects, statistics) | exact.share_intervals(subjects, shares),
        "classes": classes,
        "confusion": metrics.confusion(true, predicted, len(classes)).tolist(),
        "reliability": [
            {"share": float(s), "confidence": float(c), "accuracy": float(a)}
            for s, c, a in zip(*bins, strict=True)
            if s > 0
        ],
    }
