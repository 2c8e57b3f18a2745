"""Frames -> augmented batches, deterministic in (seed, step), with grain."""

from __future__ import annotations

import multiprocessing
import os
import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import cv2
import grain
import jax
import numpy as np
from absl import flags
from numpy.typing import NDArray

from fetal_jax import config as recipe
from fetal_jax import geometry
from fetal_jax.data.augment import fast_warp, random_intensity, random_similarity
from fetal_jax.data.source import Frame
from fetal_jax.planes import GEOMETRIES
from fetal_jax.preprocess import Letterbox

Array = NDArray[Any]
Batch = dict[str, Any]


def plane_index(frame: Frame, planes: tuple[str, ...]) -> int:
    """A frame's class among those that the head tells apart: one outside is `other`, or -1 without such a class."""
    if frame.plane in planes:
        return planes.index(frame.plane)
    return planes.index("other") if frame.plane is not None and "other" in planes else -1


def augmented(frame: Frame, rng: np.random.Generator, config: Any) -> Batch:
    """One training example: pixels warped on the host, geometry taken through the same map."""
    letterbox = Letterbox(*config.input_shape)
    similarity = random_similarity(rng, config.augment, config.input_shape)
    to_network = geometry.compose(similarity, letterbox.to_network(frame.image.shape))
    image = random_intensity(rng, config.augment, fast_warp(frame.image, to_network, config.input_shape))
    mapped = frame.shape and frame.shape.transform(to_network)
    return {
        "frames": image[..., None],
        "geometry": np.int32(GEOMETRIES.index(frame.geometry)),
        "numbers": np.full(5, np.nan, np.float32) if mapped is None else np.asarray(mapped, np.float32),
        "plane": np.int32(plane_index(frame, config.planes)),
    }


def training_batches(sources: Sequence[Sequence[Frame]], config: Any) -> Batches:
    """An endless iterator of batches, whose position can be saved.

    A batch holds `frames` (B, H, W, 1) uint8, `geometry` (B,) into planes.GEOMETRIES, `numbers` (B, 5) in network
    pixels, `plane` (B,) into the recipe's planes or -1, and `index` (B,) of the frame in the sources, one after the
    other. Batches depend on the recipe's seed and their own number alone. Each process of a run draws its own part of
    the global batch; the slice comes last, so that the global batches are the same for any number of processes.

    Args:
      sources: the frames of each data set of the recipe's mixture, in its order. Each is seen whole, in an order of
        its own, before any of its frames comes again.
      config: a recipe.
    """
    starts = [0, *accumulate(map(len, sources))]
    classed = [recipe.data_set(name) not in config.data.no_class_loss for name in recipe.mixture(config)]

    def example(i: int, rng: np.random.Generator) -> Batch:
        source = bisect_right(starts, i) - 1
        made = augmented(sources[source][i - starts[source]], rng, config) | {"index": np.int32(i)}
        return made if classed[source] else made | {"plane": np.int32(-1)}

    def shuffled(k: int) -> grain.MapDataset:
        return grain.MapDataset.range(starts[k], starts[k + 1]).seed(config.seed + k).shuffle().repeat()

    order = grain.MapDataset.mix([shuffled(k) for k in range(len(sources))], list(recipe.mixture(config).values()))
    dataset = order.seed(config.seed).random_map(example)[jax.process_index() :: jax.process_count()]
    dataset = dataset.batch(config.batch_size // jax.process_count(), drop_remainder=True)
    return Batches(dataset, config.data.workers)


class Batches(grain.DatasetIterator):
    """A data set's batches in their order, made ahead by threads or by worker processes.

    Its position is the number of the next batch, so that a run may go on with another number of workers.
    """

    def __init__(self, dataset: grain.MapDataset, workers: int):
        super().__init__()
        cv2.setNumThreads(1)  # grain's threads and processes share the cores
        if workers and not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain passes absl's flags on to its processes
        self._dataset, self._workers = dataset, grain.MultiprocessingOptions(num_workers=workers)
        self._ahead: Any = None
        self._next = 0

    def __next__(self) -> Batch:
        self.start_prefetch()
        batch = next(self._ahead)
        self._next += 1
        return batch

    def start_prefetch(self) -> None:
        """Begin to make batches from the position on."""
        if self._ahead is None:
            threads = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
            ahead = self._dataset[self._next :].to_iter_dataset(threads)
            self._ahead = iter(ahead.mp_prefetch(self._workers, worker_init_fn=_start_worker))

    def get_state(self) -> dict[str, int]:
        """The position, for `set_state`."""
        return {"next_index": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on from a position."""
        self.close()
        self._next = state["next_index"]

    def close(self) -> None:
        """End the threads or processes; the next batch starts new ones."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def _start_worker(index: int, count: int) -> None:
    del index, count
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()  # a run that was killed leaves grain's processes behind
        os._exit(1)
