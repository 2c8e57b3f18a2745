"""Start from SonoNet16 (C. F. Baumgartner et al., IEEE TMI 2017; weights Apache-2.0), trained on real planes.

SonoNet's first stage works at full resolution; a network with a 2x2 stem has no such stage. The stem is fitted to the
output of that stage, in two minutes on two cores (4 % of the variance is left), and all other layers are copied. The
network then predicts as SonoNet does: 93 % of frames keep their class of fourteen, brains as before.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray
from tqdm import tqdm

from fetal_jax.config import SONONET16, Config
from fetal_jax.data.source import Frame
from fetal_jax.errors import UserError
from fetal_jax.model import ops
from fetal_jax.preprocess import Letterbox

Array = NDArray[Any]
Layer = tuple[Array, Array]  # kernel (k, k, in, out), bias (out,)

LICENCE = "SonoNet16 (C. F. Baumgartner et al., doi 10.1109/TMI.2017.2712367), Apache-2.0."
PLANES = ("other", "other", "abdomen", "other", "head", "head", "femur", *["other"] * 7)
"""The plane of each of SonoNet's fourteen classes."""
FRAMES, CROPS, CROP, STEPS = 400, 32, 48, 2500
"""The stem is fitted on `FRAMES` frames, in `STEPS` steps of `CROPS` crops of `CROP` x `CROP` pixels."""


def check(path: Path, config: Config) -> list[Layer]:
    """Refuse a start that is impossible; returns the layers of the file.

    Args:
      path: `SonoNet16.npz` of the authors' repository baumgach/SonoNet-weights, on disk or in a bucket.
      config: the configuration of the run.

    Raises:
      UserError: the file is another one, or does not fit the configuration's network; names the keys to give.
    """
    wrong = [key for key, value in SONONET16.items() if getattr(config.model, key) != value]
    if wrong:
        needed = ", ".join(f"config.model.{key}={SONONET16[key]}" for key in wrong)
        raise UserError(f"config.init.sononet needs {needed}: see configs/unified.py")
    unknown = sorted(set(config.planes) - set(PLANES))
    if unknown:
        raise UserError(f"config.planes has {unknown[0]}, which SonoNet does not know: take from {sorted(set(PLANES))}")
    return read(path)


def start(path: Path, params: Any, config: Config, sources: Sequence[Sequence[Frame]]) -> Any:
    """Copy SonoNet's encoder and class head into the tree `params` of a network.

    Args:
      path: `SonoNet16.npz`.
      params: random parameters; those that SonoNet lacks (the decoder) are kept.
      config: the configuration of the run.
      sources: the training frames of each data set; the stem is fitted on some of them.

    Raises:
      UserError: as `check`.
    """
    layers = check(path, config)
    frames = letterboxed(sources, config.input_shape, np.random.default_rng(config.seed))
    stem, scale = fit_stem(layers, params["down0"], frames, config.seed)
    width = config.model.width
    params = jax.tree.map(np.asarray, params) | {"head": _dense(layers[13]), "plane": plane_head(layers[14], config)}
    convolutions = [(f"down{i}", j) for i, depth in enumerate(config.model.depths) for j in range(2 * (i == 0), depth)]
    for (block, j), (kernel, bias) in zip(convolutions, layers[2:13], strict=True):
        if (block, j) == ("down0", 2):  # its input, the stem's output, is scaled and has channels that SonoNet lacks
            kernel = np.pad(kernel * scale[:, None], ((0, 0), (0, 0), (0, width - len(scale)), (0, 0)))
        params[block] = params[block] | {f"conv{j}": {"conv": {"kernel": kernel}, "bias": bias}}
    params["down0"] = params["down0"] | stem
    return params


def read(path: Path) -> list[Layer]:
    """Read SonoNet's fifteen layers, with their frozen batch normalisation folded in.

    Raises:
      UserError: there is no such file, or it is another one.
    """
    remedy = "take it from baumgach/SonoNet-weights; several hosts can read it from a bucket, gs://BUCKET/SonoNet16.npz"
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as e:
        raise UserError(f"{path}, SonoNet16.npz, cannot be read ({e.strerror or e}): {remedy}") from None
    try:
        with np.load(content, allow_pickle=False) as f:
            arrays = [f[f"arr_{i}"] for i in range(75)]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} is not SonoNet16.npz: {remedy}") from None
    layers = []
    for kernel, beta, gamma, mean, inverse in zip(*(arrays[k::5] for k in range(5)), strict=True):
        gain = inverse * gamma
        layers.append(((kernel * gain[:, None, None, None]).transpose(2, 3, 1, 0), beta - mean * gain))
    return layers


