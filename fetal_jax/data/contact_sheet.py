"""Examples of a data set on one picture: what was annotated, and what training makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_jax.data.pipeline import augmented
from fetal_jax.data.source import SHAPES, Frame, Split
from fetal_jax.outputs import overlay
from fetal_jax.planes import GEOMETRIES, PRIMARY
from fetal_jax.preprocess import Letterbox

EXAMPLES, COLUMNS = 48, 4


def contact_sheet(splits: list[Split], config: Any) -> NDArray[np.uint8]:
    """An RGB picture (H, W, 3) of up to `EXAMPLES` frames of all splits, drawn by lot: each before and after
    augmentation, with its geometry, class and millimetres.

    Args:
      splits: of one data set.
      config: a recipe: its canvas and its augmentation.
    """
    rng = np.random.default_rng(config.seed)
    everything = [(split, i) for split in splits for i in range(len(split))]
    chosen = sorted(rng.choice(len(everything), min(EXAMPLES, len(everything)), replace=False))
    cells = [_cell(split.name, split[i], rng, config) for split, i in (everything[k] for k in chosen)]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % COLUMNS)
    return np.vstack([np.hstack(cells[k : k + COLUMNS]) for k in range(0, len(cells), COLUMNS)])


def _cell(split: str, frame: Frame, rng: np.random.Generator, config: Any) -> NDArray[np.uint8]:
    letterbox = Letterbox(*config.input_shape)
    shape = frame.shape and frame.shape.transform(letterbox.to_network(frame.image.shape))
    measure = PRIMARY.get(frame.plane or "", "")
    known = frame.truth_mm.get(measure)
    facts = [
        f"{frame.plane or 'plane unknown'}, {frame.geometry}",
        f"{measure[:2].upper()} {known:.1f} mm" if known is not None else "no mm",
        f"{frame.spacing_mm:.4f} mm/px" if frame.spacing_mm else "no scale",
    ]
    before = overlay.draw(letterbox(frame.image), None, [f"{frame.filename} ({split})", ", ".join(facts)], true=shape)

    example = augmented(frame, rng, config)
    kind = SHAPES.get(GEOMETRIES[example["geometry"]])
    mapped = kind(*map(float, example["numbers"])) if kind else None
    plane = "no class term" if example["plane"] < 0 else f"class {config.planes[example['plane']]}"
    after = overlay.draw(example["frames"][..., 0], None, ["augmented", plane], true=mapped)
    return np.hstack([before, after])
