"""Frames -> augmented batches, deterministic in (seed, step), with grain."""

from __future__ import annotations

from typing import Any

import grain
import jax
import numpy as np
from numpy.typing import NDArray

from fetal_jax import geometry
from fetal_jax.data.augment import random_intensity, random_similarity
from fetal_jax.data.source import Frame, Split
from fetal_jax.planes import GEOMETRIES
from fetal_jax.preprocess import Letterbox, warp

Array = NDArray[Any]
Batch = dict[str, Any]

CANVAS = 2
"""Frames are kept in memory at this multiple of the network's size, so that a zoomed frame is still sharp."""


class Canvases:
    """Frames decoded and letterboxed once. An item is the canvas, its class and its geometry in network pixels."""

    def __init__(self, frames: Split, letterbox: Letterbox, planes: tuple[str, ...]):
        self._frames, self._letterbox, self._planes = frames, letterbox, planes
        self._large = Letterbox(CANVAS * letterbox.height, CANVAS * letterbox.width)
        self._cache: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, i: int) -> dict[str, Any]:
        if i not in self._cache:
            frame = self._frames[i]
            self._cache[i] = {
                "canvas": self._large(frame.image),
                "shape": frame.shape and frame.shape.transform(self._letterbox.to_network(frame.image.shape)),
                "geometry": GEOMETRIES.index(frame.geometry),
                "plane": plane_index(frame, self._planes),
                "index": i,
            }
        return self._cache[i]


def plane_index(frame: Frame, planes: tuple[str, ...]) -> int:
    """A frame's class among those that the head tells apart: one outside is `other`, or -1 without such a class."""
    if frame.plane in planes:
        return planes.index(frame.plane)
    return planes.index("other") if frame.plane is not None and "other" in planes else -1


def augmented(item: dict[str, Any], rng: np.random.Generator, letterbox: Letterbox, config: Any) -> Batch:
    """One training example: pixels warped on the host, geometry taken through the same map."""
    shape = (letterbox.height, letterbox.width)
    similarity = random_similarity(rng, config, shape)
    from_canvas = geometry.compose(similarity, geometry.stretch(1 / CANVAS, 1 / CANVAS))
    image = random_intensity(rng, config, warp(item["canvas"], from_canvas, shape))
    mapped = item["shape"] and item["shape"].transform(similarity)
    return {
        "frames": image[..., None],
        "geometry": np.int32(item["geometry"]),
        "numbers": np.full(5, np.nan, np.float32) if mapped is None else np.asarray(mapped, np.float32),
        "plane": np.int32(item["plane"]),
        "index": np.int32(item["index"]),
    }


def training_batches(frames: Split, config: Any) -> Any:
    """An endless grain iterator of batches, whose position can be saved.

    A batch holds `frames` (B, H, W, 1) uint8, `geometry` (B,) into planes.GEOMETRIES, `numbers` (B, 5) in network
    pixels, `plane` (B,) into the recipe's planes or -1, and `index` (B,) of the frame in its split. Each process
    draws its own part of the global batch; the slice comes last, so that the global batches are the same for any
    number of processes.
    """
    letterbox = Letterbox(*config.input_shape)

    def augment(item: dict[str, Any], rng: np.random.Generator) -> Batch:
        return augmented(item, rng, letterbox, config.augment)

    source = Canvases(frames, letterbox, tuple(config.planes))
    dataset = grain.MapDataset.source(source).seed(config.seed).shuffle().repeat().random_map(augment)
    dataset = dataset[jax.process_index() :: jax.process_count()]
    dataset = dataset.batch(config.batch_size // jax.process_count(), drop_remainder=True)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))