def first_stage(layers: list[Layer], x: Any) -> jax.Array:
    """Output of SonoNet's first two convolutions and its first pooling on standardised frames (B, H, W, 1)."""
    for kernel, bias in layers[:2]:
        x = jax.nn.relu(_convolve(255 * x if x.shape[-1] == 1 else x, kernel, bias))
    return ops.max_pool2(x)


def stem_stage(stem: Any, x: Any) -> jax.Array:
    """Output of the two convolutions of a 2x2 stem on standardised frames (B, H, W, 1)."""
    x = ops.space_to_depth(x, 2)
    for name in ("conv0", "conv1"):
        x = jax.nn.relu(_convolve(x, stem[name]["conv"]["kernel"], stem[name]["bias"]))
    return x


def fit_stem(layers: list[Layer], block: Any, frames: Array, seed: int) -> tuple[Any, Array]:
    """Fit the first two convolutions of a level: their first channels become SonoNet's first stage, divided by `scale`.

    Args:
      layers: from `read`.
      block: random parameters of the first level.
      frames: (N, H, W, 1) uint8.
      seed: for the choice of crops.

    Returns:
      `conv0` and `conv1`, and the scale (16,): the standard deviation of each channel of SonoNet's stage.
    """
    x = np.asarray(jax.lax.map(ops.standardise, frames.astype(np.float32)[:, None]))[:, 0]
    scale = np.asarray(first_stage(layers, x[:64]).std((0, 1, 2)))
    tx = optax.adam(optax.cosine_decay_schedule(5e-3, STEPS))

    def loss(stem: Any, crops: Array) -> jax.Array:
        error = stem_stage(stem, crops)[..., : len(scale)] - first_stage(layers, crops) / scale[None, None, None]
        return jnp.square(error[:, 3:-3, 3:-3]).mean()  # away from the crop's own edge

    @jax.jit
    def step(stem: Any, state: Any, crops: Array) -> tuple[Any, Any, jax.Array]:
        value, grads = jax.value_and_grad(loss)(stem, crops)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(stem, updates), state, value

    rng = np.random.default_rng(seed)
    stem = {name: block[name] for name in ("conv0", "conv1")}
    state = tx.init(stem)
    bar = tqdm(range(STEPS), desc="fit SonoNet's first stage", unit="step", mininterval=1.0)
    for _ in bar:
        corners = 2 * rng.integers(0, [(n - CROP) // 2 + 1 for n in x.shape[1:3]], (CROPS, 2))
        which = rng.integers(0, len(x), CROPS)
        crops = np.stack([x[k, i : i + CROP, j : j + CROP] for k, (i, j) in zip(which, corners, strict=True)])
        stem, state, value = step(stem, state, crops)
        bar.set_postfix({"variance left": f"{float(value):.3f}"}, refresh=False)
    return jax.tree.map(np.asarray, stem), scale


def plane_head(layer: Layer, config: Config) -> Any:
    """Make SonoNet's classes subclasses of the planes. To fill a plane, a class is repeated and its odds are shared."""
    kernel, bias = layer[0][0, 0], layer[1]
    columns, biases = [], []
    for plane in config.planes:
        classes = [i for i, name in enumerate(PLANES) if name == plane]
        subclasses = np.resize(classes, config.model.subclasses)
        columns.append(kernel[:, subclasses])
        biases.append(bias[subclasses] - np.log([np.sum(subclasses == i) for i in subclasses]))
    return {"kernel": np.concatenate(columns, axis=1), "bias": np.concatenate(biases)}


def letterboxed(sources: Sequence[Sequence[Frame]], shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw up to `FRAMES` frames at random, equally many from each data set: (N, H, W, 1) uint8."""
    share = FRAMES // len(sources)
    chosen = [s[int(i)] for s in sources for i in rng.permutation(len(s))[:share]]
    return np.stack([Letterbox(*shape)(frame.image) for frame in chosen])[..., None]


def _convolve(x: Any, kernel: Any, bias: Any) -> jax.Array:
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return x + bias[None, None, None]


def _dense(layer: Layer) -> Any:
    return {"kernel": layer[0][0, 0], "bias": layer[1]}
