"""Frames -> augmented batches with grain; a batch depends only on the seed and its number."""

from __future__ import annotations

import signal
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import cv2
import grain
import jax
import numpy as np
from absl import flags

from fetal_jax import geometry
from fetal_jax.config import Config, DataConfig, data_set, mixture
from fetal_jax.data.augment import fast_warp, random_intensity, random_similarity
from fetal_jax.data.source import Frame
from fetal_jax.planes import GEOMETRIES, expected_class
from fetal_jax.preprocess import Letterbox, close_up
from fetal_jax.processes import end_with_parent

Batch = dict[str, Any]
EARLY_MM = 110.0
"""HC in mm below which `data.early_heads` counts a head: one in five of HC18's. Networks lose these first."""

CLOSE_UP_SHARES = (0.45, 0.9)
"""Least and largest share of the canvas that a structure fills in a close-up (`augment.close_ups`)."""


def plane_index(frame: Frame, planes: tuple[str, ...]) -> int:
    """Index in `planes` of a frame's `expected_class`; -1 without one."""
    name = expected_class(frame.plane or "unknown", planes)
    return -1 if name is None else planes.index(name)


def augmented(frame: Frame, rng: np.random.Generator, config: Config) -> Batch:
    """Make one training example: pixels warped on the host, geometry mapped by the same affine map."""
    to_canvas = Letterbox(*config.input_shape).to_network(frame.image.shape)
    augment, plane = config.augment, plane_index(frame, config.planes)
    if frame.shape is not None and augment.close_ups > 0 and rng.random() < augment.close_ups:
        seen, share = frame.shape.transform(to_canvas), rng.uniform(*CLOSE_UP_SHARES)
        to_canvas = close_up(to_canvas, seen, config.input_shape, share)
        augment, plane = replace(augment, zoom=(1.0, 1.0)), -1  # planes are recognised from whole frames
    to_network = geometry.compose(random_similarity(rng, augment, config.input_shape), to_canvas)
    image = random_intensity(rng, config.augment, fast_warp(frame.image, to_network, config.input_shape))
    mapped = frame.shape and frame.shape.transform(to_network)
    return {
        "frames": image[..., None],
        "geometry": np.int32(GEOMETRIES.index(frame.geometry)),
        "shape_params": np.full(5, np.nan, np.float32) if mapped is None else np.asarray(mapped, np.float32),
        "plane": np.int32(plane),
    }


def epoch(source: Sequence[Frame], data: DataConfig) -> list[int]:
    """Indices of the frames of one epoch, repeated by `data.early_heads` and `data.femurs`."""
    if data.early_heads == data.femurs == 1:
        return list(range(len(source)))  # opens no frame

    def times(frame: Frame) -> int:
        if frame.plane == "femur":
            return data.femurs
        return data.early_heads if frame.truth_mm.get("hc_mm", EARLY_MM) < EARLY_MM else 1

    return [i for i, frame in enumerate(source) for _ in range(times(frame))]


def training_batches(sources: Sequence[Sequence[Frame]], config: Config) -> Batches:
    """Return an endless iterator of training batches, whose position can be saved.

    Each process of a run makes its own part of the global batch. The slice comes last, so that the global batches are
    the same for any number of processes.

    Args:
      sources: the frames of each data set of `config.data.name`, in its order. Each source is shuffled, and an
        `epoch` of it shown completely before the next one starts.
      config: the configuration of the run.

    Returns:
      An iterator of dictionaries: `frames` (B, H, W, 1) uint8; `geometry` (B,) index into `planes.GEOMETRIES`;
      `shape_params` (B, 5), the ellipse or shaft in network pixels, NaN without one; `plane` (B,) index into
      `config.planes`, or -1; `index` (B,) of the frame in the concatenated sources.
    """
    starts = [0, *accumulate(map(len, sources))]
    shares = mixture(config)
    without_class = set(map(data_set, config.data.no_class_loss))
    has_class_loss = [data_set(name) not in without_class for name in shares]

    def example(i: int, rng: np.random.Generator) -> Batch:
        source = bisect_right(starts, i) - 1
        made = augmented(sources[source][i - starts[source]], rng, config) | {"index": np.int32(i)}
        return made if has_class_loss[source] else made | {"plane": np.int32(-1)}

    def shuffled(k: int) -> grain.MapDataset:
        indices = [starts[k] + i for i in epoch(sources[k], config.data)]
        return grain.MapDataset.source(indices).seed(config.seed + k).shuffle().repeat()

    order = grain.MapDataset.mix([shuffled(k) for k in range(len(sources))], list(shares.values()))
    dataset = order.seed(config.seed).random_map(example)[jax.process_index() :: jax.process_count()]
    dataset = dataset.batch(config.batch_size // jax.process_count(), drop_remainder=True)
    return Batches(dataset, config.data.workers)


class Batches(grain.DatasetIterator):
    """Batches of a data set in order, made ahead of time by threads or worker processes.

    These share the cores, so the calling program should set OpenCV to one thread (`cv2.setNumThreads(1)`).

    The position is the number of the next batch, so a run may resume with another number of workers.
    """

    def __init__(self, dataset: grain.MapDataset, workers: int):
        super().__init__()
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
        """Start making batches from the current position."""
        if self._ahead is None:
            threads = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
            ahead = self._dataset[self._next :].to_iter_dataset(threads)
            self._ahead = iter(ahead.mp_prefetch(self._workers, worker_init_fn=_start_worker))

    def get_state(self) -> dict[str, int]:
        """Return the position, for `set_state`."""
        return {"next_index": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue from a position."""
        self.close()
        self._next = state["next_index"]

    def close(self) -> None:
        """Stop the threads or processes; the next batch starts new ones."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def _start_worker(index: int, count: int) -> None:
    del index, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    cv2.setNumThreads(1)
    end_with_parent()
