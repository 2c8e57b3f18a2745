"""A predictor that runs the network of a training run, without a bundle."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from fetal_jax.bundle import BundleInfo
from fetal_jax.config import Config
from fetal_jax.inference import Predictor
from fetal_jax.model import unet

Array = NDArray[Any]


@functools.partial(jax.jit, static_argnums=0)
def _apply(network: Any, params: Any, frames: Array) -> tuple[jax.Array, jax.Array]:
    return network.apply({"params": params}, frames)


def live_predictor(config: Config, params: Any) -> Predictor:
    """Predictor of the network of a configuration with these parameters."""
    network = unet.from_config(config.model, len(config.planes))

    def forward(frames: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = _apply(network, params, frames)
        return np.asarray(map_logits), np.asarray(plane_logits)

    return Predictor(bundle_info(config), forward)


def bundle_info(config: Config) -> BundleInfo:
    """The bundle info of the network of a configuration."""
    return BundleInfo(config.planes, config.input_shape, config.flip_average, close_up=config.close_up)
