"""Every metric and statistic that another library has, beside it: the largest difference over random cases.

pip install scikit-learn pingouin monai torch     (in an environment of their own)
python benchmarks/other_libraries.py
"""

from __future__ import annotations

import warnings
from collections import defaultdict

import monai.metrics
import numpy as np
import pandas as pd
import pingouin
import torch
from scipy import stats
from sklearn import metrics as sk

from fetal_jax import geometry
from fetal_jax.evaluation import metrics
from fetal_jax.evaluation.statistics.agreement import bland_altman, concordance, icc
from fetal_jax.geometry import Ellipse

CASES = 50
SPACING_MM = 0.3


def masks(rng: np.random.Generator) -> list[np.ndarray]:
    """Two overlapping ellipses."""
    shapes = [Ellipse(*rng.uniform(50, 60, 2), *sorted(rng.uniform(15, 40, 2))[::-1], rng.uniform(-1, 1)) for _ in "ab"]
    return [geometry.mask(s, 110, 110) for s in shapes]


def of_masks(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    one, other = masks(rng)
    a, b = (torch.from_numpy(m)[None, None].float() for m in (one, other))
    kind = {"include_background": True, "spacing": SPACING_MM}
    found = metrics.surface_distances(one, other, SPACING_MM)
    surface = float(np.concatenate(found).mean())
    return {
        "Dice (MONAI)": (metrics.dice(one, other), monai.metrics.compute_dice(a, b).item()),
        "Hausdorff, mm (MONAI)": (
            metrics.hausdorff(one, other, SPACING_MM),
            monai.metrics.compute_hausdorff_distance(a, b, **kind).item(),
        ),
        "95 % Hausdorff, mm (MONAI)": (
            metrics.hausdorff(one, other, SPACING_MM, 95),
            monai.metrics.compute_hausdorff_distance(a, b, percentile=95, **kind).item(),
        ),
        "mean surface distance, mm (MONAI)": (
            surface,
            monai.metrics.compute_average_surface_distance(a, b, symmetric=True, **kind).item(),
        ),
    }


def of_planes(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    true = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.7, true, rng.integers(0, 4, 200))
    score = np.round(rng.random(200) + 0.5 * (true == 0), 1)  # with ties
    table = metrics.confusion(true, predicted, 4)
    return {
        "confusion (scikit-learn)": (float(np.abs(table - sk.confusion_matrix(true, predicted)).max()), 0.0),
        "balanced accuracy (scikit-learn)": (
            metrics.balanced_accuracy(table),
            sk.balanced_accuracy_score(true, predicted),
        ),
        "macro F1 (scikit-learn)": (metrics.macro_f1(table), sk.f1_score(true, predicted, average="macro")),
        "AUROC (scikit-learn)": (metrics.auroc(true == 0, score), sk.roc_auc_score(true == 0, score)),
    }


def of_pairs(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    true = rng.normal(200, 40, 60)
    measured = 1.01 * true + rng.normal(1, 3, 60)
    long = pd.DataFrame(
        {"frame": np.tile(np.arange(60), 2), "who": np.repeat(["a", "b"], 60), "mm": np.r_[measured, true]}
    )
    table = pingouin.intraclass_corr(long, "frame", "who", "mm")
    theirs = float(table.loc[table["Type"].isin(["ICC2", "ICC(A,1)"]), "ICC"].iloc[0])
    middle, difference = (measured + true) / 2, measured - true
    ours = bland_altman(measured, true)
    line = np.linalg.lstsq(np.column_stack([middle, np.ones(60)]), difference, rcond=None)[0]
    t_test = stats.ttest_1samp(difference, 0).confidence_interval()
    r = np.corrcoef(measured, true)[0, 1]
    lin = 2 * r * measured.std() * true.std() / (measured.var() + true.var() + difference.mean() ** 2)
    return {
        "ICC(2,1) (pingouin)": (icc(np.column_stack([measured, true])), theirs),
        "concordance (Lin's other form)": (concordance(measured, true), float(lin)),
        "interval of the bias, mm (SciPy)": (ours["bias_ci"][0], float(t_test.low)),
        "proportional bias (NumPy)": (ours["slope"], float(line[0])),
    }


def main() -> None:
    warnings.simplefilter("ignore", FutureWarning)  # MONAI calls itself with what it has deprecated
    rng, apart = np.random.default_rng(0), defaultdict(list)
    for _ in range(CASES):
        for name, (ours, theirs) in (of_masks(rng) | of_planes(rng) | of_pairs(rng)).items():
            apart[name].append(abs(ours - theirs))
    for name, differences in apart.items():
        print(f"{name:36} {max(differences):.1e}")


if __name__ == "__main__":
    main()
