"""A picture of training examples: the annotation, and the same frame after augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fetal_jax.config import Config
from fetal_jax.data.pipeline import augmented
from fetal_jax.data.source import SHAPES, Frame, Split
from fetal_jax.outputs import overlay
from fetal_jax.planes import GEOMETRIES, PRIMARY
from fetal_jax.preprocess import Letterbox

EXAMPLES, COLUMNS = 48, 4


def contact_sheet(splits: list[Split], config: Config) -> NDArray[np.uint8]:
    """Draw up to `EXAMPLES` random frames before and after augmentation, with geometry, class and millimetres.

    Args:
      splits: the splits of one data set.
      config: its `input_shape`, `planes`, `augment` and `seed` are used.

    Returns:
      RGB picture (H, W, 3).
    """
    rng = np.random.default_rng(config.seed)
    frames = [(split, i) for split in splits for i in range(len(split))]
    chosen = sorted(rng.choice(len(frames), min(EXAMPLES, len(frames)), replace=False))
    cells = [_cell(split.name, split[i], rng, config) for split, i in (frames[k] for k in chosen)]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % COLUMNS)
    return np.vstack([np.hstack(cells[k : k + COLUMNS]) for k in range(0, len(cells), COLUMNS)])


def _cell(split: str, frame: Frame, rng: np.random.Generator, config: Config) -> NDArray[np.uint8]:
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
    mapped = kind(*map(float, example["shape_params"])) if kind else None
    plane = "no class loss" if example["plane"] < 0 else f"class {config.planes[example['plane']]}"
    after = overlay.draw(example["frames"][..., 0], None, ["augmented", plane], true=mapped)
    return np.hstack([before, after])
